# Rows that are not in the pages of their table: nothing is claimed of them. The
# causes that catalogs know are told before the first write; for all others, the
# number of values that were read is compared with what a query counts.

use strict;
use warnings FATAL => 'all';

use FaultTest qw(build_library);
use FernetTest qw(:DEFAULT session start_session finish_session);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('elsewhere');
$node->init;
$node->start;
my $library = build_library('elsewhere', 'support');
my ($new, $old) = (new_key(), new_key());
my $both = "-c fernet.key=$new,$old";
session($node, <<"SQL", options => "-c fernet.key=$old");
CREATE EXTENSION pg_fernet;
CREATE TABLE t (token text);
INSERT INTO t SELECT fernet_encrypt('secret') FROM generate_series(1, 4);
CREATE TABLE source AS SELECT token FROM t, generate_series(1, 2);
CREATE TABLE parted (id integer, token text) PARTITION BY RANGE (id);
CREATE TABLE chunk PARTITION OF parted DEFAULT;
INSERT INTO parted SELECT 1, token FROM t;
CREATE ROLE reader LOGIN;
GRANT SELECT ON t TO reader;
SQL

sub told
{
	my ($sql, %how) = @_;
	my ($out, $err) = session($node, $sql, options => $both, %how);
	return $err;
}

sub is_unchanged
{
	my ($table, $name) = @_;
	is((session($node, "SELECT count(fernet_key_index(token)) FROM $table", options => "-c fernet.key=$old"))[0], '4', "$name: nothing was written");
	return;
}

my @calls = (
	"CALL fernet_rotate_column('%s', 'token')",
	"CALL fernet_decrypt_column('%s', 'token', confirm => true)",
	"SELECT * FROM fernet_rotate_batch('%s', 'token')",
	"SELECT fernet_assert_rotated('%s', 'token')",
	"SELECT * FROM fernet_census('%s', 'token')");

# is_refused asks each of them about $table.
sub is_refused
{
	my ($table, $refused, $cause, $name) = @_;
	foreach my $call (@calls)
	{
		my $err = told(sprintf $call, $table);
		like($err, qr/ERROR:  0A000: the rows of "$refused" are not in its pages\nDETAIL:  \Q$cause\E\nHINT:  Rotate .* with the program pg_fernet\b/, "$name: $call");
		unlike($err, qr/not needed/, "$name: no claim");
	}
	is_unchanged($table, $name);
	is((session($node, "SELECT status, detail FROM fernet_find_tokens(relations => '{$table}') WHERE relation = '$refused'::regclass", options => $both))[0],
		"not read|$cause", "$name: the search names it");
	return;
}

# A query gets more rows than there are in the pages.
my $hook = "LOAD '$library'; SET elsewhere.of = 't'; SET elsewhere.rows = 'source'";
my $differs = qr/ERROR:  0A000: the pages of "t" hold 4 values of "token", but a query counts 8\n.*\nHINT:  Rotate such a table with the program pg_fernet\b/;
foreach my $call (@calls[ 3, 4, 0, 1 ])
{
	my $err = told("$hook; " . sprintf $call, 't');
	like($err, $differs, "a planner that finds other rows: $call");
	unlike($err, qr/not needed/, 'and no claim');
}
$node->safe_psql('postgres', 'GRANT SELECT ON source TO reader; GRANT SELECT ON t TO reader');
$node->append_conf('postgresql.conf', "session_preload_libraries = '$library'");
$node->reload;
like(told("SET elsewhere.of = 't'; SET elsewhere.rows = 'source'; SELECT * FROM fernet_census('t', 'token')", user => 'reader'),
	$differs, 'the same for a role that is no superuser');
session($node, "TRUNCATE t; INSERT INTO t SELECT fernet_encrypt('secret') FROM generate_series(1, 4)", options => "-c fernet.key=$old");

# What catalogs know.
$node->safe_psql('postgres', <<"SQL");
CREATE FUNCTION elsewhere_access_method(internal) RETURNS table_am_handler LANGUAGE c AS '$library';
CREATE ACCESS METHOD elsewhere TYPE TABLE HANDLER elsewhere_access_method;
CREATE ACCESS METHOD also_heap TYPE TABLE HANDLER heap_tableam_handler;
CREATE TABLE other_method USING elsewhere AS SELECT * FROM t;
CREATE TABLE like_heap USING also_heap AS SELECT * FROM t;
SQL
is_refused('other_method', 'other_method', 'Its access method is elsewhere, not heap.', 'another access method');
like(told("CALL fernet_rotate_column('like_heap', 'token')"), qr/ decrypts 0 tokens and is not needed/, 'another name of heap');

