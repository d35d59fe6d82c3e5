# A rotation whose server stops in the middle: kill -9 of the postmaster, an
# immediate shutdown, and a standby that is promoted. After each, "new,old"
# decrypts every value, each is encrypted with one of the two keys, and a new
# CALL finishes the work. Rows that a prepared transaction has locked stay
# locked all the time: the rotation skips them and reports how many.

use strict;
use warnings;

use FernetTest qw(:DEFAULT same session server_logs tell
  start_session finish_session has_ended);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep time);

my $rows = 12000;
my ($old, $new) = (new_key(), new_key());
my $both = "-c fernet.key=$new,$old";

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', <<'CONF');
session_preload_libraries = 'pg_fernet'
max_prepared_transactions = 1
log_statement = none
# Nobody but a commit or the rotation writes WAL to the disk for a while.
wal_writer_delay = 10s
wal_writer_flush_after = 1GB
CONF
$primary->start;

my $fill = <<"SQL";
INSERT INTO secret
	SELECT i, fernet_encrypt('secret ' || i) FROM generate_series(1, $rows) AS i;
SQL

# The rotation waits at a gate in the batch of the row in the middle, with that
# batch written and not committed.
my ($out, $err) = session($primary, <<"SQL", options => "-c fernet.key=$old");
CREATE EXTENSION pg_fernet;
CREATE TABLE secret (id integer NOT NULL, token text NOT NULL);
CREATE INDEX ON secret (id);
$fill
CREATE FUNCTION pass_gate() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS \$\$
BEGIN
	PERFORM pg_advisory_xact_lock_shared(1);
	RETURN NULL;
END \$\$;
CREATE TRIGGER gate AFTER UPDATE ON secret FOR EACH ROW
	WHEN (OLD.id = $rows / 2) EXECUTE FUNCTION pass_gate();
CREATE TABLE held AS
	SELECT i AS id, fernet_encrypt('held ' || i) AS token
	FROM generate_series(1, 10) AS i;
BEGIN;
SELECT FROM held WHERE id IN (3, 4) FOR UPDATE;
UPDATE held SET token = fernet_encrypt('held ' || id) WHERE id = 7;
PREPARE TRANSACTION 'held';
SQL
same($err, '', 'there are tables');

# count_values counts the right values of "secret" by the key that decrypts
# them.
sub count_values
{
	my ($node, $options) = @_;
	my ($counts) = session($node, <<'SQL', options => $options // $both);
SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE fernet_key_index(token) = 1),
	count(*) FILTER (WHERE fernet_key_index(token) = 2),
	count(*) FILTER (WHERE fernet_decrypt(token) = 'secret ' || id)
FROM secret
SQL
	$counts = '-1|-1|-1|-1|-1' if $counts !~ /^\d+(?:\|\d+){4}$/;
	return split /\|/, $counts;
}

# is_half_done tests that a rotation ended in the middle: every value is right.
# Returns how many are still encrypted with the old key.
sub is_half_done
{
	my ($node, $name) = @_;
	my ($all, $ids, $under_new, $under_old, $right) = count_values($node);
	is("$all $ids $right", "$rows $rows $rows",
		"$name: every value is readable, and right");
	is($under_new + $under_old, $rows,
		"$name: each is encrypted with the old key or the new one");
	cmp_ok($under_new, '>', 0, "$name: some under the new one");
	cmp_ok($under_old, '>', 0, "$name: some under the old one");
	return $under_old;
}

# finishes tests that a new CALL rotates the $left values that are left.
sub finishes
{
	my ($node, $name, $left) = @_;
	my ($counts, $error) = session(
		$node,
		"SET client_min_messages = warning;\n"
		  . "CALL fernet_rotate_column('secret', 'token')",
		options => $both);
	same($error, '', "$name: a new CALL succeeds");
	is($counts, join('|', $left, $rows - $left, 0),
		"$name: it rotates what was left, and nothing else");
	my ($all, $ids, $under_new, $under_old, $right) =
	  count_values($node, "-c fernet.key=$new");
	is("$all $ids $under_new $right", "$rows $rows $rows $rows",
		"$name: now the new key alone opens all");
	return;
}

sub session_value
{
	my ($sql) = @_;
	my ($value) = session($primary, $sql, options => $both);
	return $value;
}

# flush writes the commits so far to the disk, those of batches too.
sub flush
{
	$primary->safe_psql('postgres', q(SELECT pg_logical_emit_message(true, '', '')));
	return;
}

sub begin_rotation
{
	my ($arguments) = @_;
	return start_session(
		$primary,
		"SET client_min_messages = warning;\n"
		  . "CALL fernet_rotate_column('secret', 'token', $arguments)",
		options => $both,
		name => 'rotation');
}

# close_gate returns the session that keeps the gate closed until it ends.
sub close_gate
{
	my $gate = start_session(
		$primary,
		'SELECT pg_advisory_lock(1), pg_sleep(3600)',
		name => 'gate');
	wait_for('gate', "wait_event = 'PgSleep'");
	return $gate;
}

sub wait_for
{
	my ($name, $condition) = @_;
	$primary->poll_query_until('postgres', <<"SQL") or die "$name does not wait";
SELECT count(*) = 1 FROM pg_stat_activity
WHERE application_name = '$name' AND $condition
SQL
	return;
}

