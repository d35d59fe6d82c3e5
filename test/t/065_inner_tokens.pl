# Random values of every type in which tokens can sit: documents, arrays, rows and
# others, with tokens at random places, in random layers, among what only looks
# like one. After fernet_rotate_value, each token decrypts with the new key alone to
# its plaintext, with its timestamp, and everything else is as it was.
# FERNET_LONG=1 tries 50,000 values instead of 900.

use strict;
use warnings;

use FaultTest qw(is_long random_seed);
use FernetTest qw(:DEFAULT session);
use JSON::PP;
use MIME::Base64 qw(encode_base64 decode_base64);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
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

$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_fernet;
CREATE TYPE textrange AS RANGE (subtype = text, collation = "C");
CREATE DOMAIN short AS text CHECK (length(value) < 100000);
CREATE DOMAIN shorts AS short[] CHECK (array_ndims(value) = 1);
CREATE TYPE connection AS (name text, ratio float8, at timestamptz, config jsonb, tags shorts, nothing text);
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

# rows_of returns the rows of a query, each a list. No field needs an escape.
sub rows_of
{
	my ($options, $query) = @_;
	run_file($options, "COPY ($query) TO '$folder/rows'");
	return map { [ split /\t/ ] } split /\n/, slurp("$folder/rows");
}

sub pick
{
	return $_[ int rand @_ ];
}

sub random_of
{
	my ($length, @characters) = @_;
	return join '', map { pick(@characters) } 1 .. $length;
}

# ---------------------------------------------------------------------------
# The values

my @digits = ('A' .. 'Z', 'a' .. 'z', 0 .. 9, '-', '_');
my @tokens;

# A piece that holds no token, though it may look like one
sub look_alike
{
	my $kind = int rand 8;
	return 'n gAAAAA' . random_of(int(rand 20), @digits) if $kind == 0;
	return 'x' . random_of(30 + int(rand 150), @digits) if $kind == 1;
	return random_of(2 * int(rand 150), 0 .. 9, 'a' .. 'f') if $kind == 2;
	return encode_base64(random_of(int(rand 150), 'a' .. 'z'), '') if $kind == 3;
	return 'the gAAAAA, gAAAA-' if $kind == 4;
	return pick("\x{e9}t\x{e9}", "\x{65e5}\x{672c}", 'back\\slash', 'quo"te', "it's", 'a,b', '{c}', '(d)', '');
}

# layer puts an encoding around $text. The brackets tell where it is.
sub layer
{
	my ($text, $may_break) = @_;
	utf8::encode($text);
	if (rand() < 0.4)
	{
		my $hex = unpack 'H*', $text;
		$hex = uc $hex if rand() < 0.3;
		return '[hex:' . pick('', '0x', '\\x') . "$hex]";
	}
	my $encoded = encode_base64($text, $may_break && rand() < 0.5 ? pick("\n", "\r\n") : '');
	$encoded =~ tr{+/}{-_} if rand() < 0.5;
	$encoded =~ s/=//g if rand() < 0.5;
	my $junk = int rand 4;
	return "[b64+$junk:" . ('k' x $junk) . "$encoded]";
}

# slot is a token with something around it.
sub slot
{
	my ($may_break) = @_;
	my $text = pick(@tokens);
	$text =~ s/=//g if rand() < 0.2;
	$text = pick('', '', 'v1:', 'Bearer ', 'a_', 'x', '"', '{"k":"', "b'", "\x{feff}") . $text
	  . pick('', '', ' ', '"', '"}', ';', '%3D', '==', "\x{e9}", '/b');
	my $layers = rand() < 0.6 ? 0 : 1 + int rand 3;
	$text = layer($text, $may_break) foreach 1 .. $layers;
	return $text;
}

sub text
{
	my ($may_break) = @_;
	return slot($may_break) if rand() < 0.2;
	return join ' ', map { rand() < 0.4 ? slot($may_break) : look_alike() } 1 .. 1 + int rand 4;
}

sub json_string
{
	return JSON::PP->new->allow_nonref->encode($_[0]);
}