my $fake = 'SET allow_system_table_mods = on; SET client_min_messages = error';
$node->safe_psql('postgres', <<"SQL");
$fake;
CREATE TABLE pg_catalog.pg_dist_partition (logicalrelid regclass);
INSERT INTO pg_catalog.pg_dist_partition VALUES ('t');
CREATE FUNCTION pg_catalog.relation_is_a_known_shard(regclass) RETURNS boolean LANGUAGE sql AS \$\$ SELECT \$1 = 'chunk'::regclass \$\$;
SQL
is_refused('t', 't', 'It is a table of Citus, which keeps its rows in shards.', 'Citus');
is_refused('parted', 'chunk', 'It is a shard of Citus, which may move it to another server.', 'a shard');
$node->safe_psql('postgres', "$fake; DROP TABLE pg_catalog.pg_dist_partition; DROP FUNCTION pg_catalog.relation_is_a_known_shard(regclass)");

$node->safe_psql('postgres', <<'SQL');
CREATE SCHEMA _timescaledb_catalog;
CREATE TABLE _timescaledb_catalog.chunk (schema_name name, table_name name, compressed_chunk_id integer);
INSERT INTO _timescaledb_catalog.chunk VALUES ('public', 'chunk', 7), ('public', 't', NULL);
SQL
is_refused('parted', 'chunk', 'It is a compressed chunk of TimescaleDB.', 'TimescaleDB');
# Since 2.29, chunks are known by their OIDs.
$node->safe_psql('postgres', <<'SQL');
ALTER TABLE _timescaledb_catalog.chunk RENAME TO former;
CREATE TABLE _timescaledb_catalog.chunk (relid regclass, status integer);
INSERT INTO _timescaledb_catalog.chunk VALUES ('chunk', 9), ('t', 8);
SQL
is_refused('parted', 'chunk', 'It is a compressed chunk of TimescaleDB.', 'TimescaleDB 2.29');
like(told("SELECT fernet_assert_rotated('t', 'token')"), qr/4 of 4 values/, 'a chunk that is not compressed');
$node->safe_psql('postgres', 'DROP TABLE _timescaledb_catalog.chunk; ALTER TABLE _timescaledb_catalog.former RENAME TO chunk');
# What a role without rights has made is not asked: its code would run.
$node->safe_psql('postgres', 'ALTER TABLE _timescaledb_catalog.chunk OWNER TO reader');
like(told("CALL fernet_rotate_column('t', 'token')"), qr/ decrypts 0 tokens and is not needed/, 'an uncompressed table, and a catalog that anybody may have made');

# A foreign child of an inheritance tree, from the start and while a job waits.
my $file = $node->basedir . '/rows';
append_to_file($file, "one\ntwo\n");
session($node, <<"SQL", options => "-c fernet.key=$old");
CREATE EXTENSION file_fdw;
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE TABLE parent (token text);
INSERT INTO parent SELECT fernet_encrypt('secret') FROM generate_series(1, 4);
SQL
my $child = "CREATE FOREIGN TABLE child () INHERITS (parent) SERVER files OPTIONS (filename '$file')";
foreach my $call (@calls[ 0, 3 ])
{
	my $keeper = $node->background_psql('postgres');
	$keeper->query('BEGIN; DELETE FROM parent WHERE false;');
	my $job = start_session($node, sprintf($call, 'parent'), options => $both, name => 'proof');
	$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'proof' AND wait_event = 'Extension'")
	  or BAIL_OUT('the proof does not wait');
	$node->safe_psql('postgres', $child);
	$keeper->query('COMMIT;');
	$keeper->quit;
	my (undef, $err) = finish_session($job);
	like($err, qr/ERROR:  (?:0A000: the rows of "child" are not in its pages\nDETAIL:  It is a foreign table\.|42809: "child" is not a table\nDETAIL:  .*)\nHINT:  Rotate it with the program pg_fernet\b/, "a foreign child that came meanwhile: $call");
	unlike($err, qr/not needed/, 'and no claim');
	session($node, "DROP FOREIGN TABLE child; TRUNCATE parent; INSERT INTO parent SELECT fernet_encrypt('secret') FROM generate_series(1, 4)", options => "-c fernet.key=$old");
}
$node->safe_psql('postgres', $child);
like(told(sprintf $_, 'parent'), qr/ERROR:  42809: "child" is not a table\nDETAIL:  This operation is not supported for foreign tables\.\nHINT:  Rotate it with the program pg_fernet\b/, "a foreign child: $_") foreach @calls;
is((session($node, 'SELECT count(fernet_key_index(token)) FROM ONLY parent', options => "-c fernet.key=$old"))[0], '4', 'nothing was written');

$node->stop;
done_testing();
