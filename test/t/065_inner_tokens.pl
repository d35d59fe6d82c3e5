# Random values of every type in which tokens can sit: texts, documents, arrays, rows
# and others, with tokens at random places, in random layers, among what only looks
# like one. After fernet_rotate_value, and after a job on the column, each token
# decrypts with the new key alone to its plaintext, with its timestamp, and
# everything else is as it was.
# FERNET_LONG=1 tries 50,000 values instead of 900.

use strict;
use warnings;

use FaultTest qw(is_long random_seed);
use FernetTest qw(:DEFAULT session);
use JSON::PP;
use MIME::Base64 qw(decode_base64);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RandomValues qw(types_sql use_tokens makers random_of random_text quoted);
use Test::More;

random_seed();
my $values = is_long() ? 50_000 : 900;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', 'fsync = off');
$node->start;
my ($old, $new) = (new_key(), new_key());
my ($only_old, $only_new, $both) =
  map { "-c fernet.key=$_" } $old, $new, "$new,$old";
my $folder = PostgreSQL::Test::Utils::tempdir();

$node->safe_psql('postgres', types_sql() . <<'SQL');
CREATE EXTENSION pg_fernet;
CREATE TABLE wanted (token text);
SQL
my %has = map { $_ => 1 } split /\n/, $node->safe_psql('postgres',
	"SELECT name FROM pg_available_extensions WHERE name IN ('hstore', 'citext')");
$node->safe_psql('postgres', "CREATE EXTENSION $_") foreach sort keys %has;
$has{xml} = $node->psql('postgres', "SELECT '<a/>'::xml") == 0;

# run_file runs a script that is too large for a command line.
sub run_file
{
	my ($options, $sql) = @_;
	open(my $out, '>:utf8', "$folder/script.sql") or die "script.sql: $!";
	print $out $sql;
	close $out;
	local %ENV = (%ENV, psql_env($node, $options));
	my $errors = '';
	my $ok = IPC::Run::run(
		[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-f', "$folder/script.sql" ],
		'>', '/dev/null', '2>', \$errors);
	$errors =~ s{[A-Za-z0-9_/+=-]{20,}}{<withheld>}g;
	BAIL_OUT(substr($errors, 0, 500)) unless $ok;
	return;
}

sub read_rows
{
	return map { [ split /\t/ ] } split /\n/, slurp("$folder/rows");
}

# rows_of returns the rows of a query, each a list. No field needs an escape.
sub rows_of
{
	my ($options, $query) = @_;
	run_file($options, "COPY ($query) TO '$folder/rows'");
	return read_rows();
}

# ---------------------------------------------------------------------------
# What a value is apart from its tokens

# canonical is $bytes with the plaintext and the timestamp in place of each token
# that %$known has; others are added to %$unknown. It keeps the length of all, and
# where lines end in what is encoded.
sub canonical
{
	my ($bytes, $known, $unknown) = @_;
	$bytes =~ s{\[b64\+(\d):([^\]]*)\]}{
		my ($junk, $encoded) = ($1, $2);
		my $shape = $encoded =~ tr/A-Za-z0-9_\-+\//x/r;
		my $digits = substr($encoded, $junk) =~ tr{-_}{+/}r;
		'(' . canonical(decode_base64($digits), $known, $unknown) . "|$shape)" }ge;
	$bytes =~ s{\[hex:((?:\\*|0)x)?([0-9A-Fa-f]*)\]}{
		my ($before, $hex) = ($1 // '', $2);
		'(' . $before . canonical(pack('H*', $hex), $known, $unknown)
		  . ($hex =~ /[A-F]/ ? '|upper)' : '|)') }ge;
	$bytes =~ s{(gAAAAA[A-Za-z0-9_-]{92,})}{
		my $token = $1;
		$unknown->{$token} = 1 unless exists $known->{$token};
		my $is = $known->{$token};
		defined $is ? '<' . length($token) . ":$is->{time}:" . canonical($is->{plaintext}, $known, $unknown) . '>'
		  : $token }ge;
	return $bytes;
}

# look_up adds tokens to %$known, as the session's keys know them.
sub look_up
{
	my ($options, $known, @wanted) = @_;
	open(my $out, '>', "$folder/wanted") or die "wanted: $!";
	print $out map { "$_\n" } @wanted;
	close $out;
	run_file("$options -c timezone=UTC", <<"SQL");
TRUNCATE wanted;
COPY wanted FROM '$folder/wanted';
COPY (SELECT token, fernet_decrypt_bytea(token), extract(epoch FROM fernet_timestamp(token)) FROM wanted
	WHERE fernet_key_index(token) IS NOT NULL) TO '$folder/rows';
SQL
	$known->{$_} = undef foreach @wanted;
	$known->{ $_->[0] } = { plaintext => pack('H*', substr($_->[1], 3)), time => $_->[2] } foreach read_rows();
	return;
}

# of_json is a document with its leaves in their canonical form, and its numbers
# as they are written. The order of its keys does not count.
sub of_json
{
	my ($bytes, $known, $unknown) = @_;
	my $structure = $bytes =~ s/"(?:\\.|[^"\\])*"/S/gr;
	my @numbers = sort grep { length } split /[][{},:\s]+/, $structure;
	my $walk;
	$walk = sub {
		my ($item) = @_;
		return [ map { $walk->($_) } @$item ] if ref $item eq 'ARRAY';
		return { map { ($walk->($_) => $walk->($item->{$_})) } keys %$item } if ref $item eq 'HASH';
		return $item if ref $item || !defined $item || $item =~ /^-?[0-9.e+]+$/;
		my $leaf = $item;
		utf8::encode($leaf);
		return canonical($leaf, $known, $unknown);
	};
	my $tree = $walk->(JSON::PP->new->utf8->allow_nonref->decode($bytes));
	return JSON::PP->new->allow_nonref->canonical->encode($tree) . "\n@numbers";
}

