# The client way of pg_fernet: a database without the extension. Its tokens are
# Python's where Python has cryptography, and Python judges what becomes of them;
# otherwise the extension does, from another database.

use strict;
use warnings;

use FaultTest qw(random_seed);
use FernetTest qw(:DEFAULT same session start_session finish_session);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $rows = $ENV{FERNET_LONG} ? 20000 : 400;
my ($old, $new) = (new_key(), new_key());
my $keys = "$new,$old";
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "max_prepared_transactions = 2\ndeadlock_timeout = 200ms\nautovacuum = off");
$node->start;
my $folder = PostgreSQL::Test::Utils::tempdir();
my $rest = '--except=everything outside of tables';
my $python = IPC::Run::run([ 'python3', '-c', 'import cryptography.fernet' ], '>', \my $ignored, '2>&1');

my $superuser = $ENV{PGUSER} // getpwuid($<);
our $user = $superuser;

# client runs the program with the keys in the database "plain".
sub client
{
	my ($keys, @arguments) = @_;
	local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGDATABASE => 'plain', FERNET_KEY => $keys);
	$ENV{PGUSER} = $user;
	IPC::Run::run([ 'pg_fernet', @arguments ], '<', \undef, '>', \my $out, '2>', \my $err);
	return ($? >> 8, $out, $err);
}

# ends tests status, output and errors of a call.
sub ends
{
	my ($name, $keys, $arguments, $status, $out, $err) = @_;
	my @got = client($keys, @$arguments);
	is($got[0], $status, "$name: status");
	like($got[1], $out, "$name: output") if defined $out;
	ref $err ? like($got[2], $err, "$name: errors") : same($got[2], $err, "$name: errors") if defined $err;
	return @got;
}

sub plain { return $node->safe_psql('plain', @_) }

# ---------------------------------------------------------------------------
# tokens in every type of column
# ---------------------------------------------------------------------------

# made is so many tokens, with their numbers.
sub made
{
	my ($key, $count) = @_;
	if (!$python)
	{
		$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS pg_fernet');
		return (session($node, "COPY (SELECT n, fernet_encrypt('secret ' || n) FROM generate_series(0, $count - 1) AS n) TO STDOUT", options => "-c fernet.key=$key"))[0] . "\n";
	}
	IPC::Run::run([ 'python3', '-c', <<'PY', $count ], '<', \$key, '>', \my $out) or die 'python';
import sys
from cryptography.fernet import Fernet
key = Fernet(sys.stdin.read())
for n in range(int(sys.argv[1])):
    print(n, key.encrypt(b"secret %d" % n).decode(), sep="\t")
PY
	return $out;
}
$node->safe_psql('postgres', 'CREATE DATABASE plain');
$node->safe_psql('postgres', 'CREATE DATABASE keyed');
append_to_file("$folder/tokens", made($old, $rows));

# load makes a table "made" of the tokens in a database.
sub load
{
	my ($database) = @_;
	$node->safe_psql($database, "CREATE TABLE made (n integer, x text);\n\\copy made FROM '$folder/tokens'");
	return;
}
load('plain');
plain(<<'SQL');
CREATE EXTENSION hstore; CREATE EXTENSION citext;
CREATE TYPE pair AS (a text, b bytea, c float8, d timestamptz, e jsonb);
CREATE DOMAIN tokens AS text CHECK (length(VALUE) > 50);
CREATE TYPE text_range AS RANGE (subtype = text);
CREATE TABLE holder (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), a text, b varchar(300), c char(300), d bytea, e json, f jsonb, g hstore, h text[], i pair,
 j tokens, k xml, l text, m citext, n text_range, o bytea[], p jsonb[], "Q ""x" text);
INSERT INTO holder (a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, "Q ""x") SELECT x, x, x, x::bytea, ('{ "a" : 1.0, "a":2,  "t":"' || x || '"}')::json,
 ('{"n": 1.00, "t": ["' || x || '"]}')::jsonb, hstore('a', x), ARRAY[NULL, x, 'x"y'], ROW(x, x::bytea, 0.1::float8 / 3, '4000-01-01 12:00:00.000001 BC', jsonb_build_object('k', x))::pair,
 x, xmlelement(name a, x), encode(x::bytea, 'hex'), x, text_range(x, NULL), ARRAY[x::bytea], ARRAY[jsonb_build_object('k', x)], 'v1:' || x FROM made WHERE n < 50;
