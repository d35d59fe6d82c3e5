# Every copy of a database - dumps, a base backup, a standby, logical
# replication - has the tokens unchanged, and neither a key nor a plaintext:
# every file is searched for every form of each. The copy can be read with the
# key and with nothing else.

use strict;
use warnings;

use FernetTest qw(:DEFAULT same session secrets_below new_plaintext);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my %key = map { $_ => new_key() } qw(startup bound literal local next);
my @keys = values %key;
my %plaintext = map { $_ => new_plaintext() } qw(startup bound literal local);
my @secrets = (@keys, values %plaintext);
my $all_keys = join ',', @key{qw(next startup bound literal local)};
my $all = "-c fernet.key=$all_keys";

my $no_key = qr/\AERROR:  PF001: no Fernet key is set\n/;
my $wrong_key =
  qr/\AERROR:  PF004: no key in "fernet.key" opens this token\n/;

# Rows are compared by their values and by their plaintexts.
my $stored = <<'SQL';
SELECT md5(string_agg(way || token || encode(raw, 'escape'), ',' ORDER BY way))
	FROM secret;
SQL
my $opened = <<'SQL';
SELECT string_agg(way || ' ' || fernet_decrypt(token) || ' '
	|| fernet_decrypt(raw), ',' ORDER BY way) FROM secret;
SQL
my $expected = join ',',
  map { "$_ $plaintext{$_} $plaintext{$_}" } sort keys %plaintext;

# ---------------------------------------------------------------------------
# A primary, a standby and a subscriber

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 'logical');
$primary->append_conf('postgresql.conf', <<'CONF');
session_preload_libraries = 'pg_fernet'
log_statement = none
CONF
$primary->start;
my $table = <<'SQL';
CREATE EXTENSION pg_fernet;
CREATE TABLE secret (way text PRIMARY KEY, token text, raw bytea);
CREATE INDEX ON secret (token);
SQL
$primary->safe_psql('postgres', $table . <<'SQL');
CREATE PUBLICATION secrets FOR TABLE secret;
SELECT pg_create_logical_replication_slot('decoding', 'test_decoding');
SQL

$primary->backup('empty');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'empty', has_streaming => 1);
$standby->start;

my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init(allows_streaming => 'logical');
$subscriber->append_conf('postgresql.conf',
	"session_preload_libraries = 'pg_fernet'\nlog_statement = none");
$subscriber->start;
my $from = $primary->connstr('postgres');
$subscriber->safe_psql('postgres', <<"SQL");
$table
CREATE SUBSCRIPTION copy CONNECTION \$connection\$$from\$connection\$
	PUBLICATION secrets;
SQL
$subscriber->wait_for_subscription_sync($primary, 'copy');

# ---------------------------------------------------------------------------
# Work with keys that come in every way

sub insert
{
	my ($way, $plaintext) = @_;
	return
		'INSERT INTO secret VALUES'
	  . " ('$way', fernet_encrypt($plaintext),"
	  . " convert_to(fernet_encrypt($plaintext), 'UTF8'));\n";
}

sub insert_literal
{
	my ($way) = @_;
	return insert($way, "'$plaintext{$way}'");
}

sub works
{
	my ($name, @session) = @_;
	my ($out, $err) = session($primary, @session);
	return same($err, '', $name);
}

works(
	'the key of the startup packet works',
	insert_literal('startup'),
	options => "-c fernet.key=$key{startup}");
my ($bound) = run_bound(
	$primary,
	"SELECT set_config('fernet.key', :k, false);\n"
	  . insert('bound', ':p::text'),
	{ k => $key{bound}, p => $plaintext{bound} });
ok($bound, 'a bound key works');
works('a literal key works',
	"SET fernet.key = '$key{literal}';\n" . insert_literal('literal'));
works(
	'a key for one transaction works',
	"BEGIN;\nSET LOCAL fernet.key = '$key{local}';\n"
	  . insert_literal('local')
	  . "COMMIT;\n");

# The work of an application: it reads, sorts, writes again, and rotates.
works('and so does everything else', <<"SQL", options => $all);
SET work_mem = '64kB';
SELECT count(*) FROM secret WHERE fernet_decrypt(token) LIKE '%x%';
PREPARE reading AS SELECT * FROM secret WHERE fernet_decrypt(token) = \$1;
EXECUTE reading('$plaintext{bound}');
BEGIN;
DECLARE held CURSOR WITH HOLD FOR SELECT fernet_decrypt(raw) FROM secret;
COMMIT;
FETCH ALL FROM held;
UPDATE secret SET token = fernet_rotate(token) WHERE way = 'local';
SET client_min_messages = warning;
CALL fernet_rotate_column('secret', 'raw');
BEGIN;
DELETE FROM secret;
ROLLBACK;
ANALYZE secret;
VACUUM secret;
CREATE TABLE gone AS SELECT fernet_encrypt(fernet_decrypt(token)) FROM secret;
DROP TABLE gone;
SQL
my ($fingerprint) = session($primary, $stored);
my ($tokens) = session($primary, "SELECT token FROM secret;");
my @tokens = split /\n/, $tokens;
same(scalar(@tokens), 4, 'there is a token of each');
same((session($primary, $opened, options => $all))[0],
	$expected, 'with its plaintext');