sub of_type
{
	my ($type, $bytes, @state) = @_;
	return of_json($bytes, @state) if $type eq 'jsonb';
	return join ', ', sort split /, /, canonical($bytes, @state) if $type eq 'hstore';
	# A whole token comes out as from fernet_rotate: with all of its padding.
	$bytes =~ s/^\s*(gAAAAA[A-Za-z0-9_-]{92,})={0,2}\s*$/$1/;
	return canonical($bytes, @state);
}

# canonical_all adds the canonical form of $_->{$from} to each of @values, as
# $_->{$to}.
sub canonical_all
{
	my ($options, $from, $to, @values) = @_;
	my %known;
	while (1)
	{
		my %unknown;
		$_->{$to} = of_type($_->{type}, $_->{$from}, \%known, \%unknown) foreach @values;
		return unless %unknown;
		look_up($options, \%known, sort keys %unknown);
	}
}

# ---------------------------------------------------------------------------
# Tokens: of the old key, some of the new one, some around texts with others

sub make_tokens
{
	my ($options, @plaintexts) = @_;
	my $at = 1_500_000_000 + int rand 1e8;
	my $list = join ",\n", map { "(" . quoted($_) . ', to_timestamp(' . ($at + int rand 1e6) . '))' } @plaintexts;
	return map { $_->[0] } rows_of($options, "SELECT fernet_encrypt(p, t) FROM (VALUES $list) AS v (p, t)");
}

my $text = sub { return random_of(int(rand 60), 'a' .. 'z', ' ', "\x{e9}") };
my @tokens = (make_tokens($only_old, map { $text->() } 1 .. 120), make_tokens($only_new, map { $text->() } 1 .. 15));
use_tokens(@tokens);
use_tokens(make_tokens($only_old, map { random_text(1) } 1 .. 20), make_tokens($only_new, map { random_text(1) } 1 .. 10));
my %make = makers(%has);