INSERT INTO holder (i) SELECT ROW(NULL, NULL, 1e-300, NULL, jsonb_build_object('k', x))::pair FROM made WHERE n < 3;
CREATE TABLE nokey AS SELECT n, x AS a, x::bytea AS b, 0 AS used FROM made;
CREATE TABLE "The ""parts" (n integer, t text) PARTITION BY RANGE (n);
CREATE TABLE low PARTITION OF "The ""parts" FOR VALUES FROM (0) TO (100);
CREATE TABLE high (gone integer, t text, n integer); ALTER TABLE high DROP COLUMN gone;
ALTER TABLE "The ""parts" ATTACH PARTITION high FOR VALUES FROM (100) TO (1000000);
INSERT INTO "The ""parts" SELECT n, x FROM made;
CREATE TABLE generated (t text, u text GENERATED ALWAYS AS ('v1:' || t) STORED); INSERT INTO generated SELECT x FROM made WHERE n < 10;
CREATE TABLE mother (t text); CREATE TABLE child (n integer) INHERITS (mother);
INSERT INTO mother SELECT x FROM made WHERE n < 10; INSERT INTO child SELECT x, n FROM made WHERE n < 10;
CREATE VIEW seen AS SELECT x FROM made;
SQL

# What holds tokens, as one text for each row; Python replaces each token by
# what the keys decrypt it to.
my $cells = "SELECT format('%s %s', id, h.*::text) FROM (SELECT * FROM holder ORDER BY id) AS h";
my $reader = <<'PY';
import re, sys
from cryptography.fernet import Fernet, MultiFernet
key = MultiFernet([Fernet(k) for k in sys.argv[1].split(",")])
def opened(found): return key.decrypt(found.group(0)).decode()
def decoded(found): return re.sub(r"gAAAAA[\w-]+=*", opened, bytes.fromhex(found.group(0)).decode())
for line in sys.stdin:
    print(re.sub(r"gAAAAA[\w-]+=*", opened, re.sub(r"(?:[0-9a-f]{2}){98,}", decoded, line)), end="")
PY

# opened is $text with each token opened by one of the keys, by Python.
sub opened
{
	my ($keys, $text) = @_;
	IPC::Run::run([ 'python3', '-c', $reader, $keys ], '<', \$text, '>', \my $out, '2>', \my $err);
	$err =~ s/[A-Za-z0-9_=-]{20,}/<withheld>/g;
	return $err eq '' ? $out : $err;
}

my $before = $python ? opened($old, plain($cells)) : '';
my @got = ends('check', "$new,$old", [ 'check', $rest ], 2, qr/read by this program.*holder\.i +\d+ +inside.*tokens are not encrypted with the first key/s, '');
my ($tokens) = $got[1] =~ /(\d+) of \d+ tokens are not/;
ends('the server cannot', "$new,$old", [ 'rotate', '--way=server' ], 1, qr/^$/, qr/the extension pg_fernet is not in the database/);
my $counts = "SELECT sum(hashtext(t::text)::bigint) FROM nokey AS t";
my $sum = plain($counts);
ends('a dry run', "$new,$old", [ 'rotate', '--yes', '--dry-run', $rest ], 0, qr/nokey: @{[ 2 * $rows ]} to rotate, 0 unchanged, 0 failed, by this program/, '');
is(plain($counts), $sum, 'writes nothing');

# The application changes other columns, and writes values with the new key.
my ($fresh) = made($new, 1) =~ /\t(.*)\n/;
append_to_file("$folder/application.sql", "\\set n random(0, $rows - 1)\nUPDATE nokey SET used = used + 1 WHERE n = :n;\nINSERT INTO nokey VALUES (-1, '$fresh', NULL, 0);\nUPDATE \"The \"\"parts\" SET t = '$fresh' WHERE n = :n;\n");
# application starts it, and waits until it has written.
sub application
{
	my $count = plain('SELECT count(*) FROM nokey WHERE n < 0');
	my @where = ('-n', '-h', $node->host, '-p', $node->port, '-U', $superuser, 'plain');
	my $run = IPC::Run::start([ 'pgbench', '-c', 2, '-T', 600, '-f', "$folder/application.sql", @where ], '>', \my $out, '2>', \my $err);
	$node->poll_query_until('plain', "SELECT count(*) > $count FROM nokey WHERE n < 0") or die 'the application does not write';
	return $run;
}
my $application = application();
@got = ends('beside an application', "$new,$old", [ 'rotate', '--yes', '-j', 2, '--batch-rows=50', $rest ], 0,
	qr/public\.holder: 853 rotated, 0 unchanged, 0 failed, by this program\n.*database plain: every token in the places that were read is encrypted with the first key\.$/s, '');
