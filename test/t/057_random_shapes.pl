# Tokens in random layers of prefixes, quotes, documents, encodings and other tokens,
# in columns of type text and bytea: after a rotation, every layer decrypts with the
# new key alone, or the gate fails. And hostile values: gate and rotation end.
# FERNET_LONG=1 tries 100,000 shapes instead of 400, and a value of 100 MB.

use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path);
use FaultTest qw(is_long random_seed);
use FernetTest qw(:DEFAULT session same tell start_session finish_session);
use File::Basename qw(dirname);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = random_seed();
my $count = $ENV{FERNET_SHAPES} // (is_long() ? 100_000 : 400);
my $shapes = abs_path(dirname(__FILE__) . '/../support/shapes.py');

my $node = PostgreSQL::Test::Cluster->new('shapes');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', 'fsync = off');
$node->start;
my ($old, $new) = (new_key(), new_key());
my ($only_old, $only_new, $both) = map { "-c fernet.key=$_" } $old, $new, "$new,$old";
my ($other_token) = session($node, q{CREATE EXTENSION pg_fernet; SELECT fernet_encrypt('somebody else')}, options => '-c fernet.key=' . new_key());
my $file = PostgreSQL::Test::Utils::tempdir() . '/shapes';

IPC::Run::run([ 'python3', $shapes, 'make', $file, $seed, $count, $old, $new ]) or BAIL_OUT('no shapes');
$node->safe_psql('postgres', <<"SQL");
CREATE FUNCTION is_text(value bytea) RETURNS boolean LANGUAGE plpgsql AS \$\$
BEGIN
	RETURN convert_from(value, 'UTF8') IS NOT NULL;
EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
	RETURN false;
END \$\$;
CREATE TABLE shapes_bytea (id integer, value bytea);
COPY shapes_bytea FROM '$file.rows';
CREATE TABLE shapes_text AS SELECT id, convert_from(value, 'UTF8') AS value FROM shapes_bytea WHERE is_text(value);
SQL

# wrong_in asks the gate about each of the shapes that still need the old key.
sub wrong_in
{
	my ($type, @bad) = @_;
	return '' unless @bad;
	my $list = join ',', @bad;
	my ($out, $err) = session($node, <<"SQL", options => $both);
SET client_min_messages = error;
CREATE TABLE one_$type (value $type);
CREATE FUNCTION passes_$type(n integer) RETURNS boolean LANGUAGE plpgsql AS \$\$
BEGIN
	DELETE FROM one_$type;
	INSERT INTO one_$type SELECT value FROM shapes_$type WHERE id = n;
	PERFORM fernet_assert_rotated('one_$type', 'value', on_plaintext => 'leave', allow_empty => true);
	RETURN true;
EXCEPTION WHEN SQLSTATE 'PF007' THEN
	RETURN false;
END \$\$;
CREATE INDEX ON shapes_$type (id);
SELECT n FROM unnest('{$list}'::integer[]) AS n WHERE passes_$type(n);
SQL
	same($err, '', "$type: the gate has an answer for each");
	return $out;
}

foreach my $type ('bytea', 'text')
{
	my (undef, $told) = session($node, "SET client_min_messages = error; CALL fernet_rotate_column('shapes_$type', 'value', on_plaintext => 'leave')", options => $both);
	like($told, qr/^(?:ERROR:  PF007: .*)?$/m, "$type: a rotation");
	my $hex = $type eq 'text' ? "convert_to(value, 'UTF8')" : 'value';
	$node->safe_psql('postgres', "COPY (SELECT id, encode($hex, 'hex') FROM shapes_$type) TO '$file.after'");
	my $found = '';
	IPC::Run::run([ 'python3', $shapes, 'check', $file, $old, $new ], '>', \$found) or BAIL_OUT('no check');
	my ($bad, $lost, $all) = $found =~ /^count (\d+) (\d+) (\d+)$/m;
	is($lost, 0, "$type: both keys take off every layer of each shape");
	note "lost: $1" while $found =~ /^lost (.*)$/mg;
	my @bad = $found =~ /^bad (\d+)$/mg;
	my $wrong = wrong_in($type, @bad);
	is($wrong, '', "$type: the gate fails for each shape that still needs the old key");
	note "$type: $all shapes, of which $bad still need the old key";
	cmp_ok($bad, '<', $all / 2, "$type: most of them do not");
	next unless @bad;
	my $list = join ',', @bad;
	session($node, "DELETE FROM shapes_$type WHERE id IN ($list)");
	(undef, $told) = session($node, "SET client_min_messages = error; SELECT fernet_assert_rotated('shapes_$type', 'value', on_plaintext => 'leave')", options => $only_new);
	note "$type: the gate about the others " . ($told eq '' ? 'passes' : 'fails');
}

# Hostile values. That the work is in proportion to their size, a unit test shows.
my $size = is_long() ? 100_000_000 : 3_000_000;
session($node, 'CREATE TABLE hostile (value text)');
my $layers = "translate(encode(encode(repeat('gAAAAA', 24)::bytea, 'base64')::bytea, 'base64'), E'\n', '')";
my %parts = (
	'beginnings of tokens' => "'gAAAAA'",
	'these in base64' => "'Z0FBQUFB'",
	'these in hex' => "'67414141'",
	'these in several layers' => $layers,
	'tokens that follow each other' => "rtrim(fernet_encrypt(repeat('s', 40)), '=')",
	'tokens of another key' => "'$other_token'",
	'line ends as JSON writes them' => "'Z0FBQUFB\\n'",
	'brackets of JSON' => "'[{\"a\":'");
foreach my $name (sort keys %parts)
{
	my $part = $parts{$name};
	my (undef, $failed) = session($node, "TRUNCATE hostile; INSERT INTO hostile SELECT repeat(part, $size / length(part)) FROM (SELECT $part AS part) AS one", options => $both);
	same($failed, '', "a hostile value of $name is stored");
	my (undef, $told) = session($node, "SET statement_timeout = '50ms'; SET client_min_messages = error; SELECT fernet_assert_rotated('hostile', 'value', on_plaintext => 'leave', allow_empty => true)", options => $both);
	like($told, qr/\A(?:ERROR:  (?:57014|PF007).*)?\z/s, "a hostile value of $name: the gate ends, or the timeout cancels it");
	my (undef, $ended) = session($node, "SET client_min_messages = error; CALL fernet_rotate_column('hostile', 'value', on_plaintext => 'leave')", options => $both);
	like($ended, qr/\A(?:ERROR:  PF007.*)?\z/s, "a hostile value of $name: a rotation ends");
}

$node->stop;
done_testing();
