# Interrupted at any moment: calls of every function are cancelled, run into
# statement_timeout, or lose their session to pg_terminate_backend, thousands of
# times, at random moments of many rows, of large values, of loops that set keys
# and of jobs on columns. Each time the next call in the session is right, the
# key is the one that the rollback restores, nothing is locked and no row is
# damaged. Memory does not grow and the server never restarts. FERNET_LONG=1
# interrupts 5,000 times and terminates 200 sessions.

use strict;
use warnings;

use FaultTest;
use FernetTest qw(:DEFAULT same server_logs);
use List::Util qw(shuffle sum);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

random_seed();
my %wanted =
  is_long()
  ? (cancel => 2_500, timeout => 2_500, terminate => 200)
  : (cancel => 150, timeout => 150, terminate => 12);
my $megabytes = is_long() ? 50 : 8;
my $rows = 3_000;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
session_preload_libraries = 'pg_fernet'
shared_preload_libraries = 'pg_fernet'
log_statement = none
log_min_error_statement = panic
restart_after_crash = on
autovacuum = off
CONF
$node->start;
create_fault_functions($node);

my ($old, $new, $other) = (new_key(), new_key(), new_key());
my $both = "-c fernet.key=$new,$old";

my $watcher = connect_to($node, options => $both);
value_of($watcher, $_) foreach split /;\n\n/, <<"SQL";
CREATE EXTENSION pg_fernet;

SELECT set_config('fernet.key', '$old', false);

CREATE TABLE original AS SELECT i AS id, fernet_encrypt('plaintext ' || i) AS token
	FROM generate_series(1, $rows) AS i;

CREATE TABLE secret AS TABLE original;

CREATE TABLE plain AS TABLE original;

CREATE TABLE large AS SELECT fernet_encrypt(repeat('0123456789', $megabytes * 100000)) AS token;

RESET fernet.key;

CREATE TABLE good AS SELECT fernet_rotate(token) AS token FROM original
SQL
my $token = value_of($watcher, q(SELECT fernet_encrypt('a plaintext')));
my $started = value_of($watcher, 'SELECT pg_postmaster_start_time()');
my $keys = q(SELECT coalesce(string_agg(fingerprint, ',' ORDER BY key_index), '')
	FROM fernet_keys());
my $session_keys = value_of($watcher, $keys);

# The calls to interrupt, each long enough for that.
my $many = "FROM original, generate_series(1, 20)";
my $set_loop = <<"SQL";
DO \$\$
DECLARE
	token text;
BEGIN
	FOR i IN 1 .. 3000 LOOP
		PERFORM set_config('fernet.key', fernet_generate_key(), i % 2 = 0);
		token := fernet_encrypt('y');
		BEGIN
			PERFORM set_config('fernet.key', fernet_generate_key(), i % 3 = 0);
			PERFORM fernet_decrypt(token);
		EXCEPTION WHEN SQLSTATE 'PF004' THEN
			PERFORM fernet_decrypt(token);
		END;
	END LOOP;
END \$\$
SQL
sub repeated
{
	my ($times, $query) = @_;
	return "DO \$\$ BEGIN FOR i IN 1 .. $times LOOP PERFORM $query; END LOOP; END \$\$";
}
my %calls = (
	'encrypt rows' => "SELECT count(fernet_encrypt('plaintext ' || id)) $many",
	'decrypt rows' => "SELECT count(fernet_decrypt(token)) $many",
	'try_decrypt rows' =>
	  "SELECT count(fernet_try_decrypt_bytea(token)) $many",
	'verify rows' => "SELECT count(fernet_verify(token)) $many",
	'rotate rows' => "SELECT count(fernet_rotate(token)) $many",
	'timestamp rows' => "SELECT max(fernet_timestamp(token)) $many",
	'key_index rows' => "SELECT count(fernet_key_index(token)) $many",
	'is_token rows' => "SELECT count(fernet_is_token(token)) $many, generate_series(1, 9) AS n",
	'inspect rows' => "SELECT count(fernet_inspect(token)) $many",
	'inspect garbage' =>
	  "SELECT count(fernet_inspect('x' || substr(token, 4))) $many",
	'generate keys' =>
	  'SELECT count(fernet_generate_key()) FROM generate_series(1, 200000)',
	'list keys' => repeated(3000, 'count(*) FROM fernet_keys()'),
	'caught errors' => <<"SQL",
DO \$\$
BEGIN
	FOR i IN 1 .. 20000 LOOP
		BEGIN
			PERFORM fernet_decrypt('no token' || i);
		EXCEPTION WHEN SQLSTATE 'PF003' THEN
			NULL;
		END;
	END LOOP;
END \$\$
SQL
	'encrypt a large value' =>
	  "SELECT length(fernet_encrypt(repeat('0123456789', $megabytes * 100000)))",
	'decrypt a large value' => 'SELECT length(fernet_decrypt(token)) FROM large',
	'rotate a large value' => 'SELECT length(fernet_rotate(token)) FROM large',
	'inspect a large value' => 'SELECT fernet_inspect(token) FROM large',
	'set keys' => $set_loop,
	census => repeated(5, q(count(*) FROM fernet_census('original', 'token'))),
	assert_rotated => repeated(5, q(fernet_assert_rotated('good', 'token'))),
	doctor => repeated(5, 'count(*) FROM fernet_doctor()'),
	statistics => repeated(3000, 'count(*) FROM fernet_stat()'),
	rotate_batch =>
	  q(SELECT fernet_rotate_batch('secret', 'token', 0, 1000000)),
	'rotate_column' => q(CALL fernet_rotate_column('secret', 'token', 100)),
	'rotate_column in one slice' =>
	  q(CALL fernet_rotate_column('secret', 'token', 100, '1 ms', 1, 1)),
	'decrypt_column' =>
	  q(CALL fernet_decrypt_column('plain', 'token', true, 100)),
);
my %table_of = (
	rotate_batch => 'secret',
	rotate_column => 'secret',
	'rotate_column in one slice' => 'secret',
	decrypt_column => 'plain');

