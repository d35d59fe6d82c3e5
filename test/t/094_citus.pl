# Citus: one coordinator and two workers. The server refuses every table whose rows
# are in shards, by the name of the table and by that of a shard; the key is given
# to workers for a transaction. Runs where CREATE EXTENSION citus is possible.

use strict;
use warnings FATAL => 'all';

use FernetTest qw(:DEFAULT same session);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

chomp(my $share = `pg_config --sharedir`);
plan skip_all => 'Citus is not installed' if !-e "$share/extension/citus.control";

my ($old, $new) = (new_key(), new_key());
my $both = "-c fernet.key=$new,$old";
my @nodes = map { PostgreSQL::Test::Cluster->new($_) } 'coordinator', 'one', 'two';
foreach my $node (@nodes)
{
	$node->init;
	$node->append_conf('postgresql.conf', <<"CONF");
shared_preload_libraries = 'citus,pg_fernet'
wal_level = logical
listen_addresses = '127.0.0.1'
citus.local_hostname = '127.0.0.1'
citus.shard_count = 4
citus.node_conninfo = 'sslmode=prefer'
autovacuum = off
log_statement = all
CONF
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION citus; CREATE EXTENSION pg_fernet');
}
my ($coordinator, @workers) = @nodes;
$coordinator->safe_psql('postgres', "SELECT citus_set_coordinator_host('127.0.0.1', " . $coordinator->port . ')');
$coordinator->safe_psql('postgres', "SELECT citus_add_node('127.0.0.1', " . $_->port . ')') foreach @workers;

my (undef, $err) = session($coordinator, <<'SQL', options => "-c fernet.key=$old -c client_min_messages=error");
CREATE TABLE spread (tenant integer, id integer, token text, PRIMARY KEY (tenant, id));
SELECT create_distributed_table('spread', 'tenant');
CREATE TABLE copied (id integer PRIMARY KEY, token text);
SELECT create_reference_table('copied');
CREATE TABLE parted (tenant integer, at date, token text, PRIMARY KEY (tenant, at)) PARTITION BY RANGE (at);
CREATE TABLE early PARTITION OF parted FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE late PARTITION OF parted FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
SELECT create_distributed_table('parted', 'tenant');
CREATE TABLE known (id integer PRIMARY KEY, token text);
SELECT citus_add_local_table_to_metadata('known');
CREATE TABLE plain (id integer PRIMARY KEY, token text);
SET citus.enable_schema_based_sharding = on;
CREATE SCHEMA tenant;
CREATE TABLE tenant.own (id integer PRIMARY KEY, token text, document jsonb, list text[]);
INSERT INTO spread SELECT n % 9, n, fernet_encrypt('x') FROM generate_series(1, 300) AS n;
INSERT INTO copied SELECT n, fernet_encrypt('x') FROM generate_series(1, 20) AS n;
INSERT INTO parted SELECT n, date '2020-01-01' + n, fernet_encrypt('x') FROM generate_series(1, 600, 10) AS n;
INSERT INTO known SELECT n, fernet_encrypt('x') FROM generate_series(1, 20) AS n;
INSERT INTO plain SELECT n, fernet_encrypt('x') FROM generate_series(1, 20) AS n;
INSERT INTO tenant.own SELECT n, fernet_encrypt('x'), jsonb_build_object('a', fernet_encrypt('x')), ARRAY[NULL, fernet_encrypt('x')] FROM generate_series(1, 20) AS n;
SQL
same($err, '', 'tables with tokens');
my @tables = qw(spread copied parted early known tenant.own);

# ---------------------------------------------------------------------------
# what the server refuses
# ---------------------------------------------------------------------------

my @calls = (
	"CALL fernet_rotate_column('%s', 'token')",
	"CALL fernet_decrypt_column('%s', 'token', confirm => true)",
	"SELECT * FROM fernet_rotate_batch('%s', 'token')",
	"SELECT fernet_assert_rotated('%s', 'token')",
	"SELECT * FROM fernet_census('%s', 'token')");

# is_refused asks each of them on $node.
sub is_refused
{
	my ($node, $table, $cause, $hint) = @_;
	foreach my $call (@calls)
	{
		(undef, $err) = session($node, sprintf($call, $table), options => $both);
		like($err, qr/^ERROR:  0A000: the rows of "\w+" are not in its pages\nDETAIL:  $cause\nHINT:  $hint$/, $node->name . ': ' . sprintf $call, $table);
	}
	is((session($node, "SELECT status, detail FROM fernet_find_tokens(relations => '{$table}')", options => $both))[0],
		"not read|$cause", $node->name . ": fernet_find_tokens: $table");
	return;
}

