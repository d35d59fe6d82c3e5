# Foreign tables and foreign partitions by postgres_fdw, rotated from the server that
# only knows where the rows are. The server's own procedures refuse them.

use strict;
use warnings FATAL => 'all';

use FernetTest qw(:DEFAULT same session);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($old, $new) = (new_key(), new_key());
my $superuser = $ENV{PGUSER} // getpwuid($<);
my ($here, $there) = map { PostgreSQL::Test::Cluster->new($_) } 'here', 'there';
foreach my $node ($here, $there)
{
	$node->init;
	$node->append_conf('postgresql.conf', "log_statement = all\nautovacuum = off");
	$node->start;
}
plan skip_all => 'postgres_fdw is not installed' if $here->safe_psql('postgres', "SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'") eq '0';

my ($out, $err) = session($there, <<'SQL', options => "-c fernet.key=$old -c client_min_messages=error");
CREATE EXTENSION pg_fernet;
CREATE TABLE far (id integer PRIMARY KEY, token text, document jsonb);
INSERT INTO far SELECT n, fernet_encrypt('x'), jsonb_build_object('a', fernet_encrypt('x')) FROM generate_series(1, 50) AS n;
CREATE TABLE part (id integer PRIMARY KEY, token text);
INSERT INTO part SELECT n, fernet_encrypt('x') FROM generate_series(100, 119) AS n;
SQL
same($err, '', 'tables there');
my ($host, $port) = ($there->host, $there->port);
($out, $err) = session($here, <<"SQL", options => "-c fernet.key=$old -c client_min_messages=error");
CREATE EXTENSION pg_fernet;
CREATE EXTENSION postgres_fdw;
CREATE SERVER there FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$port', dbname 'postgres');
CREATE USER MAPPING FOR CURRENT_USER SERVER there;
CREATE FOREIGN TABLE far (id integer, token text, document jsonb) SERVER there;
CREATE TABLE parted (id integer, token text) PARTITION BY RANGE (id);
CREATE TABLE near PARTITION OF parted FOR VALUES FROM (0) TO (100);
CREATE FOREIGN TABLE part PARTITION OF parted FOR VALUES FROM (100) TO (200) SERVER there;
INSERT INTO near SELECT n, fernet_encrypt('x') FROM generate_series(1, 30) AS n;
SQL
same($err, '', 'tables here');
foreach my $call ("CALL fernet_rotate_column('far', 'token')", "SELECT fernet_assert_rotated('parted', 'token')")
{
	(undef, $err) = session($here, $call, options => "-c fernet.key=$new,$old");
	like($err, qr/^ERROR:  42809: "\w+" is not a table\nDETAIL:  .*foreign tables\.\nHINT:  Rotate it with the program pg_fernet, or on the server that holds its rows\./, "refused: $call");
}

# client runs the program here, and returns status, output and errors.
sub client
{
	my ($keys, @arguments) = @_;
	local %ENV = (%ENV, PGHOST => $here->host, PGPORT => $here->port, PGUSER => $superuser, PGDATABASE => 'postgres', FERNET_KEY => $keys);
	IPC::Run::run([ 'pg_fernet', @arguments ], '<', \undef, '>', \my $output, '2>', \my $errors);
	return ($? >> 8, $output, $errors);
}

my @got = client("$new,$old", 'check');
is($got[0], 2, 'check: status');
like($got[1], qr/\n  public\.far\.token +50  whole +key 2/, 'check: a foreign table');
like($got[1], qr/\n  public\.parted\.token +50  whole +key 2/, 'check: a partition here and one there');
@got = client("$new,$old", 'rotate', '--yes', '-q');
is($got[0], 2, 'rotate: status, since the writers there are not seen');
like($got[2], qr/error: .*it cannot be seen from here who may still write an old value/, 'and words');
@got = client($new, 'check', '-q');
is("$got[0] $got[2]", '0 ', 'but nothing is left') or diag($got[1]);
@got = client("$old,$new", 'rotate', '--yes', '-q', '--accept-unseen-writers');
is($got[0], 0, 'rotate back: status');
foreach my $column ('far.token', 'part.token', 'near.token')
{
	my ($table, $name) = split /\./, $column;
	my $node = $table eq 'near' ? $here : $there;
	($out) = session($node, "SELECT count(*), count(*) FILTER (WHERE fernet_key_index($name) = 1) FROM $table", options => "-c fernet.key=$old");
	like($out, qr/^(\d+)\|\1$/, "$column: all rows are there, and rotated");
}
foreach my $node ($here, $there)
{
	my $log = slurp($node->logfile);
	unlike($log, qr/\Q$_\E/, $node->name . ': no key in the log') foreach $old, $new;
}

# Since 2.29, TimescaleDB knows chunks by their OIDs.
$here->safe_psql('postgres', <<'SQL');
CREATE TABLE chunk (token text);
CREATE SCHEMA _timescaledb_catalog;
CREATE TABLE _timescaledb_catalog.chunk (relid regclass, status integer);
INSERT INTO _timescaledb_catalog.chunk VALUES ('public.chunk', 9), ('public.near', 8);
SQL
@got = client("$new,$old", 'rotate', '--dry-run', '--column=public.chunk.token');
like($got[2], qr/error: public\.chunk: the rows of public\.chunk have no key\n.*detail: It is a compressed chunk of TimescaleDB\./, 'a compressed chunk of TimescaleDB 2.29');

$_->stop foreach $here, $there;
done_testing();