$application->kill_kill;
ends('check with the new key alone', $new, [ 'check', $rest ], 0, qr/The first key decrypts all \d+ tokens\.\n$/, '');
cmp_ok(plain('SELECT sum(used) FROM nokey'), '>', 0, 'the application has written');
is(plain('SELECT count(*) FROM nokey WHERE n >= 0'), $rows, 'no row is lost or doubled');
SKIP:
{
	skip 'no python3-cryptography', 2 unless $python;
	same(opened($new, plain($cells)), $before, 'Python reads all, and nothing else has changed');
	same(opened($new, plain('SELECT a FROM nokey WHERE n >= 0 ORDER BY n')), join('', map { "secret $_\n" } 0 .. $rows - 2) . 'secret ' . ($rows - 1), 'every secret is in its row');
}

# ---------------------------------------------------------------------------
# keys of every kind, in place of ctids: for tables that Citus would know
# ---------------------------------------------------------------------------

load('keyed');
$node->safe_psql('keyed', <<'SQL');
CREATE EXTENSION citext;
CREATE TABLE by_float (k float8 PRIMARY KEY, t text);
INSERT INTO by_float SELECT CASE n WHEN 0 THEN 'NaN' WHEN 1 THEN 'Infinity' WHEN 2 THEN '-0' ELSE n / 3.0 END, x FROM made;
CREATE TABLE by_time (k timestamptz PRIMARY KEY, t jsonb);
INSERT INTO by_time SELECT CASE n WHEN 0 THEN 'infinity' WHEN 1 THEN '-infinity' WHEN 2 THEN '4000-01-01 BC' ELSE now() + n * interval '1 us' END, jsonb_build_object('a', x) FROM made;
CREATE TABLE by_citext (k citext PRIMARY KEY, t bytea);
INSERT INTO by_citext SELECT CASE WHEN n % 2 = 0 THEN 'a' ELSE 'B' END || n, x::bytea FROM made;
CREATE TABLE by_bytea (k bytea NOT NULL UNIQUE, t text[]); INSERT INTO by_bytea SELECT x::bytea, ARRAY[x] FROM made;
CREATE TABLE by_three ("K ""x" char(10), b "char", c uuid DEFAULT gen_random_uuid(), t text, PRIMARY KEY ("K ""x", b, c));
INSERT INTO by_three SELECT n / 100, (n / 10 % 10)::text::"char", gen_random_uuid(), x FROM made;
CREATE TABLE by_itself (k text PRIMARY KEY); INSERT INTO by_itself SELECT x FROM made;
DROP TABLE made;
CREATE TABLE deferred (k integer PRIMARY KEY DEFERRABLE, t text); CREATE TABLE nulls (k integer UNIQUE, t text);
CREATE TABLE part (k integer NOT NULL, t text); CREATE UNIQUE INDEX ON part (k) WHERE k > 0;
SET allow_system_table_mods = on;
CREATE TABLE pg_catalog.pg_dist_partition AS SELECT oid::regclass AS logicalrelid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace;
SQL
ends('who writes is not seen', "$new,$old", [ 'rotate', 'keyed', '--yes', '-q', '-j', 2, '--batch-rows=70', $rest ], 2, qr/something is left/, qr/cannot be seen from here who may still write.*Foreign tables and tables of Citus: .*by_float/s);
ends('who writes need not be seen', "$new,$old", [ 'rotate', 'keyed', '--yes', '-q', $rest, '--accept-unseen-writers' ], 0, undef, '');
ends('keys of every kind', $new, [ 'check', 'keyed', $rest ], 0, qr/The first key decrypts all @{[ 6 * $rows + $rows ]} tokens/, '');
ends('no key', "$new,$old", [ 'rotate', 'keyed', "--column=public.$_.t", '-t', $_ ], 2, undef, qr/the rows of public\.$_ have no key.*It is a table of Citus/s) foreach qw(deferred nulls part);

