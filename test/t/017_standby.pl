# A standby decrypts with the key, counts, and reports what a rotation would do;
# it refuses to write. While the primary rotates, the key list decrypts every
# value that the standby sees; the ledger is empty there. A base backup from the
# middle of the rotation holds neither a key nor a plaintext. After its
# promotion the standby finishes the work.

use strict;
use warnings;

use FernetTest qw(:DEFAULT same session secrets_below new_plaintext
  start_session finish_session);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $rows = 3000;
my ($old, $new, $next) = (new_key(), new_key(), new_key());
my $marker = new_plaintext();
my $both = "-c fernet.key=$new,$old";

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'pg_fernet'
log_statement = none
autovacuum = off
CONF
$primary->start;

my ($out, $err) = session($primary, <<"SQL", options => "-c fernet.key=$old");
CREATE EXTENSION pg_fernet;
CREATE TABLE secret (id integer PRIMARY KEY, token text NOT NULL);
INSERT INTO secret SELECT i, fernet_encrypt('$marker' || i)
	FROM generate_series(1, $rows) AS i;
SQL
same($err, '', 'the primary has tokens');

$primary->backup('empty');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'empty', has_streaming => 1);
$standby->start;

# catch_up waits until the standby has replayed all that the primary has done.
sub catch_up
{
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('flush'));
	return;
}

# ask runs $sql on $node with $options. No error is expected.
sub ask
{
	my ($node, $sql, $options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err) = session($node, $sql, options => $options);
	same($err, '', 'no error') if $err ne '';
	return $out;
}

# ---------------------------------------------------------------------------
# What a standby does

catch_up();
my $read = <<"SQL";
SELECT count(*), count(*) FILTER (WHERE fernet_decrypt(token) = '$marker' || id)
	FROM secret;
SELECT count(*) FROM secret WHERE fernet_verify(token) AND fernet_key_index(token) = 2
	AND fernet_try_decrypt_bytea(token) IS NOT NULL AND fernet_timestamp(token) <= now();
SELECT DISTINCT status, key_index FROM secret, fernet_inspect(token);
SELECT status, key_index, tokens FROM fernet_census('secret', 'token');
SELECT count(*) FROM secret WHERE fernet_key_index(fernet_rotate(token)) = 1;
SELECT fernet_decrypt(fernet_encrypt('x'));
SQL
my $expected = join "\n", "$rows|$rows", $rows, 'secondary|2',
  "secondary|2|$rows", $rows, 'x';
same(ask($primary, $read, $both), $expected, 'the primary reads');
same(ask($standby, $read, $both), $expected, 'the standby reads likewise');

($out, $err) = session(
	$standby,
	"SELECT fernet_assert_rotated('secret', 'token')",
	options => $both);
like($err, qr/\AERROR:  55000: cannot prove during recovery that no old value is left\n/,
	'fernet_assert_rotated proves nothing where it cannot see the writers');
($out, $err) = session($standby,
	"SELECT fernet_assert_indexed('secret', 'token', 'token_index', 'secret.token')",
	options => "$both -c fernet.index_key=" . new_key());
like($err, qr/\AERROR:  55000: cannot prove during recovery that no old value is left\n/,
	'and fernet_assert_indexed neither');
my $doctor = "SELECT string_agg(item, ',' ORDER BY item) FROM fernet_doctor()";
same(ask($standby, $doctor, $both), ask($primary, $doctor, $both),
	'fernet_doctor looks at all that it does on the primary');
like(
	ask($standby,
		"SELECT item, status FROM fernet_doctor() WHERE item = 'counters'"),
	qr/\Acounters\|ok\z/,
	'there are counters');

# Each server counts what it does itself.
my $counters = 'SELECT encrypted, decrypted, rotated FROM pg_stat_fernet'
  . ' WHERE datname = current_database();';
ask($primary, 'SELECT fernet_stat_reset()');
ask($standby, 'SELECT fernet_stat_reset()');
same(ask($standby, $counters), '0|0|0', 'the counters of a standby are reset');
ask($standby, 'SELECT fernet_decrypt(token) FROM secret WHERE id <= 10', $both);
same(ask($standby, $counters), '0|10|0', 'a standby counts');
same(ask($primary, $counters), '0|0|0', 'and not on the primary');

my $quiet = "SET client_min_messages = warning;\n";
my $jobs = "SELECT count(*) FROM fernet_rotation;\n";
same(
	ask(
		$standby,
		$quiet
		  . "CALL fernet_rotate_column('secret', 'token', dry_run => true);\n"
		  . $jobs,
		$both),
	"$rows|0|0\n0",
	'a dry run counts, and leaves no row in the ledger');

foreach my $writer (
	"CALL fernet_rotate_column('secret', 'token')",
	"CALL fernet_rotate_column('secret', 'token', on_plaintext => 'encrypt')",
	"CALL fernet_decrypt_column('secret', 'token', confirm => true)",
	"SELECT * FROM fernet_rotate_batch('secret', 'token')")
{
	($out, $err) = session($standby, $quiet . $writer, options => $both);
	is($err, 'ERROR:  25006: cannot write to a column during recovery',
		"refused: $writer");
}
($out, $err) = session($standby, 'CREATE EXTENSION pg_fernet');
like($err, qr/\AERROR:  25006: /, 'refused: CREATE EXTENSION');
same(ask($standby, $jobs), '0', 'what was refused is not in the ledger');

# ---------------------------------------------------------------------------
# The primary rotates, the standby reads

my $rotation = start_session(
	$primary,
	$quiet . "CALL fernet_rotate_column('secret', 'token', 50, '50 ms')",
	options => $both);