# test_copy tests that the copy $what, the files below some folders, holds the
# tokens, and neither key nor plaintext.
sub test_copy
{
	my ($what, @folders) = @_;
	my %held;
	foreach my $path (files_below(@folders))
	{
		my $bytes = slurp($path);
		$held{$_} = 1 foreach grep { index($bytes, $_) >= 0 } @tokens;
	}
	same(scalar(keys %held), scalar(@tokens), "$what holds every token");
	return same(join("\n", secrets_below(\@secrets, @folders)),
		'', "$what holds neither a key nor a plaintext");
}

# test_rows tests that the rows are those of the primary, byte by byte, and that
# only the keys decrypt them.
sub test_rows
{
	my ($what, $node, $database) = @_;
	my @at = (database => $database // 'postgres');
	same((session($node, $stored, @at))[0],
		$fingerprint, "$what has the rows as they are");
	same((session($node, $opened, @at, options => $all))[0],
		$expected, "$what can be read with the keys");
	my ($out, $err) = session($node, $opened, @at);
	ok($out eq '' && $err =~ $no_key, "$what cannot be read without a key");
	($out, $err) =
	  session($node, $opened, @at, options => '-c fernet.key=' . new_key());
	return ok(
		$out eq '' && $err =~ $wrong_key,
		"$what cannot be read with another key");
}

# run_quietly runs a program without showing its output.
sub run_quietly
{
	my ($name, @command) = @_;
	my $output = '';
	return ok(IPC::Run::run(\@command, '>', \$output, '2>&1'), $name);
}

# ---------------------------------------------------------------------------
# Dumps

# The session that dumps has the keys, too; nothing makes it use them.
my $dumps = $primary->basedir . '/dumps';
mkdir $dumps or die "$dumps: $!";
{
	local %ENV = (%ENV, psql_env($primary, $all));
	run_quietly('pg_dumpall runs', 'pg_dumpall', '-f', "$dumps/all.sql");
	run_quietly(
		'pg_dump runs', 'pg_dump',
		'-f', "$dumps/plain.sql",
		'--no-publications');
	run_quietly('pg_dump runs, custom format',
		'pg_dump', '-Fc', '-f', "$dumps/custom", '--no-publications');
	run_quietly('pg_dump runs, custom format without compression',
		'pg_dump', '-Fc', '-Z0', '-f', "$dumps/uncompressed",
		'--no-publications');
	run_quietly('createdb runs', 'createdb', $_) foreach qw(plain custom);
	run_quietly('a plain dump can be restored',
		'psql', '-X', '-v', 'ON_ERROR_STOP=1', '-d', 'plain', '-f',
		"$dumps/plain.sql");
	run_quietly('a custom dump can be restored',
		'pg_restore', '-e', '-d', 'custom', "$dumps/custom");
}
foreach my $dump (qw(all.sql plain.sql uncompressed))
{
	mkdir "$dumps/of-$dump";
	rename "$dumps/$dump", "$dumps/of-$dump/$dump" or die "$dump: $!";
	test_copy("the dump $dump", "$dumps/of-$dump");
}
test_rows('a restored plain dump', $primary, 'plain');
test_rows('a restored custom dump', $primary, 'custom');

# ---------------------------------------------------------------------------
# The data folder itself, a base backup and a standby

$primary->safe_psql('postgres', 'CHECKPOINT');
test_copy('the primary', $primary->data_dir);
$primary->backup('full');
test_copy('a base backup', $primary->backup_dir . '/full');

$primary->wait_for_catchup($standby, 'replay', $primary->lsn('flush'));
$standby->safe_psql('postgres', 'CHECKPOINT');
test_copy('a standby', $standby->data_dir);
test_rows('a standby', $standby);
same(
	(session($standby, <<"SQL", options => $all))[0],
SELECT fernet_decrypt(fernet_encrypt('x'));
SELECT count(*) FROM secret WHERE fernet_key_index(fernet_rotate(token)) = 1;
SELECT count(*) FROM fernet_keys();
SQL
	"x\n4\n5", 'every function that does not write works on a standby');
my ($out, $err) = session(
	$standby,
	"CALL fernet_rotate_column('secret', 'token');\n$stored",
	options => $all);
ok($out eq $fingerprint && $err =~ /\AERROR:  25006: cannot /,
	'a standby refuses to rotate a column');

# ---------------------------------------------------------------------------
# Logical replication

my $decoded = $primary->basedir . '/decoded';
mkdir $decoded or die "$decoded: $!";
my $end =
  $primary->safe_psql('postgres', 'SELECT pg_current_wal_flush_lsn()');
run_quietly(
	'pg_recvlogical runs', 'pg_recvlogical',
	'-d', $from,
	'--slot=decoding', "--endpos=$end",
	'--start', '--no-loop',
	'-f', "$decoded/stream");
test_copy('a logical stream', $decoded);

$primary->wait_for_catchup('copy');
$subscriber->safe_psql('postgres', 'CHECKPOINT');
test_copy('a subscriber', $subscriber->data_dir);
test_rows('a subscriber', $subscriber);

$subscriber->safe_psql('postgres', 'DROP SUBSCRIPTION copy');
done_testing();
