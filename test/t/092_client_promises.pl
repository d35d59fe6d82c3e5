# What the program pg_fernet must not say: that every token is encrypted with the
# first key when one is not, and what a key is, to whomever it was given by mistake.

use strict;
use warnings;

use FernetTest qw(:DEFAULT same session start_session finish_session);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($old, $new) = (new_key(), new_key());
my $keys = "$new,$old";
our $user = $ENV{PGUSER} // getpwuid($<);
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', 'autovacuum = off');
$node->start;

# client runs the program with the keys, and returns status, output and errors.
sub client
{
	my ($given, $database, @arguments) = @_;
	local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGUSER => $user, PGDATABASE => $database, FERNET_KEY => $given);
	IPC::Run::run([ 'pg_fernet', @arguments ], '<', \undef, '>', \my $out, '2>', \my $err);
	return ($? >> 8, $out, $err);
}

# ends tests status and errors of a call, and returns its output.
sub ends
{
	my ($name, $database, $arguments, $status, $err) = @_;
	my @got = client($keys, $database, @$arguments);
	is($got[0], $status, "$name: status") or diag("$got[1]$got[2]");
	like($got[2], $err, "$name: words") if defined $err;
	return $got[1] . $got[2];
}

# sql runs statements with the old key, and returns what they print.
sub sql
{
	my ($database, $statements) = @_;
	my ($out, $err) = session($node, $statements, database => $database, options => "-c fernet.key=$old -c client_min_messages=error");
	die $err if $err ne '';
	return $out;
}

# ---------------------------------------------------------------------------
# places that are left out by mistake
# ---------------------------------------------------------------------------

sql('postgres', <<'SQL');
CREATE EXTENSION pg_fernet;
CREATE TABLE a (id int PRIMARY KEY, token text, copy text GENERATED ALWAYS AS (token) STORED);
INSERT INTO a SELECT n, fernet_encrypt('x') FROM generate_series(1, 20) AS n;
CREATE TABLE b (id int PRIMARY KEY, token text);
INSERT INTO b SELECT n, fernet_encrypt('x') FROM generate_series(1, 20) AS n;
CREATE TABLE parent (id int, token text);
CREATE TABLE child () INHERITS (parent);
CREATE TABLE grandchild () INHERITS (child);
INSERT INTO grandchild SELECT n, fernet_encrypt('x') FROM generate_series(1, 20) AS n;
CREATE TABLE empty (token text);
SQL
ends('--except without a place', 'postgres', [ 'check', '--except', '' ], 1, qr/--except names no place/);
ends('a column that is not proved', 'postgres', [ 'rotate', '--column=public.a.token', '-t', 'b' ], 1, qr/nothing would be proved about the column public\.a\.token/);
ends("a column that --except names, $_", 'postgres', [ 'rotate', '--column=public.a.token', '-t', 'a', "--except=$_" ], 1, qr/nothing would be proved about the column public\.a\.token/)
	foreach 'public.a', 'public.a.token';
ends('no token', 'postgres', [ 'rotate', '--yes', '-t', 'empty' ], 2, qr/error: no token was found/);
like(ends('the columns', 'postgres', [ 'check', '--list-columns', '-t', 'a' ], 2), qr/^public\.a\.token$/, 'without the generated one');
foreach my $way ('server', 'client')
{
	like(ends("children, $way", 'postgres', [ 'check', "--way=$way", '-t', 'parent' ], 2), qr/public\.grandchild\.token +20 /, "are found, $way");
}
ends('children', 'postgres', [ 'rotate', '--yes', '--way=client', '-t', 'parent' ], 0);
is(sql('postgres', 'SELECT count(*) FROM grandchild WHERE fernet_try_decrypt(token) IS NULL'), '20', 'and rotated with their table');

# ---------------------------------------------------------------------------
# functions of others in the schema of the extension
# ---------------------------------------------------------------------------

$node->safe_psql('postgres', <<'SQL');
CREATE TABLE called (what text);
CREATE FUNCTION fernet_find_tokens(relations regclass[]) RETURNS TABLE (relation regclass, column_name name, type text,
	form text, status text, key_index integer, fingerprint text, tokens bigint, detail text)
	LANGUAGE sql AS $$INSERT INTO called VALUES ('find'); SELECT NULL::regclass, NULL::name, '', '', '', 0, '', 0::bigint, '' WHERE false$$;