my $look = <<"SQL";
SELECT count(*), count(*) FILTER (WHERE fernet_decrypt(token) = '$marker' || id),
	count(*) FILTER (WHERE fernet_key_index(token) = 1),
	(SELECT count(*) FROM fernet_rotation),
	(SELECT count(*) FROM fernet_rotation_progress)
FROM secret;
SQL
my ($looks, $in_the_middle, $before, $backed_up) = (0, 0, 0, 0);
my %bad;
my $state = '';
my $end = time() + $PostgreSQL::Test::Utils::timeout_default;
while ($state ne 'done' && time() < $end)
{
	# Asked first: what was done then is on its way to the standby.
	$state = ask($primary, "SELECT coalesce(max(state), '') FROM fernet_rotation");
	catch_up() if $state eq 'done';
	my ($all, $right, $rotated, $ledger, $progress) = split /\|/,
	  ask($standby, $look, $both), -1;
	$looks++;
	$bad{'a value is unreadable or missing'} = 1
	  if $all != $rows || $right != $rows;
	$bad{'a rotated value is as before again'} = 1 if $rotated < $before;
	$bad{'the ledger has rows on the standby'} = 1 if $ledger > 0 || $progress > 0;
	$in_the_middle++ if $rotated > 0 && $rotated < $rows;
	$before = $rotated;
	if ($rotated > 0 && !$backed_up)
	{
		$backed_up = 1;
		$primary->backup('middle');
	}
}
($out, $err) = finish_session($rotation);
same($err, '', 'the rotation on the primary has no error');
same($out, "$rows|0|0", 'it rotates all');
is(join(', ', sort keys %bad),
	'', 'meanwhile every value can be read on the standby');
cmp_ok($in_the_middle, '>', 0, "some of $looks looks were in the middle");

catch_up();
same(ask($primary, 'SELECT columns, state, rotated FROM fernet_rotation'),
	"{token}|done|$rows", 'the ledger of the primary has the job');
same(
	ask($standby,
		"SELECT status, tokens FROM fernet_census('secret', 'token')", $both),
	"primary|$rows",
	'the standby counts what it has got');
$primary->safe_psql('postgres', 'CREATE UNLOGGED TABLE unlogged AS SELECT token FROM secret');
catch_up();
same(
	ask($standby, 'SELECT relation, status, tokens FROM fernet_find_tokens()', $both),
	"secret|primary|$rows\nunlogged|not read|",
	'and finds it, but for unlogged tables');
($out, $err) = session($standby, 'SELECT fernet_assert_database_rotated()', options => $both);
like($err, qr/ERROR:  55000: cannot prove during recovery that no old value is left/, 'it proves nothing');
$primary->safe_psql('postgres', 'DROP TABLE unlogged');

# ---------------------------------------------------------------------------
# A base backup from the middle of the rotation

$standby->safe_psql('postgres', 'CHECKPOINT');
my %folder = (
	'the backup' => $primary->backup_dir . '/middle',
	'the standby' => $standby->data_dir,
	'the primary' => $primary->data_dir);
foreach my $name (sort keys %folder)
{
	my $folder = $folder{$name};
	ok((grep { m{/pg_wal/[0-9A-F]{24}$} } files_below($folder)),
		"$name: there is WAL to be searched");
	same(join("\n", secrets_below([ $old, $new, $marker ], $folder)),
		'', "$name holds neither a key nor a plaintext");
}
my $restored = PostgreSQL::Test::Cluster->new('restored');
$restored->init_from_backup($primary, 'middle');
$restored->start;
my ($all, $right, $rotated) = split /\|/, ask($restored, $look, $both);
is("$all $right", "$rows $rows",
	'in the restored backup every value can be read');
same(
	ask(
		$restored,
		$quiet . "CALL fernet_rotate_column('secret', 'token')",
		$both),
	join('|', $rows - $rotated, $rotated, 0),
	'there a new CALL does the rest');
$restored->stop;

# ---------------------------------------------------------------------------
# Promotion in the middle of a rotation

my $keys = "-c fernet.key=$next,$new";
my $abandoned = start_session(
	$primary,
	$quiet . "CALL fernet_rotate_column('secret', 'token', 500, '1 h')",
	options => $keys);
# The view is empty there, but what lies behind it arrives.
$standby->poll_query_until('postgres',
	"SELECT count(*) = 1 FROM fernet_ledger WHERE state = 'running'"
	  . ' AND rotated > 0')
  or die 'the rotation does not arrive';
$primary->stop('immediate');
finish_session($abandoned);
$standby->promote;
same(
	ask(
		$standby,
		'SELECT state, rotated > 0, pass FROM fernet_rotation ORDER BY id DESC LIMIT 1'),
	'interrupted|t|1',
	'promoted: the rotation of the old primary is known to be interrupted');
like(
	ask(
		$standby,
		$quiet
		  . "CALL fernet_rotate_column('secret', 'token');\n"
		  . "SELECT fernet_assert_rotated('secret', 'token');\n",
		$keys),
	qr/^(\d+)\|(\d+)\|0\n\z/,
	'promoted: a new CALL finishes it');
same(
	ask(
		$standby,
		"SELECT count(*) FROM secret WHERE fernet_decrypt(token) = '$marker' || id",
		"-c fernet.key=$next"),
	$rows,
	'promoted: the new key alone opens all');
same(
	ask($standby, 'SELECT id, state FROM fernet_rotation ORDER BY id')
	  =~ s/^\d+\|//gmr,
	"done\ninterrupted\ndone",
	'promoted: the ledger tells all that');
$standby->stop;
done_testing();