# document is the text of a JSON document. Its keys differ.
sub document
{
	my ($depth, $may_break) = @_;
	my $kind = int rand($depth > 0 ? 8 : 5);
	return json_string(text($may_break)) if $kind < 3;
	return pick('1.00', '-0.5', '12345678901234567890.10', '1e20', 'true', 'false', 'null') if $kind < 5;
	my @items = map { document($depth - 1, $may_break) } 1 .. int rand 5;
	return '[' . join(', ', @items) . ']' if $kind == 5;
	my $n = 0;
	return '{' . join(', ', map { json_string($n++ . (rand() < 0.2 ? slot($may_break) : pick('k', 'name'))) . " : $_" } @items)
	  . '}';
}

sub quoted
{
	my ($text, $type) = @_;
	$text =~ s/'/''/g;
	return "'$text'" . (defined $type ? "::$type" : '');
}

sub list
{
	my ($item) = @_;
	return 'ARRAY[' . join(', ', map { rand() < 0.2 ? 'NULL' : $item->() } 1 .. 1 + int rand 5) . ']';
}

sub escaped
{
	my ($text) = @_;
	my %entities = ('&' => 'amp', '<' => 'lt', '>' => 'gt', '"' => 'quot');
	$text =~ s/([&<>"])/&$entities{$1};/g;
	return $text;
}

# For each type: an expression of SQL for a random value
my %make = (
	'text' => sub { quoted(text(1)) },
	'varchar' => sub { quoted(text(1)) },
	'short' => sub { quoted(text(1)) },
	'bytea' => sub { '\'\xff00\'::bytea || convert_to(' . quoted(text(1)) . q{, 'UTF8') || '\x00fe'} },
	'json' => sub { quoted(document(3, 0)) },
	'jsonb' => sub { quoted(document(3, 1)) },
	'text[]' => sub { list(sub { quoted(text(1)) }) . '::text[]' },
	'jsonb[]' => sub { list(sub { quoted(document(1, 0)) }) . '::jsonb[]' },
	'connection' => sub {
		return sprintf 'ROW(%s, %s, %s, %s, %s, NULL)::connection',
		  quoted(text(1)), rand() - 0.5, 'clock_timestamp()', quoted(document(2, 0), 'jsonb'),
		  list(sub { quoted(text(1)) }) . '::shorts';
	},
	'connection[]' => sub {
		return list(sub { sprintf 'ROW(%s, %s, NULL, NULL, NULL, NULL)::connection', quoted(text(1)), rand() })
		  . '::connection[]';
	},
	'shorts' => sub { list(sub { quoted(text(1)) }) },
	'textrange' => sub { rand() < 0.5 ? 'textrange(' . quoted(text(1)) . ', NULL)' : 'textrange(NULL, ' . quoted(text(1)) . ')' },
	'textmultirange' => sub { 'textmultirange(textrange(' . quoted(text(1)) . ', NULL))' });
$make{citext} = $make{text} if $has{citext};
$make{hstore} = sub {
	my @keys = map { quoted($_ . (rand() < 0.2 ? slot(1) : 'k')) } 1 .. 1 + int rand 5;
	my @items = map { rand() < 0.2 ? 'NULL' : quoted(text(1)) } @keys;
	return 'hstore(ARRAY[' . join(', ', @keys) . '], ARRAY[' . join(', ', @items) . ']::text[])';
} if $has{hstore};
$make{xml} = sub {
	return quoted('<a k="' . escaped(text(1) =~ tr/\r\n//dr) . '">' . escaped(text(1)) . '<b/></a>');
} if $has{xml};

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
	my @rows = rows_of("$options -c timezone=UTC", 'SELECT token, fernet_decrypt_bytea(token), '
		  . 'extract(epoch FROM fernet_timestamp(token)) FROM wanted WHERE fernet_key_index(token) IS NOT NULL');
	$known->{$_} = undef foreach @wanted;
	$known->{ $_->[0] } = { plaintext => pack('H*', substr($_->[1], 3)), time => $_->[2] } foreach @rows;
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

# canonical_all is the canonical form of each of the values.
sub canonical_all
{
	my ($options, $known, $type, @bytes) = @_;
	while (1)
	{
		my $unknown = {};
		my @all = map { of_type($type, $_, $known, $unknown) } @bytes;
		return @all unless %$unknown;
		$node->safe_psql('postgres', 'TRUNCATE wanted');
		open(my $out, '>', "$folder/wanted") or die "wanted: $!";
		print $out map { "$_\n" } sort keys %$unknown;
		close $out;
		$node->safe_psql('postgres', "COPY wanted FROM '$folder/wanted'");
		look_up($options, $known, sort keys %$unknown);
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

push @tokens, make_tokens($only_old, map { random_of(int(rand 60), 'a' .. 'z', ' ', "\x{e9}") } 1 .. 120);
push @tokens, make_tokens($only_new, map { random_of(int(rand 60), 'a' .. 'z') } 1 .. 15);
push @tokens, make_tokens($only_old, map { text(1) } 1 .. 20), make_tokens($only_new, map { text(1) } 1 .. 10);

my (%before_known, %after_known);
my $each = int($values / keys %make) + 1;
foreach my $type (sort keys %make)
{
	my $list = join ",\n", map { "($_, " . $make{$type}->() . ')' } 1 .. $each;
	run_file('', <<"SQL");
DROP TABLE IF EXISTS random;
CREATE TABLE random (id int, value $type, rotated $type);
INSERT INTO random (id, value) VALUES
$list;
SQL
	run_file($both, 'UPDATE random SET rotated = fernet_rotate_value(value)');
	my ($value, $rotated) =
	  map { $type eq 'bytea' ? $_ : "convert_to($_\::text, 'UTF8')" } qw(value rotated);
	my @rows = rows_of('', "SELECT id, encode($value, 'hex'), encode($rotated, 'hex') FROM random ORDER BY id");
	my @before = map { pack 'H*', $_->[1] } @rows;
	my @after = map { pack 'H*', $_->[2] } @rows;
	my @expected = canonical_all($both, \%before_known, $type, @before);
	my @got = canonical_all($only_new, \%after_known, $type, @after);
	my @wrong = grep { $expected[$_] ne $got[$_] } 0 .. $#rows;
	ok(@rows == $each && !@wrong, "$type: its tokens are under the new key, and nothing else has changed");
	diag('first wrong id: ' . ($wrong[0] + 1)) if @wrong;
	my $tokens = () = join('', @expected) =~ /<\d+:\d/g;
	cmp_ok($tokens, '>', $each / 2, "$type: there were tokens");
	my $changed = grep { $before[$_] ne $after[$_] } 0 .. $#rows;
	cmp_ok($changed, '>', $each / 4, "$type: values have changed");
	is($node->safe_psql('postgres',
			"SELECT count(*) FROM random WHERE rotated::text IS DISTINCT FROM rotated::text::$type\::text"),
		'0', "$type: the new values are valid") unless $type =~ /connection/;
	# A second time, nothing is left to do.
	is(
		$node->safe_psql('postgres',
			"SELECT set_config('fernet.key', '$new', false);\n"
			  . "SELECT count(*) FROM random WHERE fernet_rotate_value(rotated)::text IS DISTINCT FROM rotated::text"
		) =~ /^(\d+)\z/m ? $1 : '?',
		'0', "$type: the new key alone suffices");
	next unless $type =~ /^(?:jsonb|hstore|xml|connection)$/;
	# A job on the column does the same.
	run_file($both, "CREATE TABLE copied AS SELECT id, value FROM random;\nCALL fernet_rotate_column('copied', 'value')");
	my @copied = map { pack 'H*', $_->[0] }
	  rows_of('', "SELECT encode(convert_to(value::text, 'UTF8'), 'hex') FROM copied ORDER BY id");
	run_file($both, "SELECT fernet_assert_rotated('copied', 'value');\nDROP TABLE copied");
	my @rotated = canonical_all($only_new, \%after_known, $type, @copied);
	ok("@rotated" eq "@expected", "$type: a job rotates the same tokens");
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
}

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
	$node->safe_psql('postgres', 'DROP DATABASE other');
}

$node->stop;
done_testing();
