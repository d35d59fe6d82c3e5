# A renewal of blind indexes that is ended again and again, in the middle of a
# batch and between two: cancelled, terminated, killed, and with the server.
# After each, every row has the index of its value under the new key or the old
# one, so a lookup finds it; and a last CALL finishes the work. An application
# that has the old key first writes meanwhile. FERNET_LONG=1 ends it 50 times.

use strict;
use warnings;

use FernetTest qw(:DEFAULT same session server_logs tell start_session finish_session has_ended);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $kills = $ENV{FERNET_LONG} ? 50 : 4;
my $rows = 300;
my ($key, $old, $new) = map { new_key() } 1 .. 3;
my $job = "-c fernet.key=$key -c fernet.index_key=$new,$old";
my $application = "-c fernet.key=$key -c fernet.index_key=$old,$new";

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
session_preload_libraries = 'pg_fernet'
restart_after_crash = on
log_statement = none
CONF
$node->start;

sub ask
{
	my ($sql, $options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err) = session($node, $sql, options => $options);
	same($err, '', 'no error') if $err ne '';
	return $out;
}

ask(<<"SQL", $application);
CREATE EXTENSION pg_fernet;
CREATE TABLE users (id integer PRIMARY KEY, email text, email_index bytea);
INSERT INTO users SELECT i, fernet_encrypt('user ' || i), fernet_blind_index('user ' || i, 'user.email')
	FROM generate_series(1, $rows) AS i;
CREATE UNIQUE INDEX ON users (email_index);
-- The job waits here in a batch that it has written and not committed.
CREATE FUNCTION pass_gate() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS \$\$
BEGIN
	PERFORM pg_advisory_xact_lock_shared(1);
	RETURN NULL;
END \$\$;
CREATE TRIGGER gate AFTER UPDATE ON users FOR EACH ROW
	WHEN (current_setting('gate.closed', true) = 'yes') EXECUTE FUNCTION pass_gate();
SQL

# count_wrong counts the rows whose index is under neither of the two keys.
sub count_wrong
{
	return ask(<<'SQL', $job);
SELECT count(*) FROM users
WHERE (email_index = ANY (fernet_blind_indexes(fernet_decrypt(email), 'user.email'))) IS NOT TRUE
SQL
}

# wait_for waits until the job does, and returns its process.
sub wait_for
{
	my ($event) = @_;
	my $query = 'SELECT pid FROM pg_stat_activity'
	  . " WHERE application_name = 'job' AND wait_event = '$event'";
	$node->poll_query_until('postgres', "SELECT EXISTS ($query)") or die 'the job does not wait';
	return $node->safe_psql('postgres', $query);
}