CREATE FUNCTION fernet_assert_database_rotated(except_places text[], on_unknown text, allow_empty boolean) RETURNS void
	LANGUAGE sql AS $$INSERT INTO called VALUES ('database')$$;
CREATE FUNCTION fernet_assert_rotated(relation regclass, on_unknown text, allow_empty boolean) RETURNS void
	LANGUAGE sql AS $$INSERT INTO called VALUES ('table')$$;
SQL
ends('functions of others', 'postgres', [ 'rotate', '--yes', '-t', 'a' ], 0);
ends('and for the whole database', 'postgres', [ 'rotate', '--yes', '-q' ], 0);
is($node->safe_psql('postgres', 'SELECT count(*) FROM called'), '0', 'are not called');

# ---------------------------------------------------------------------------
# a value that goes from a table of one way to one of the other
# ---------------------------------------------------------------------------

SKIP:
{
	skip 'postgres_fdw is not installed', 3 if $node->safe_psql('postgres', "SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'") eq '0';
	$node->safe_psql('postgres', 'CREATE DATABASE mixed');
	my ($host, $port) = ($node->host, $node->port);
	sql('mixed', <<"SQL");
CREATE EXTENSION pg_fernet;
CREATE EXTENSION postgres_fdw;
CREATE SERVER itself FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$port', dbname 'postgres');
CREATE USER MAPPING FOR CURRENT_USER SERVER itself;
CREATE TABLE near (id int PRIMARY KEY, token text);
INSERT INTO near SELECT n, fernet_encrypt('x') FROM generate_series(1, 20) AS n;
CREATE FOREIGN TABLE far (id integer, token text) SERVER itself OPTIONS (table_name 'archive');
SQL
	sql('postgres', "CREATE TABLE archive (id int PRIMARY KEY, token text); INSERT INTO archive SELECT n, fernet_encrypt('x') FROM generate_series(101, 120) AS n");
	my $holder = start_session($node, 'BEGIN; SELECT 1 FROM near WHERE id = 1 FOR UPDATE; SELECT pg_sleep(600)', database => 'mixed', name => 'holder');
	$node->poll_query_until('mixed', "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'holder' AND query LIKE 'SELECT pg_sleep%'")
		or die 'no row is held';
	local %ENV = (%ENV, PGHOST => $host, PGPORT => $port, PGUSER => $user, PGDATABASE => 'mixed', FERNET_KEY => $keys);
	my $program = IPC::Run::start([ qw(pg_fernet rotate -q --yes --accept-unseen-writers) ], '<', \undef, '>', \my $out, '2>', \my $err);
	$node->poll_query_until('mixed', 'SELECT count(*) = 1 FROM fernet_rotation_progress WHERE pass > 1') or die 'no job waits';
	$node->safe_psql('mixed', 'INSERT INTO far SELECT id, token FROM near WHERE id = 1');
	$node->safe_psql('mixed', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'holder'");
	IPC::Run::finish($program);
	is($? >> 8, 0, 'a value goes from one way to the other: status') or diag($err);
	finish_session($holder);
	is((client($new, 'mixed', 'check', '-q'))[0], 0, 'and nothing is left');
	is($node->safe_psql('postgres', 'SELECT count(*) FROM archive'), '21', 'in all rows');
}

# ---------------------------------------------------------------------------
# temporary tables of others, and what a dry run knows
# ---------------------------------------------------------------------------

$node->safe_psql('postgres', 'CREATE DATABASE plain');
$node->safe_psql('postgres', 'CREATE ROLE reader LOGIN');
my $token = sql('postgres', "SELECT fernet_encrypt('x')");
$node->safe_psql('plain', "CREATE TABLE t (token text); INSERT INTO t VALUES ('$token'); GRANT SELECT ON t TO reader");
my $rest = '--except=everything outside of tables';
{
	local $user = 'reader';
	ends('a dry run without rights', 'plain', [ 'rotate', '--yes', '--dry-run', $rest ], 2, qr/this role may not SELECT and UPDATE/);
}
ends('a dry run with rights', 'plain', [ 'rotate', '--yes', '--dry-run', $rest ], 0);
my $other = start_session($node, 'CREATE TEMP TABLE kept AS SELECT * FROM t', database => 'plain', name => 'other');
$node->poll_query_until('plain', "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'other' AND state = 'idle' AND query LIKE 'CREATE TEMP%'")
	or die 'no temporary table';
like(ends('a temporary table of another session', 'plain', [ 'rotate', '--yes', $rest ], 2), qr/pg_temp/, 'it is named');
ends('it may be left out', 'plain', [ 'rotate', '--yes', '--except=pg_temp', $rest ], 0);
$node->safe_psql('plain', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'other'");
finish_session($other);

# Who may write to a partitioned table may not write to its partitions by name.
$node->safe_psql('plain', "CREATE TABLE parted (n int, token text) PARTITION BY LIST (n); CREATE TABLE part PARTITION OF parted DEFAULT; INSERT INTO parted VALUES (1, '$token'); GRANT SELECT, UPDATE ON parted TO reader; GRANT SELECT ON part TO reader");
{
	local $user = 'reader';
	ends('a dry run without rights on a partition', 'plain', [ 'rotate', '--yes', '--dry-run', '-t', 'parted' ], 2, qr/this role may not SELECT and UPDATE each of the columns of public\.part/);
}

# A trigger has plans of its own.
$node->safe_psql('plain', <<'SQL');
CREATE TABLE plans (nested text, hashed text);
CREATE FUNCTION plan() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
	INSERT INTO public.plans VALUES (current_setting('enable_nestloop'), current_setting('plan_cache_mode')); RETURN NEW; END$$;
CREATE TRIGGER watched BEFORE UPDATE ON part FOR EACH ROW EXECUTE FUNCTION plan();
SQL
ends('a table with a trigger', 'plain', [ 'rotate', '--yes', '-t', 'parted' ], 0);
is($node->safe_psql('plain', 'SELECT * FROM plans'), 'on|auto', 'plans of triggers stay');

# A table gets another name while it is rotated. Whoever renames it waits for the
# holder of a row, and is the next one after that.
foreach my $way ('postgres', 'plain')
{
	$node->safe_psql($way, "CREATE TABLE named (id int PRIMARY KEY, token text); INSERT INTO named SELECT n, '$token' FROM generate_series(1, 20) AS n");
	my $holder = start_session($node, 'BEGIN; SELECT 1 FROM named WHERE id = 1 FOR UPDATE; SELECT pg_sleep(600)', database => $way, name => 'holder');
	$node->poll_query_until($way, "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'holder' AND query LIKE 'SELECT pg_sleep%'")
		or die 'no row is held';
	local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGUSER => $user, PGDATABASE => $way, FERNET_KEY => $keys, PGAPPNAME => 'pg_fernet');
	my $program = IPC::Run::start([ qw(pg_fernet rotate -q --yes -t named) ], '<', \undef, '>', \my $out, '2>', \my $err);
	$node->poll_query_until($way, q{SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'pg_fernet' AND wait_event_type = 'Lock'}) or die 'no job waits';
	my $owner = start_session($node, 'ALTER TABLE named RENAME TO other_name', database => $way, name => 'owner');
	$node->poll_query_until($way, q{SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'owner' AND wait_event_type = 'Lock'}) or die 'nobody renames';
	$node->safe_psql($way, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'holder'");
	IPC::Run::finish($program);
	is($? >> 8, 2, "a table gets another name in $way: status");
	like($err, qr/nothing was proved about public\.named|named.* does not exist/, 'and words');
	finish_session($_) foreach $holder, $owner;
}

# ---------------------------------------------------------------------------
# slices, of a table that is larger than the share of a job
# ---------------------------------------------------------------------------

$node->safe_psql('postgres', 'CREATE DATABASE large');
sql('large', <<'SQL');
CREATE EXTENSION pg_fernet;
CREATE TABLE first (id int, filler text COLLATE "C", token text);
ALTER TABLE first ALTER filler SET STORAGE PLAIN;
INSERT INTO first SELECT n, repeat('x', 7500), fernet_encrypt(n::text) FROM generate_series(1, 2200) AS n;
CREATE TABLE second (LIKE first INCLUDING STORAGE);
INSERT INTO second TABLE first;
SQL
my $dry = ends('one job', 'large', [ 'rotate', '--yes', '--dry-run' ], 0);
unlike($dry, qr/slice/, 'no slices for one job');
$dry = ends('half of the work each, two jobs', 'large', [ 'rotate', '--yes', '--dry-run', '--jobs=2' ], 0);
unlike($dry, qr/slice/, 'no slices of a table that is the share of a job');
my $out = ends('half of the work each, four jobs', 'large', [ 'rotate', '--yes', '--jobs=4' ], 0);
my (%slices, %rotated);
while ($out =~ /^public\.(\w+), (slice \d of \d): (\d+) rotated, \d+ unchanged, 0 failed$/mg)
{
	$slices{"$1, $2"} = 1;
	$rotated{$1} += $3;
}
is(join('; ', sort keys %slices), 'first, slice 1 of 2; first, slice 2 of 2; second, slice 1 of 2; second, slice 2 of 2', 'as many slices as make shares, and no more');
is(join(' ', @rotated{ 'first', 'second' }), '2200 2200', 'and each row is rotated once');
is(sql('large', 'SELECT (SELECT count(*) FROM first WHERE fernet_try_decrypt(token) IS NULL), (SELECT count(*) FROM second WHERE fernet_try_decrypt(token) IS NULL)'),
	'2200|2200', 'with the new key');

sql('large', <<'SQL');
DROP TABLE second;
VACUUM FULL first;
CREATE TABLE small1 (LIKE first INCLUDING STORAGE);
INSERT INTO small1 SELECT * FROM first WHERE id <= 440;
CREATE TABLE small2 (LIKE first INCLUDING STORAGE);
INSERT INTO small2 TABLE small1;
CREATE TABLE small3 (LIKE first INCLUDING STORAGE);
INSERT INTO small3 TABLE small1;
CREATE TABLE small4 (LIKE first INCLUDING STORAGE);
INSERT INTO small4 TABLE small1;
CREATE TABLE small5 (LIKE first INCLUDING STORAGE);
INSERT INTO small5 TABLE small1;
SQL
$dry = ends('one half and five tenths, four jobs', 'large', [ 'rotate', '--column=public.first.token', map({ "--column=public.small$_.token" } 1 .. 5), '--dry-run', '--jobs=4' ], 0);
is(join('; ', sort { $a cmp $b } $dry =~ /^public\.(\w+, slice \d of \d)/mg), 'first, slice 1 of 3; first, slice 2 of 3; first, slice 3 of 3', 'three slices of the half: two would leave the last of the tenths to one job alone');
$dry = ends('one half and five tenths, two jobs', 'large', [ 'rotate', '--column=public.first.token', map({ "--column=public.small$_.token" } 1 .. 5), '--dry-run', '--jobs=2' ], 0);
unlike($dry, qr/slice/, 'no slices where whole tables end together');

# ---------------------------------------------------------------------------
# keys in the wrong place
# ---------------------------------------------------------------------------

my $standard = 'a/b+' x 10 . 'abc=';
foreach my $case ([ 'an option that begins as a key may', '--' . substr($standard, 2) =~ tr{+/}{-_}r ], [ 'an option that is none', "--fernet-key=$standard" ], [ 'the file', "--key-file=$standard" ], [ 'a second argument', 'plain', $standard ])
{
	my ($name, @arguments) = @$case;
	unlike(ends("a key as $name", 'plain', [ 'check', @arguments ], 1), qr/\Q@{[ substr $standard, 4, 20 ]}\E|a-b_a-b_/, 'is not shown');
}
{
	local $ENV{PGOPTIONS} = "-c fernet.key=$old";
	unlike(ends('a key in PGOPTIONS', 'plain', ['check'], 1, qr/the connection options set a key/), qr/\Q$old\E/, 'is not shown either');
}

$node->stop;
done_testing();