# ---------------------------------------------------------------------------
# One interrupt

my %wrong;
sub wrong
{
	my ($name, $what) = @_;
	$what =~ s/[A-Za-z0-9_\/+=-]{40,}/<withheld>/g;
	$wrong{"$name: $what"}++;
	return;
}

# How long each call takes, in seconds, for the choice of the moment.
my $connection;
my %seconds;
sub begin_session
{
	$connection->disconnect if defined $connection;
	$connection = connect_to($node, options => $both);
	return;
}
begin_session();

sub refill
{
	my ($table) = @_;
	value_of($watcher, "TRUNCATE $table");
	value_of($watcher, "INSERT INTO $table TABLE original");
	return;
}

foreach my $name (sort keys %calls)
{
	my $start = time();
	outcome($connection, $calls{$name});
	$seconds{$name} = time() - $start;
	value_of($connection, 'RESET fernet.key');
	refill($table_of{$name}) if defined $table_of{$name};
}
note sprintf 'uninterrupted: %s',
  join ', ', map { sprintf '%s %.2f s', $_, $seconds{$_} } sort keys %seconds;

# damaged_rows counts rows that are lost or changed.
sub damaged_rows
{
	my ($table) = @_;
	return value_of($watcher, <<"SQL");
SELECT count(*) FILTER (WHERE o.id IS NULL OR s.id IS NULL OR
	coalesce(fernet_try_decrypt(s.token), s.token) <> 'plaintext ' || o.id)
FROM original AS o FULL JOIN $table AS s USING (id)
SQL
}

# check_session says what is wrong with the session after an interrupt.
my $checks = 0;
sub check_session
{
	my ($name) = @_;
	my $held = held_after($connection);
	wrong($name, "it leaves $held") if $held ne '';
	# Outside of a transaction block the keys are those of the connection: the
	# rollback removes a key that the call has set.
	my $now = value_of($connection, $keys);
	wrong($name, 'another key stays behind') if $now ne $session_keys;
	my ($state, $value, $message) =
	  outcome($connection, 'SELECT fernet_decrypt(?) || fernet_decrypt(fernet_encrypt(?))',
		$token, ' again');
	wrong($name, "the next call gives $state $message")
	  if $state ne '' || $value ne 'a plaintext again';
	$checks++;
	return;
}

# end_of_async waits for an asynchronous statement, and returns its SQLSTATE or ''.
# The value of pg_result tells success from failure up to DBD::Pg 3.18 only.
sub end_of_async
{
	my ($connection) = @_;
	my $result = $connection->pg_result;
	return $connection->state || (defined $result ? '' : 'XXXXX');
}

my %done = map { $_ => 0 } qw(cancel timeout terminate);
my %ended = map { $_ => 0 } qw(cancel timeout terminate);

# end_timeout ends a statement_timeout. What ends it runs under it too.
sub end_timeout
{
	my ($connection) = @_;
	foreach (1 .. 100)
	{
		return if (outcome($connection, 'SET statement_timeout = 0'))[0] eq '';
	}
	die 'the timeout cannot be ended';
}