my %ends = (
	cancel => sub { $node->safe_psql('postgres', "SELECT pg_cancel_backend($_[0])") },
	terminate => sub { $node->safe_psql('postgres', "SELECT pg_terminate_backend($_[0])") },
	'kill -9' => sub { kill 'KILL', $_[0]; has_ended($_[0]) },
	'immediate shutdown' => sub { $node->stop('immediate'); $node->start; },
);
my @ways = sort keys %ends;
my ($wrong, $renewed_by_killed, $ended, $progress) = (0, 0, 0, '');
foreach my $number (1 .. $kills)
{
	my $way = $ways[ $number % @ways ];
	# Between two batches in one round, in a batch in the next.
	my $in_batch = int(($number - 1) / @ways + $number) % 2;
	my $gate = !$in_batch ? undef : start_session($node, 'SELECT pg_advisory_lock(1), pg_sleep(3600)', name => 'gate');
	if ($gate)
	{
		$node->poll_query_until('postgres',
			"SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND granted")
		  or die 'the gate is not closed';
	}
	# The application changes rows, which the job has renewed or not.
	ask("UPDATE users SET email = fernet_encrypt('user $number.' || id),"
		  . " email_index = fernet_blind_index('user $number.' || id, 'user.email')"
		  . " WHERE id % 50 = $number % 50", $application);
	my $before = ask("SELECT count(*) FROM users WHERE email_index = fernet_blind_index(fernet_decrypt(email), 'user.email')", $job);
	my $running = start_session(
		$node,
		($in_batch ? "SET gate.closed = 'yes';\n" : '')
		  . "SET client_min_messages = warning;\n"
		  . "CALL fernet_index_column('users', 'email', 'email_index', 'user.email', batch_rows => 5, pause => "
		  . ($in_batch ? "'0')" : "'1 hour')"),
		options => $job,
		name => 'job');
	my $pid = wait_for($in_batch ? 'advisory' : 'Extension');
	# Each batch is counted when it is committed.
	$progress ||= ask(
		"SELECT operation, relation, state, rotated FROM fernet_rotation_progress", '')
	  if !$in_batch;
	$ends{$way}->($pid);
	my ($out, $err) = finish_session($running);
	++$ended if $err =~ /57014|57P01|server closed the connection|57P0/;
	if ($way eq 'kill -9')
	{
		$node->poll_query_until('postgres', 'SELECT true') or die 'the server does not come back';
	}
	if ($gate)
	{
		session($node, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gate'");
		finish_session($gate);
	}
	my $now = count_wrong();
	$wrong += $now;
	is($now, '0', "$number: $way: no row has a wrong index") if $now ne '0';
	$renewed_by_killed += ask("SELECT count(*) FROM users WHERE email_index = fernet_blind_index(fernet_decrypt(email), 'user.email')", $job) - $before;
}
like($progress, qr/^index\|public\.users\|running\|[1-9]\d*$/, 'the progress view shows the job');
is($ended, $kills, "the job was ended $kills times");
is($wrong, 0, 'no row had a wrong index at any time');
cmp_ok($renewed_by_killed, '>', 0, 'jobs that were ended have renewed some indexes');

my ($counts, $told) = session($node, <<"SQL", options => $job);
CALL fernet_index_column('users', 'email', 'email_index', 'user.email');
SELECT fernet_assert_indexed('users', 'email', 'email_index', 'user.email');
SELECT count(*) FROM users;
SQL
like($counts, qr/^\d+\|\d+\|0\n\n$rows$/, 'a last CALL succeeds, and the gate proves it');
my ($first, $second) = split /\n/, ask('SELECT fingerprint FROM fernet_index_keys() ORDER BY key_index', $job);
like($told, qr/NOTICE: .*writing blind indexes of "email" to .* with index key $first\n/, 'it names the key that it begins with');
like($told, qr/ blind indexes written, /, 'and says what it has done');
like($told, qr/ Key $second of "fernet\.index_key" is not needed for this column any more\./, 'and which key is not needed');
is(ask(<<'SQL', "-c fernet.key=$key -c fernet.index_key=$new"), $rows, 'now each row is found by the new key alone');
SELECT count(*) FROM users AS u
WHERE (SELECT id FROM users WHERE email_index = fernet_blind_index(fernet_decrypt(u.email), 'user.email')) = u.id
SQL
is(ask("SELECT count(*) FROM fernet_rotation WHERE operation = 'index' AND state = 'running'", ''), '0',
	'no job that is gone counts as running');

# The durable record
my $logs = server_logs($node);
like($$logs, qr/index public\.users \(email_index\), slice 1 of 1, role \S+.*$first/, 'the log says which job began, with which index key');
like($$logs, qr/done: index public\.users|index public\.users.*done/, 'and how it ended');
my @bad = $$logs =~ /(.*(?:PANIC|TRAP|signal 11|signal 6|\bleak\b).*)/g;
is(scalar @bad, 0, 'the log has nothing that it should not');
tell($_) foreach @bad[ 0 .. ($#bad < 4 ? $#bad : 4) ];
$node->stop;
done_testing();
