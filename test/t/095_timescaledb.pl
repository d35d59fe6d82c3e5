# TimescaleDB: chunks of a hypertable, some of them compressed. The server refuses
# the compressed ones by name; the program rotates them. Runs where CREATE
# EXTENSION timescaledb is possible.

use strict;
use warnings FATAL => 'all';

use FernetTest qw(:DEFAULT same session);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

chomp(my $share = `pg_config --sharedir`);
plan skip_all => 'TimescaleDB is not installed' if !-e "$share/extension/timescaledb.control";

my ($old, $new) = (new_key(), new_key());
my $both = "-c fernet.key=$new,$old";
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'timescaledb,pg_fernet'\ntimescaledb.telemetry_level = off");
$node->start;
my (undef, $err) = session($node, <<'SQL', options => "-c fernet.key=$old -c client_min_messages=error");
CREATE EXTENSION timescaledb;
CREATE EXTENSION pg_fernet;
CREATE TABLE reading (at timestamptz NOT NULL, device integer, token text, PRIMARY KEY (device, at));
SELECT create_hypertable('reading', 'at', chunk_time_interval => interval '1 day');
INSERT INTO reading SELECT timestamptz '2026-01-01 00:00 UTC' + n * interval '30 minutes', n % 10, fernet_encrypt('x') FROM generate_series(0, 191) AS n;
SQL
same($err, '', 'a hypertable with tokens');

($err) = (session($node, "CALL fernet_rotate_column('reading', 'token')", options => $both))[1];
like($err, qr/192 values changed.*decrypts 0 tokens and is not needed/s, 'without compressed chunks the server rotates it');
session($node, "CALL fernet_rotate_column('reading', 'token')", options => "-c fernet.key=$old,$new");
session($node, <<'SQL');
ALTER TABLE reading SET (timescaledb.compress, timescaledb.compress_segmentby = 'device', timescaledb.compress_orderby = 'at');
SELECT compress_chunk(c) FROM (SELECT c FROM show_chunks('reading') AS c ORDER BY c::text LIMIT 2) AS s;
SQL
foreach my $call (
	"CALL fernet_rotate_column('reading', 'token')",
	"CALL fernet_decrypt_column('reading', 'token', confirm => true)",
	"SELECT fernet_assert_rotated('reading', 'token')",
	"SELECT * FROM fernet_census('reading', 'token')")
{
	(undef, $err) = session($node, $call, options => $both);
	like($err, qr/ERROR:  0A000: the rows of "_hyper_\w+_chunk" are not in its pages\nDETAIL:  It is a compressed chunk of TimescaleDB\.\nHINT:  Rotate the hypertable with the program pg_fernet, or decompress the chunk first\./, $call);
	unlike($err, qr/not needed/, 'and no claim');
}

# client runs the program, and returns status, output and errors.
sub client
{
	my ($keys, @arguments) = @_;
	local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGDATABASE => 'postgres', FERNET_KEY => $keys);
	IPC::Run::run([ 'pg_fernet', @arguments, '-q', '-T', '_timescaledb_internal.compress_hyper_*' ], '<', \undef, '>', \my $output, '2>', \my $errors);
	return ($? >> 8, $output, $errors);
}

my @way = ('--way=client', '--except=everything outside of tables');
my @got = client("$new,$old", 'rotate', '--yes', @way);
is($got[0], 0, 'the program rotates it: status');
@got = client($new, 'check', @way);
is($got[0], 0, 'check with the new key alone');
is($node->safe_psql('postgres', 'SELECT count(*) FROM timescaledb_information.chunks WHERE is_compressed'), '2', 'chunks stay compressed');
is((session($node, 'SELECT count(*) FROM reading WHERE fernet_key_index(token) = 1', options => "-c fernet.key=$new"))[0], '192', 'and no row is lost');

$node->stop;
done_testing();