# interrupt begins the call $name and interrupts it; it may have ended before.
sub interrupt
{
	my ($way, $name) = @_;
	my $moment = rand($seconds{$name} * 0.95);
	# An open transaction with a key of its own, and a savepoint or none.
	my $is_call = $calls{$name} =~ /^CALL/;
	my $in_block = !$is_call && rand() < 0.4;
	if ($in_block)
	{
		value_of($connection, 'BEGIN');
		value_of($connection, "SET LOCAL fernet.key = '$old,$new'");
		value_of($connection, 'SAVEPOINT s') if rand() < 0.5;
	}
	my ($state, $message);
	if ($way eq 'timeout')
	{
		value_of($connection,
			($in_block ? 'SET LOCAL' : 'SET') . ' statement_timeout = ' . int($moment * 1000 + 1));
		($state, undef, $message) = outcome($connection, $calls{$name});
		end_timeout($connection) if !$in_block;
	}
	else
	{
		# DBD::Pg: 1 is PG_ASYNC.
		$connection->do($calls{$name}, { pg_async => 1 })
		  or die $connection->errstr;
		sleep($moment);
		my $function = $way eq 'cancel' ? 'cancel' : 'terminate';
		value_of($watcher, "SELECT pg_${function}_backend($connection->{pg_pid})");
		$state = end_of_async($connection);
		$message = $state eq '' ? '' : $connection->errstr // '';
	}
	my %right =
	  (cancel => '57014', timeout => '57014', terminate => '57P01');
	if ($state eq $right{$way} || ($way eq 'terminate' && $state ne ''))
	{
		$done{$way}++;
	}
	elsif ($state eq '' || $state eq 'PF007')
	{
		$ended{$way}++;
		# The call has become faster: another test has ended.
		$seconds{$name} *= 0.8;
	}
	else
	{
		wrong($name, "it ends with $state $message");
	}
	if ($way eq 'terminate')
	{
		begin_session();
	}
	else
	{
		# The timeout may end this too, and then it has ended itself: it goes with
		# the transaction that fails.
		outcome($connection, 'ROLLBACK') if $in_block && $way eq 'timeout';
		value_of($connection, 'ROLLBACK') if $in_block;
		# A loop that was not interrupted leaves its last key set.
		value_of($connection, 'RESET fernet.key') if $state eq '';
	}
	check_session("$name, $way");
	if (defined $table_of{$name})
	{
		my $damaged = damaged_rows($table_of{$name});
		wrong($name, "$damaged rows are damaged") if $damaged;
		refill($table_of{$name}) if $way eq 'terminate' || rand() < 0.3;
	}
	return;
}

# interrupt_many does $count interrupts in $way of calls whose names match.
sub interrupt_many
{
	my ($way, $count, $match) = @_;
	my @names = grep { /$match/ } sort keys %calls;
	my $end = $done{$way} + $count;
	my $tries = 0;
	while ($done{$way} < $end && $tries++ < 3 * $count + 3)
	{
		interrupt($way, $names[ rand @names ]);
	}
	return;
}

my $begin = time();
# Every call at least once in each way, and large values more often.
foreach my $way (qw(cancel timeout))
{
	interrupt($way, $_) foreach shuffle(sort keys %calls);
	interrupt_many($way, $wanted{$way} / 20, 'large');
}
interrupt_many('terminate', $wanted{terminate}, '.');