# ---------------------------------------------------------------------------
# what stands in the way
# ---------------------------------------------------------------------------

plain('DROP TABLE made CASCADE');
load('plain');

# refill gives "held" old values.
sub refill { plain('DROP TABLE IF EXISTS held; CREATE TABLE held (id integer PRIMARY KEY, t text, u text); INSERT INTO held SELECT n, x, x FROM made WHERE n < 9'); return }
my @held = ('rotate', '--yes', '-t', 'held');

refill();
plain(q{ALTER TABLE held ADD CHECK (id <> 3 OR t LIKE 'gA%' AND t = u); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF OLD.id = 4 THEN RETURN NULL; ELSIF OLD.id = 5 THEN RAISE ''bad token %'', OLD.t; END IF; RETURN NEW; END'; CREATE TRIGGER no BEFORE UPDATE ON held FOR EACH ROW EXECUTE FUNCTION f(); UPDATE held SET t = left(t, 95) WHERE id = 6});
@got = ends('refusals', "$new,$old", [@held], 2, qr/held: 11 rotated, \d unchanged, 4 failed/, qr/its trigger no is called.*warning: public\.held: value at \(id\)=\(4\): an UPDATE does not change it.*error: database plain: \d of \d+ tokens are not encrypted with the first key/s);
like($got[2], qr/\(id\)=\(5\): the server refuses the new value: a trigger or a type raises SQLSTATE P0001/, 'a trigger that raises an error');
like($got[2], qr/\(id\)=\(6\): t: a token in it was cut or changed/, 'a remnant');
unlike($got[1] . $got[2], qr/gAAAAA/, 'no value is shown');
refill();
plain('CREATE RULE no AS ON UPDATE TO held DO INSTEAD NOTHING');
ends('a rule', "$new,$old", [@held], 2, qr/held: 0 rotated, 9 unchanged, 9 failed/, qr/\(id\)=\(1\): an UPDATE does not change it: a trigger, a rule/);
refill();
plain('ALTER TABLE held ENABLE ROW LEVEL SECURITY; CREATE ROLE ordinary LOGIN; GRANT SELECT, UPDATE ON held TO ordinary');
{
	local $user = 'ordinary';
	ends('row security', "$new,$old", [@held], 2, undef, qr/1 place was not read/);
	plain('ALTER TABLE held DISABLE ROW LEVEL SECURITY');
	ends('a role that does not see all', "$new,$old", [@held], 2, qr/18 rotated/, qr/this role cannot see all transactions/);
	plain('GRANT pg_read_all_stats TO ordinary');
	ends('a role that does', "$new,$old", [@held], 0, undef, '');
	plain('REVOKE UPDATE ON held FROM ordinary');
	ends('a role that may not write', "$old,$new", [@held], 2, qr/something is left/, qr/permission denied for table held/);
}

# A prepared transaction, which has an old value.
refill();
plain(q{BEGIN; INSERT INTO held SELECT 100, x, x FROM made WHERE n = 1; PREPARE TRANSACTION 'it''s'});
{
	local $ENV{PGOPTIONS} = '-c lock_timeout=300';
	ends('a prepared transaction', "$new,$old", [@held], 2, qr/something is left/, qr/open transactions may still write old values\n.*detail: They are: prepared transaction 'it''s'\./);
}
plain(q{COMMIT PREPARED 'it''s'});

# rotating starts the program, has $meanwhile called when a query of the program
# is as $query says, and returns how it ended.
sub rotating
{
	my ($meanwhile, $query, @arguments) = @_;
	my ($program, $out, $err) = (undef, '', '');
	{
		local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGUSER => $superuser, PGDATABASE => 'plain', PGAPPNAME => 'fernet_way', FERNET_KEY => $keys);
		$program = IPC::Run::start([ 'pg_fernet', @arguments ], '<', \undef, '>', \$out, '2>', \$err);
	}
	# Without a query, the time is any.
	select(undef, undef, undef, rand(0.5)) if !defined $query;
	!defined $query or $node->poll_query_until('plain', "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'fernet_way' AND $query") or die "no $query";
	$meanwhile->($program);
	$program->finish;
	return ($? >> 8, $out, $err);
}

# holding runs $sql, then holds its transaction until $meanwhile has been called.
sub holding
{
	my ($sql, $after, $query, $meanwhile) = @_;
	plain('CREATE TABLE IF NOT EXISTS latch (n integer)');
	my $latch = start_session($node, 'BEGIN; SELECT pg_advisory_lock(1); SELECT pg_sleep(600)', database => 'plain', name => 'latch');
	$node->poll_query_until('plain', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'latch' AND query LIKE 'SELECT pg_sleep%'}) or die 'no latch';
	my $holder = start_session($node, "BEGIN ISOLATION LEVEL REPEATABLE READ; $sql; SELECT pg_advisory_lock(1); $after; COMMIT", database => 'plain', name => 'holder');
	$node->poll_query_until('plain', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'holder' AND wait_event = 'advisory'}) or die 'nobody holds';
	my @ended = rotating(sub { $meanwhile->(@_); plain(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'latch'}) }, $query, @held);
	# Whoever waits for a lock too long is the program, not the application.
	my (undef, $holder_err) = finish_session($holder);
	same($holder_err, '', 'the application is not in the way of the program');
	return @ended;
}