foreach my $table (@tables)
{
	is_refused($coordinator, $table, 'It is a table of Citus, which keeps its rows in shards.', 'Rotate it with the program pg_fernet, from the coordinator.');
}
my %shards = map { split /\|/ } split /\n/, $coordinator->safe_psql('postgres', <<'SQL');
SELECT DISTINCT ON (table_name) shard_name, nodeport FROM citus_shards
WHERE table_name::text IN ('spread', 'copied', 'known', 'early') ORDER BY table_name, nodeport DESC, shard_name
SQL
is(scalar keys %shards, 4, 'shards');
foreach my $shard (sort keys %shards)
{
	my ($node) = grep { $_->port == $shards{$shard} } @nodes;
	is_refused($node, $shard, 'It is a shard of Citus, which may move it to another server.', 'Rotate the table that it is a shard of with the program pg_fernet, from the coordinator.');
}
foreach my $node (@nodes)
{
	(undef, $err) = session($node, 'SELECT fernet_assert_database_rotated(allow_empty => true)', options => $both);
	like($err, qr/^ERROR:  PF007: .*public\.spread \(It is a table of Citus/s, $node->name . ': the gate of the database');
}

# ---------------------------------------------------------------------------
# reading and writing
# ---------------------------------------------------------------------------

my $local = "SET citus.propagate_set_commands = 'local'; BEGIN; SET LOCAL fernet.key = '$old';";
my ($out);
($out, $err) = session($coordinator, "\\o /dev/null\n$local\\o\nSELECT count(fernet_decrypt(token)) FROM spread; SELECT count(fernet_decrypt(token)) FROM copied; SELECT count(*) FROM parted WHERE fernet_decrypt(token) = 'x'; COMMIT; SELECT count(fernet_decrypt(token)) FROM spread");
same($out, "300\n20\n60", 'SET LOCAL gives workers the key for a transaction');
like($err, qr/^ERROR:  PF001: no Fernet key is set\nHINT:  Give the session on this server the key .*\nCONTEXT:  while executing command on 127\.0\.0\.1:\d+$/, 'and no longer; the hint speaks of that server');

my @refused = (
	"UPDATE spread SET token = fernet_encrypt('y') WHERE tenant = 1",
	"INSERT INTO spread VALUES (1, 1, 'x') ON CONFLICT (tenant, id) DO UPDATE SET token = fernet_encrypt('y')",
	"INSERT INTO spread VALUES (1, 1001, fernet_encrypt('y')) RETURNING fernet_decrypt(token)",
	"UPDATE spread SET token = fernet_rotate(token) WHERE tenant = 1");
foreach my $sql (@refused)
{
	(undef, $err) = session($coordinator, $sql, options => $both);
	like($err, qr/^ERROR:  0A000: .*(?:IMMUTABLE|volatile)/i, "refused: $sql");
}
($out, $err) = session($coordinator, <<'SQL', options => "-c fernet.key=$old");
INSERT INTO spread VALUES (1, 2001, fernet_encrypt('y')), (2, 2002, fernet_encrypt('z'));
UPDATE spread SET token = v.token FROM (SELECT fernet_encrypt('yy') AS token OFFSET 0) AS v WHERE tenant = 1 AND id = 2001;
SQL
same($err, '', 'INSERT, and UPDATE from a subquery');
($out) = session($coordinator, "\\o /dev/null\n$local\\o\nSELECT fernet_decrypt(token) FROM spread WHERE id > 2000 ORDER BY id");
same($out, "yy\nz", 'are what they should be');

# ---------------------------------------------------------------------------
# the program
# ---------------------------------------------------------------------------

my %before = map { $_->name => length slurp($_->logfile) } @nodes;

# client runs the program on the coordinator, and returns status, output and
# errors.
sub client
{
	my ($keys, @arguments) = @_;
	local %ENV = (%ENV, PGHOST => $coordinator->host, PGPORT => $coordinator->port, PGDATABASE => 'postgres', FERNET_KEY => $keys);
	IPC::Run::run([ 'pg_fernet', @arguments ], '<', \undef, '>', \my $output, '2>', \my $errors);
	return ($? >> 8, $output, $errors);
}

my @got = client("$new,$old", 'check');
is($got[0], 2, 'check: status');
foreach my $count ('public\.spread\.token +302', 'public\.copied\.token +20', 'public\.parted\.token +60', 'public\.known\.token +20', 'public\.plain\.token +20', 'tenant\.own\.token +20', 'tenant\.own\.document +20', 'tenant\.own\.list +20')
{
	like($got[1], qr/\n  $count  \w+ +key 2, /, "check: $count");
}
@got = client("$new,$old", 'rotate', '--yes', '-q', '-j', 2);
is($got[0], 2, 'rotate: status, since other writers are not seen');
like($got[2], qr/error: .*it cannot be seen from here who may still write an old value.*\n.*detail: .*public\.spread.*\n.*hint: .*--accept-unseen-writers/, 'and words');
@got = client($new, 'check', '-q');
is($got[0], 0, 'but nothing is left') or diag("$got[1]$got[2]");
@got = client("$old,$new", 'rotate', '--yes', '-q', '-j', 2, '--accept-unseen-writers');
is($got[0], 0, 'rotate back: status');
@got = client($old, 'check', '-q');
is($got[0], 0, 'check with the first key alone');
my $copy = $coordinator->safe_psql('postgres', "SELECT shard_name FROM citus_shards WHERE table_name = 'copied'::regclass LIMIT 1");
my @copies = map { $_->safe_psql('postgres', "SELECT md5(string_agg(token, ',' ORDER BY id)) FROM $copy") } @nodes;
is_deeply([ @copies[ 1, 2 ] ], [ @copies[ 0, 0 ] ], 'the replicas of a reference table are identical');
foreach my $node (@nodes)
{
	my $log = substr(slurp($node->logfile), $before{ $node->name });
	unlike($log, qr/\Q$_\E/, $node->name . ': no key in the log') foreach $old, $new;
}

$_->stop foreach reverse @nodes;
done_testing();