# Then in one session, whose memory is measured. Large values would only leave
# holes in it.
my $small = qr/^(?!.*large)/;
begin_session();
outcome($connection, $calls{$_}) foreach grep { /$small/ } sort keys %calls;
value_of($connection, 'RESET fernet.key');
interrupt_many($_, 30, $small) foreach qw(cancel timeout);
my $before = memory_of($connection);
my $pid = $connection->{pg_pid};
foreach my $tenth (1 .. 10)
{
	interrupt_many($_, ($wanted{$_} - $done{$_}) / (11 - $tenth), $small)
	  foreach qw(cancel timeout);
}
my $after = memory_of($connection);
is($connection->{pg_pid}, $pid, 'one session has seen it all');
foreach my $way (sort keys %wanted)
{
	cmp_ok($done{$way}, '>=', $wanted{$way},
		"$way: $done{$way} calls interrupted, $ended{$way} had ended before");
}
my @wrong = sort keys %wrong;
is(scalar @wrong, 0, "each time all was well, in $checks checks");
diag("$_ ($wrong{$_} times)") foreach @wrong[ 0 .. ($#wrong < 9 ? $#wrong : 9) ];
cmp_ok($after->{contexts} - $before->{contexts},
	'<=', 256, 'the memory contexts of the session have not grown');
# The heap keeps its largest size: planning the queries of fernet_doctor takes some
# megabytes for a moment, and what other calls keep may come to lie above them.
cmp_ok($after->{RssAnon} - $before->{RssAnon},
	'<=', 6144, 'nor has its process');
note sprintf 'grown by %d kB in contexts, %d kB in the process; %.0f s',
  $after->{contexts} - $before->{contexts},
  $after->{RssAnon} - $before->{RssAnon}, time() - $begin;

# ---------------------------------------------------------------------------
# No key left behind where there was none

{
	my $bare = connect_to($node);
	foreach my $end ('ROLLBACK', 'COMMIT')
	{
		value_of($bare, 'BEGIN');
		value_of($bare, "SET LOCAL fernet.key = '$new'");
		value_of($bare, q(SET LOCAL statement_timeout = '20 ms'));
		is((outcome($bare, 'SELECT count(fernet_encrypt($$y$$)) FROM generate_series(1, 10000000)'))[0],
			'57014', "SET LOCAL, a call runs into its timeout, $end");
		value_of($bare, $end);
		is(value_of($bare, $keys), '', 'then there is no key');
		is((outcome($bare, 'SELECT fernet_encrypt($$y$$)'))[0],
			'PF001', 'and the calls say so');
	}
	value_of($bare, "SET fernet.key = '$new'");
	value_of($bare, q(SET statement_timeout = '20 ms'));
	outcome($bare, $set_loop);
	end_timeout($bare);
	value_of($bare, 'RESET ALL');
	is(value_of($bare, $keys), '', 'nor after a timeout and RESET ALL');
	$bare->disconnect;
}

# ---------------------------------------------------------------------------
# In the middle of one value: long work on it must check for interrupts. A token
# that none of 64 keys decrypts is read 64 times in a single call, which takes
# far longer than the time that is allowed here from the interrupt to the end.

{
	my $allowed = 5;    # seconds
	my $size = is_long() ? 375 : 75;    # MB of plaintext
	my $many_keys = join ',', map { new_key() } 1 .. 64;
	my $one = connect_to($node, options => "-c fernet.key=$many_keys");
	my $foreign = connect_to($node, options => "-c fernet.key=$other");
	value_of($foreign, $_)
	  foreach 'CREATE UNLOGGED TABLE huge (token text)',
	  'ALTER TABLE huge ALTER token SET STORAGE EXTERNAL',
	  "INSERT INTO huge SELECT fernet_encrypt(repeat('x', $size * 1000000))";
	my %huge = map { $_ => [ $one, "SELECT $_(token) FROM huge" ] }
	  qw(fernet_decrypt fernet_try_decrypt fernet_verify fernet_rotate
	  fernet_timestamp fernet_key_index fernet_inspect);
	$huge{fernet_census} =
	  [ $one, q(SELECT count(*) FROM fernet_census('huge', 'token')) ];
	$huge{fernet_rotate_batch} =
	  [ $one, q(SELECT fernet_rotate_batch('huge', 'token')) ];
	$huge{fernet_rotate_column} = [ $one, q(CALL fernet_rotate_column('huge', 'token')) ];
	# With the right key these take a second or two; they must end as cleanly.
	$huge{'fernet_decrypt under the key'} =
	  [ $foreign, 'SELECT length(fernet_decrypt(token)) FROM huge' ];
	$huge{'fernet_encrypt'} =
	  [ $foreign, "SELECT length(fernet_encrypt(repeat('x', $size * 1000000)))" ];
	foreach my $name (sort keys %huge)
	{
		my ($session, $sql) = @{ $huge{$name} };
		$session->do($sql, { pg_async => 1 }) or die $session->errstr;
		# Reading the value from the table takes a part of this.
		sleep(is_long() ? 1 : 0.3);
		my $cancelled = time();
		value_of($watcher, "SELECT pg_cancel_backend($session->{pg_pid})");
		my $state = end_of_async($session) || 'success';
		my $seconds = time() - $cancelled;
		ok( ($state eq '57014' || ($session == $foreign && $state eq 'success'))
			  && $seconds <= $allowed,
			"$name of one large value ends soon after it is cancelled")
		  or diag(sprintf '%s after %.1f s', $state, $seconds);
		is(held_after($session), '', "$name of one large value: nothing stays behind");
		is(value_of($session, q(SELECT fernet_decrypt(fernet_encrypt('y')))),
			'y', "$name of one large value: the next call works");
	}
	$_->disconnect foreach $one, $foreign;
	value_of($watcher, 'DROP TABLE huge');
}

is(value_of($watcher, 'SELECT pg_postmaster_start_time()'),
	$started, 'the server has not restarted');
is(value_of($watcher, q(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')),
	0, 'no lock is left');
value_of($watcher, "SELECT fernet_decrypt('$token')");
$connection->disconnect;
$watcher->disconnect;
$node->stop;
no_crash($node);
my @fatal = grep { !/terminating connection due to administrator command/ }
  ${ server_logs($node) } =~ /(FATAL: .*)/g;
is(scalar @fatal, 0, 'the log has no FATAL but those that were asked for');
done_testing();