my $proving = q{query LIKE '%virtualtransaction = ANY%'};
my $locked = q{wait_event_type = 'Lock'};
refill();
@got = holding('SELECT count(*) FROM held', 'INSERT INTO held SELECT 200 + id, t, u FROM held', $proving, sub { });
is($got[0], 0, 'a transaction copies old values: status');
ends('that are rotated, too', $new, [ 'check', '-t', 'held' ], 0, qr/all 36 tokens/, '');
refill();
@got = holding('SELECT 1 FROM held WHERE id = 1 FOR UPDATE', "UPDATE held SET u = 'own' WHERE id = 1", $locked, sub { });
is($got[0], 0, 'a row is locked: status');
ends('and rotated as the application left it', $new, [ 'check', '-t', 'held' ], 0, qr/all 17 tokens/, '');
refill();
@got = holding('SELECT 1 FROM held WHERE id = 1 FOR UPDATE', 'SELECT 1', $locked, sub { $_[0]->signal('INT') });
is($got[0], 3, 'Ctrl-C: status');
@got = holding('SELECT 1 FROM held WHERE id = 1 FOR UPDATE', 'SELECT 1', $locked, sub { plain(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'fernet_way'}) });
is($got[0], 0, 'the sessions of the program are terminated: status');
ends('and its work is done', $new, [ 'check', '-t', 'held' ], 0, qr/all 18 tokens/, '');
refill();
@got = holding('LOCK TABLE held IN SHARE MODE', 'DROP TABLE held', $locked, sub { });
is($got[0], 0, 'a table is dropped: status');
is(plain(q{SELECT to_regclass('held') IS NULL}), 't', 'and it is gone');

# ---------------------------------------------------------------------------
# kills
# ---------------------------------------------------------------------------

random_seed();
plain('DROP TABLE "The ""parts", nokey; CREATE TABLE "The ""parts" AS SELECT n, x AS t FROM made; CREATE TABLE nokey AS SELECT n, x AS a, x::bytea AS b, 0 AS used FROM made');
my @kills = (
	sub { $_[0]->signal('KILL') },
	sub { $_[0]->signal('INT') },
	sub { plain(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'fernet_way'}) },
	sub { $node->stop('immediate'); $node->start });
foreach my $round (1 .. ($ENV{FERNET_LONG} ? 100 : 4))
{
	$application = application() if $round % 4 != 0;
	$keys = $round % 2 ? "$new,$old" : "$old,$new";
	rotating($kills[ $round % 4 ], undef, 'rotate', '--yes', '-q', '-j', 2, '--batch-rows=20', '--pause=10ms', '-t', 'nokey', '-t', '"The ""parts"');
	$application->kill_kill if $round % 4 != 0;
}
@got = ends('after all of that', "$new,$old", [ 'rotate', '--yes', '-q', $rest ], 0, undef, '');
ends('no value is left', $new, [ 'check', $rest ], 0, undef, '');
is(plain('SELECT count(*), count(DISTINCT n) FROM nokey WHERE n >= 0'), "$rows|$rows", 'none is lost or doubled');
same(opened($new, plain('SELECT a FROM nokey WHERE n >= 0 ORDER BY n')), join("\n", map { "secret $_" } 0 .. $rows - 1), 'none is unreadable') if $python;

$node->stop;
done_testing();