# One session for each type: fernet_rotate_value, the same a second time with the
# new key alone, and a job on the column.
my $each = int($values / keys %make) + 1;
my @all;
foreach my $type (sort keys %make)
{
	my $list = join ",\n", map { "($_, " . $make{$type}->() . ')' } 1 .. $each;
	my ($value, $rotated, $copied) =
	  map { 'encode(' . ($type eq 'bytea' ? $_ : "convert_to($_\::text, 'UTF8')") . ", 'hex')" } qw(value rotated copied);
	my $valid = $type =~ /connection/ ? 'true' : "rotated::text = rotated::text::$type\::text";
	run_file($both, <<"SQL");
CREATE TABLE random (id int, value $type, rotated $type, copied $type);
INSERT INTO random (id, value) VALUES
$list;
UPDATE random SET rotated = fernet_rotate_value(value), copied = value;
CALL fernet_rotate_column('random', 'copied', on_plaintext => 'leave');
SELECT set_config('fernet.key', '$new', false);
SELECT fernet_assert_rotated('random', 'copied', on_plaintext => 'leave');
COPY (SELECT $value, $rotated, $copied, $valid, fernet_rotate_value(rotated)::text = rotated::text
	FROM random ORDER BY id) TO '$folder/rows';
DROP TABLE random;
SQL
	push @all, map { { type => $type, valid => $_->[3], same => $_->[4], before => pack('H*', $_->[0]),
		after => pack('H*', $_->[1]), copied => pack('H*', $_->[2]) } } read_rows();
}
canonical_all($both, 'before', 'expected', @all);
canonical_all($only_new, 'after', 'got', @all);
canonical_all($only_new, 'copied', 'by job', @all);
foreach my $type (sort keys %make)
{
	my @of_type = grep { $_->{type} eq $type } @all;
	my @wrong = grep { $of_type[$_]{expected} ne $of_type[$_]{got} } 0 .. $#of_type;
	ok(@of_type == $each && !@wrong, "$type: its tokens are under the new key, and nothing else has changed");
	diag('first wrong id: ' . ($wrong[0] + 1)) if @wrong;
	my $tokens = () = join('', map { $_->{expected} } @of_type) =~ /<\d+:\d/g;
	cmp_ok($tokens, '>', $each / 10, "$type: there were tokens");
	cmp_ok(scalar(grep { $_->{before} ne $_->{after} } @of_type), '>', $each / 10, "$type: values have changed");
	is(scalar(grep { $_->{valid} ne 't' } @of_type), 0, "$type: the new values are valid");
	is(scalar(grep { $_->{same} ne 't' } @of_type), 0, "$type: a second time, the new key alone suffices");
	is(scalar(grep { $_->{expected} ne $_->{'by job'} } @of_type), 0, "$type: a job rotates the same tokens");
}

# ---------------------------------------------------------------------------
# XML in which a token is a name; databases that are not UTF-8

if ($has{xml})
{
	my $name = 'a' . $tokens[0] =~ tr/=//dr;
	my (undef, $errors) =
	  session($node, "SELECT fernet_rotate_value('<$name></$name>'::xml);", options => $both);
	like($errors, qr/^ERROR:  2200N: XML with a rotated token is not well-formed\n/m,
		'XML that would not be well-formed is an error');
	unlike($errors, qr/gAAAAA/, 'which quotes no token');
	(my $out, $errors) =
	  session($node,
		"SET xmloption = document;\nSELECT fernet_rotate_value(xmlparse(content 'x $tokens[0]')) IS NOT NULL;\nSHOW xmloption;",
		options => $both);
	is("$out$errors", "t\ndocument", 'a setting of the session does not matter, and stays');
	(undef, $errors) = session($node, "CREATE TABLE named AS SELECT '<$name></$name>'::xml AS x;\n"
		  . "CALL fernet_rotate_column('named', 'x');", options => $both);
	like($errors, qr/^DETAIL:  With the new tokens, the XML would not be well-formed/m, 'a job says so');
}
my (undef, $of_ranges) = session($node, <<"SQL", options => $both);
CREATE TABLE bounds AS SELECT textrange('$tokens[0]', '$tokens[0]', '[]') AS r FROM generate_series(1, 60);
CALL fernet_rotate_column('bounds', 'r');
SQL
like($of_ranges, qr/^DETAIL:  With the new tokens, the bounds of a range would be in the wrong order/m,
	'a job names the bounds of a range');

foreach my $encoding (qw(LATIN1 SQL_ASCII))
{
	$node->safe_psql('postgres',
		"CREATE DATABASE other TEMPLATE template0 ENCODING $encoding LOCALE 'C'");
	$node->safe_psql('other', 'CREATE EXTENSION pg_fernet');
	my ($out, $errors) = session($node, <<"SQL", options => $both, database => 'other');
SET client_encoding = $encoding;
WITH value AS (SELECT jsonb_build_object(E'caf\\351', '$tokens[0]') AS v),
	rotated AS (SELECT v, fernet_rotate_value(v) AS r, fernet_rotate_value(ARRAY[v::text, E'\\351']) AS a FROM value)
SELECT v - E'caf\\351' = r - E'caf\\351', fernet_key_index(r ->> E'caf\\351'), a[2] = E'\\351', fernet_key_index(a[1]::jsonb ->> E'caf\\351')
	FROM rotated;
SQL
	is("$out$errors", 't|1|t|1', "a database in $encoding");
	$node->safe_psql('postgres', 'DROP DATABASE other WITH (FORCE)');
}

$node->stop;
done_testing();