# start_again starts a server that was killed. Backends of it may still exist
# for a moment.
sub start_again
{
	my $until = time() + $PostgreSQL::Test::Utils::timeout_default;
	my ($pid) = slurp($primary->data_dir . '/postmaster.pid') =~ /^(\d+)$/m;
	has_ended($pid) if defined $pid;
	while (!$primary->start(fail_ok => 1))
	{
		die 'the server does not start' if time() > $until;
		$primary->stop('fast', fail_ok => 1);
		usleep(100_000);
	}
	return;
}

# ---------------------------------------------------------------------------
# kill -9 of the postmaster, in the middle of a batch

my $gate = close_gate();
my $rotation = begin_rotation('100');
wait_for('rotation', "wait_event = 'advisory'");
flush();
$primary->kill9;
($out, $err) = finish_session($rotation);
like($err, qr/server closed the connection unexpectedly/,
	'kill -9: the rotation has ended with the server');
finish_session($gate);
start_again();
my $left = is_half_done($primary, 'kill -9');
finishes($primary, 'kill -9', $left);

# What a rotation has promised, no crash takes back, though its batches did not
# wait for the disk. In a page of WAL that is not full, nobody else writes them.
session($primary, "CREATE TABLE one AS SELECT fernet_encrypt('x') AS token", options => "-c fernet.key=$old");
flush();
($out) = session($primary, "CALL fernet_rotate_column('one', 'token')", options => $both);
$primary->stop('immediate');
start_again();
is($out, '1|0|0', 'a rotation, and a crash after its end');
is(session_value("SELECT fernet_key_index(token) FROM one"), 1, 'the value is still encrypted with the new key');

# ---------------------------------------------------------------------------
# Immediate shutdown, in the middle of a batch

# start_over encrypts all values with the old key again.
sub start_over
{
	my (undef, $error) = session(
		$primary, "TRUNCATE secret;\n$fill",
		options => "-c fernet.key=$old");
	same($error, '', 'all under the old key again');
	return;
}

start_over();
$gate = close_gate();
$rotation = begin_rotation('500');
wait_for('rotation', "wait_event = 'advisory'");
flush();
$primary->stop('immediate');
($out, $err) = finish_session($rotation);
unlike($err, qr/^WARNING:  (?!57P0)/m,
	'immediate shutdown: the rotation has warned of nothing else');
finish_session($gate);
start_again();
$left = is_half_done($primary, 'immediate shutdown');
finishes($primary, 'immediate shutdown', $left);

# ---------------------------------------------------------------------------
# A standby, promoted in the middle of a batch

$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;

# Meanwhile, on the primary: a rotation of rows that stay locked.
my $of_held = start_session(
	$primary,
	"SET client_min_messages = warning;\n"
	  . "SET lock_timeout = '1s';\n"
	  . "CALL fernet_rotate_column('held', 'token')",
	options => $both);

start_over();
$gate = close_gate();
$rotation = begin_rotation('500');
wait_for('rotation', "wait_event = 'advisory'");
flush();
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));

($out, $err) = session(
	$standby,
	"CALL fernet_rotate_column('secret', 'token');\n"
	  . "SELECT * FROM fernet_rotate_batch('secret', 'token')",
	options => $both);
my @refusals = $err =~ /^ERROR:  25006: /mg;
is(scalar @refusals, 2, 'standby: rotations are refused');
($out, $err) = session(
	$standby,
	"SET client_min_messages = warning;\n"
	  . "CALL fernet_rotate_column('secret', 'token', dry_run => true)",
	options => $both);
like($out, qr/^\d+\|\d+\|0$/m, 'standby: but a dry run counts');
is($err, '', 'standby: and has nothing to complain of');
is_half_done($standby, 'standby');

$standby->promote;
$left = is_half_done($standby, 'promoted standby');
finishes($standby, 'promoted standby', $left);
($out, $err) = session(
	$standby,
	"SET client_min_messages = warning;\n"
	  . "COMMIT PREPARED 'held';\n"
	  . "CALL fernet_rotate_column('held', 'token')",
	options => $both);
same($err, '', 'promoted standby: the prepared transaction ends');
like($out, qr/^\d+\|\d+\|0$/, 'promoted standby: its rows are rotated then');

# Meanwhile the rotation on the primary continues.
session($primary, <<'SQL');
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gate'
SQL
finish_session($gate);
($out, $err) = finish_session($rotation);
same($err, '', 'primary: the rotation goes on when the gate opens');
finishes($primary, 'primary', 0);

# ---------------------------------------------------------------------------
# Rows that stay locked

($out, $err) = finish_session($of_held);
like(
	$err,
	qr/^ERROR:  PF007: 3 of 10 values in "public"."held"."token" could not be rotated$/m,
	'the rotation of locked rows waits for their transaction in vain');
like($err, qr/^DETAIL:  The row is locked by prepared transaction 'held'\./m, 'and names it');
($out, $err) = session(
	$primary,
	"SET client_min_messages = warning;\n"
	  . "COMMIT PREPARED 'held';\n"
	  . "CALL fernet_rotate_column('held', 'token');\n"
	  . "SELECT count(*) FROM held WHERE fernet_key_index(token) = 1"
	  . " AND fernet_decrypt(token) = 'held ' || id",
	options => $both);
same($err, '', 'once they are free, a new CALL succeeds');
is($out, "3|7|0\n10", 'it rotates them');

foreach my $node ($primary, $standby)
{
	my $logs = server_logs($node);
	my @bad = $$logs =~ /(.*(?:PANIC|TRAP|terminated by signal|\bleak\b).*)/g;
	is(scalar @bad, 0,
		$node->name . ': the log has nothing that it should not');
	tell($_) foreach @bad[ 0 .. ($#bad < 4 ? $#bad : 4) ];
	$node->stop;
}
done_testing();
