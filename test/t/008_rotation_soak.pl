# Rotation under load, killed again and again: clients insert, update, move and
# delete tokens of the old and the new key while rotations of one column and of
# three at once run and are cancelled, terminated or killed with SIGKILL at random
# moments. A second table
# keeps, in the same transactions, the plaintexts that the application writes:
# at any moment every value must decrypt to its plaintext. At the end a last
# rotation finishes the work. FERNET_LONG=1 kills more often.

use strict;
use warnings;

use FernetTest qw(:DEFAULT same session server_logs tell
  start_session session_ended finish_session wait_until);
use List::Util qw(shuffle);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep time);

my $seed = $ENV{FERNET_SEED} // int(rand(2**31));
srand $seed;
note "FERNET_SEED=$seed repeats this run's choices";

my @ways = qw(cancel terminate kill);
my $kills_of_each = $ENV{FERNET_LONG} ? 20 : 2;
my $ids = 4000;

my ($old, $new) = (new_key(), new_key());
my %options = (
	old => "-c fernet.key=$old",
	'old first' => "-c fernet.key=$old,$new",
	'new first' => "-c fernet.key=$new,$old",
	new => "-c fernet.key=$new");

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
session_preload_libraries = 'pg_fernet'
restart_after_crash = on
log_statement = none
log_error_verbosity = verbose
log_min_messages = warning
autovacuum_naptime = 1s
CONF
$node->start;

# "model" holds the last write of the application: the version is from a
# sequence, so that no two writes have the same version. The index on "secret"
# is not unique, so that nothing hides a row that is there twice.
my ($out, $err) = session($node, <<"SQL", options => $options{old});
CREATE EXTENSION pg_fernet;
CREATE TABLE model (id integer PRIMARY KEY, version bigint NOT NULL);
CREATE TABLE secret (id integer NOT NULL, version bigint NOT NULL,
	token text NOT NULL, raw bytea NOT NULL, document jsonb NOT NULL,
	filler text NOT NULL);
CREATE INDEX ON secret (id);
CREATE SEQUENCE versions;
CREATE FUNCTION plain(id integer, version bigint, kind text) RETURNS text
LANGUAGE sql IMMUTABLE AS \$\$ SELECT format('%s of %s, version %s', \$3, \$1, \$2) \$\$;
INSERT INTO model SELECT i, nextval('versions') FROM generate_series(1, $ids) AS i;
INSERT INTO secret SELECT id, version, fernet_encrypt(plain(id, version, 'token')),
	convert_to(fernet_encrypt(plain(id, version, 'raw')), 'UTF8'),
	jsonb_build_object('key', fernet_encrypt(plain(id, version, 'document'))), ''
FROM model;
SQL
same($err, '', 'there is a table');

# ---------------------------------------------------------------------------
# The application

# In each write the model's row comes first, and is the lock on the id.
my $update = <<"SQL";
\\set id random(1, $ids)
WITH m AS (
	UPDATE model SET version = nextval('versions') WHERE id = :id
	RETURNING id, version)
UPDATE secret SET version = m.version,
	token = fernet_encrypt(plain(m.id, m.version, 'token')),
	raw = convert_to(fernet_encrypt(plain(m.id, m.version, 'raw')), 'UTF8'),
	document = jsonb_build_object('key', fernet_encrypt(plain(m.id, m.version, 'document')))
FROM m WHERE secret.id = m.id;
SQL
my %scripts = (
	update => [ 8, $update ],
	'keep open' => [ 1, "BEGIN;\n$update\\sleep 3 ms\nCOMMIT;\n" ],
	'roll back' => [ 1, "BEGIN;\n$update\\sleep 1 ms\nROLLBACK;\n" ],
	lock => [ 1, <<"SQL"],
\\set id random(1, $ids)
BEGIN;
SELECT id FROM secret WHERE id = :id FOR UPDATE;
\\sleep 2 ms
COMMIT;
SQL
	move => [ 2, <<"SQL"],
\\set id random(1, $ids)
\\set size random(0, 2000)
UPDATE secret SET filler = repeat('x', :size) WHERE id = :id;
SQL
	insert => [ 2, <<"SQL"],
\\set id random(1, $ids)
WITH m AS (
	INSERT INTO model VALUES (:id, nextval('versions')) ON CONFLICT DO NOTHING
	RETURNING id, version)
INSERT INTO secret SELECT id, version, fernet_encrypt(plain(id, version, 'token')),
	convert_to(fernet_encrypt(plain(id, version, 'raw')), 'UTF8'),
	jsonb_build_object('key', fernet_encrypt(plain(id, version, 'document'))), ''
FROM m;
SQL
	delete => [ 1, <<"SQL"],
\\set id random(1, $ids)
WITH m AS (DELETE FROM model WHERE id = :id RETURNING id)
DELETE FROM secret USING m WHERE secret.id = m.id;
SQL
);
my @files;
foreach my $name (sort keys %scripts)
{
	my $file = $node->basedir . "/$name.sql" =~ tr/ /_/r;
	append_to_file($file, $scripts{$name}[1]);
	push @files, '-f', "$file\@$scripts{$name}[0]";
}

# Clients, by the key that they encrypt with.
my %clients;
my $clients_begun = 0;
my $client_errors = '';

sub begin_client
{
	my ($which) = @_;
	my $client = { out => '', err => '' };
	local %ENV = (%ENV, psql_env($node, $options{$which}));
	$client->{run} = IPC::Run::start(
		[
			'pgbench', '-n', '-M', 'prepared', '-c', '2', '-T', '3600',
			'--random-seed', int(rand(2**31)), @files
		],
		'<', '/dev/null', '>', \$client->{out}, '2>', \$client->{err});
	$clients{$which} = $client;
	$clients_begun++;
	return;
}

# The errors of a client whose server goes away.
my $gone = join '|',
  'server closed the connection unexpectedly',
  'SQL command send failed',
  'terminating connection because of crash of another server process',
  'the database system is (?:in recovery mode|starting up|not yet accepting connections)',
  'could not create connection for client',
  'could not connect for client',
  'connection to server on socket .* failed: No such file or directory',
  'perhaps the backend died while processing',
  'Run was aborted';

# take_errors keeps the other errors of a client.
sub take_errors
{
	my ($client) = @_;
	foreach my $line (split /\n/, $client->{err})
	{
		$client_errors .= "$line\n"
		  if $line =~ /(?:ERROR|FATAL|PANIC|WARNING|error):/
		  && $line !~ /$gone/;
	}
	return;
}

sub end_clients
{
	foreach my $client (values %clients)
	{
		$client->{run}->signal('TERM') if !session_ended($client);
		$client->{run}->finish;
		take_errors($client);
	}
	%clients = ();
	return;
}

sub keep_clients_running
{
	foreach my $which ('old first', 'new first')
	{
		begin_client($which) if !defined $clients{$which};
	}
	return;
}

# ---------------------------------------------------------------------------
# Checks

# compare counts the differences between the table and the model, in one
# snapshot.
sub compare
{
	my ($keys) = @_;
	my ($counts, $error) =
	  session($node, <<'SQL', options => $options{$keys});
SELECT format('lost %s, doubled %s, too many %s, of another version %s, '
		'unreadable %s, wrong %s',
	count(*) FILTER (WHERE s.n IS NULL),
	count(*) FILTER (WHERE s.n > 1),
	count(*) FILTER (WHERE m.id IS NULL),
	count(*) FILTER (WHERE s.version <> m.version),
	count(*) FILTER (WHERE s.token IS NULL OR s.raw IS NULL OR s.document IS NULL),
	count(*) FILTER (WHERE s.token <> plain(m.id, m.version, 'token')
		OR s.raw <> plain(m.id, m.version, 'raw')
		OR s.document <> plain(m.id, m.version, 'document')))
FROM model AS m FULL JOIN (
	SELECT id, count(*) AS n, max(version) AS version,
		max(fernet_try_decrypt(token)) AS token,
		max(fernet_try_decrypt(raw)) AS raw,
		max(fernet_try_decrypt(document->>'key')) AS document
	FROM secret GROUP BY id) AS s USING (id)
SQL
	return $error eq '' ? $counts : 'the query fails';
}
my $equal = 'lost 0, doubled 0, too many 0, of another version 0, '
  . 'unreadable 0, wrong 0';

sub checkpointer
{
	my ($pid) = session($node,
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'");
	return $pid;
}

# wait_for_restart waits for the end of the crash recovery, which ends the
# process $checkpointer.
sub wait_for_restart
{
	my ($checkpointer) = @_;
	my $end = time() + $PostgreSQL::Test::Utils::timeout_default;
	while (time() < $end)
	{
		my $now = checkpointer();
		return if $now ne '' && $now ne $checkpointer;
		usleep(50_000);
	}
	die 'the server does not come back';
}

# ---------------------------------------------------------------------------
# Rotations, killed

my @rotations = (
	"table('secret', '{token, raw, document}'",
	"column('secret', 'token'",
	"table('secret', '{document, raw}'",
	"column('secret', 'document'");
my %killed = map { $_ => 0 } @ways;
my %ended;
my $rotations = 0;
my $in_the_middle = 0;

sub begin_rotation
{
	my $rotation = $rotations[ $rotations++ % @rotations ];
	# Long enough for a kill to find it under way.
	my $batch = 5 + int rand 100;
	my $pause = 5 + int rand($ENV{FERNET_LONG} ? 15 : 300);
	return start_session(
		$node,
		"CALL fernet_rotate_$rotation, $batch, '$pause ms')",
		options => $options{'new first'},
		name => 'rotation');
}

sub is_rotating
{
	my ($is_active) = session($node, <<'SQL');
SELECT count(*) > 0 FROM pg_stat_activity
WHERE application_name = 'rotation' AND state = 'active'
SQL
	return $is_active eq 't';
}

# kill_rotation ends the rotation that is running; returns whether there was one.
sub kill_rotation
{
	my ($way) = @_;
	my %sql = (
		cancel => 'pg_cancel_backend(pid)',
		terminate => 'pg_terminate_backend(pid)',
		kill => 'pid');
	my ($pid) = session($node, <<"SQL");
SELECT $sql{$way} FROM pg_stat_activity
WHERE application_name = 'rotation' AND state = 'active'
SQL
	return 0 if $pid eq '';
	return $way ne 'kill' || kill('KILL', $pid);
}

my %end_of = (
	cancel => qr/^ERROR:  57014: canceling statement/m,
	terminate => qr/^FATAL:  57P01: terminating connection/m,
	kill => qr/server closed the connection unexpectedly/);
my @different;
my @unexpected;

my $start = time();
my @todo = shuffle((@ways) x $kills_of_each);
while (@todo && time() - $start < 30 + 30 * $kills_of_each)
{
	keep_clients_running();
	my $rotation = begin_rotation();
	wait_until(sub { is_rotating() || session_ended($rotation) });
	my $after = time() + rand 0.7;
	usleep(5_000) while time() < $after && !session_ended($rotation);
	my $checkpointer = checkpointer();
	my $is_killed = !session_ended($rotation) && kill_rotation($todo[0]);
	my ($counts, $error) = finish_session($rotation);
	if ($is_killed && $todo[0] eq 'kill')
	{
		# Each client has lost its server, or will notice soon.
		end_clients();
		wait_for_restart($checkpointer);
	}
	if ($is_killed && $error =~ $end_of{ $todo[0] })
	{
		$killed{ shift @todo }++;
		my ($both) =
		  session($node, <<'SQL', options => $options{'new first'});
SELECT count(*) FILTER (WHERE 1 IN (fernet_key_index(token), fernet_key_index(raw), fernet_key_index(document->>'key'))) > 0
	AND count(*) FILTER (WHERE 2 IN (fernet_key_index(token), fernet_key_index(raw), fernet_key_index(document->>'key'))) > 0
FROM secret
SQL
		$in_the_middle++ if $both eq 't';
	}
	elsif ($error =~ /^ERROR:  PF007: /m)
	{
		$ended{'with values left'}++;
	}
	elsif ($counts =~ /^\d+\|\d+\|0$/ && $error !~ /^WARNING:/m)
	{
		$ended{'with none left'}++;
	}
	else
	{
		push @unexpected, $error;
	}
	my $now = compare('new first');
	push @different, $now if $now ne $equal;
}
note sprintf('%s rotations in %.0f s; killed: %s; ended %s; clients begun: %d',
	$rotations, time() - $start,
	join(', ', map { "$_ $killed{$_}" } @ways),
	join(', ', map { "$_ $ended{$_}" } sort keys %ended) || 'never',
	$clients_begun);

is($killed{$_}, $kills_of_each, "rotations were ended by $_") foreach @ways;
cmp_ok($in_the_middle, '>', 0, 'some with values under both keys');
is(scalar @unexpected, 0, 'no rotation has ended in another way');
tell($_) foreach @unexpected;
is("@different", '',
	'after each, every value was what had been written last');

# ---------------------------------------------------------------------------
# The end

end_clients();
$node->poll_query_until('postgres', <<'SQL') or die 'clients go on';
SELECT count(*) = 0 FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
SQL
is($client_errors, '',
	'the application has had no other errors than those of kills')
  or tell($client_errors);
my ($writes) = session($node, 'SELECT last_value FROM versions');
note "$writes writes";
# The first $ids are those of the beginning.
cmp_ok($writes, '>', $ids + 1000, 'the application has written much');

is(compare('new first'), $equal,
	'before the last rotation every value is what was written last');
my ($counts, $error) = session(
	$node,
	"SET client_min_messages = warning;\n"
	  . "CALL fernet_rotate_table('secret', '{token, raw, document}')",
	options => $options{'new first'});
same($error, '', 'the last rotation succeeds');
like($counts, qr/^\d+\|\d+\|0$/, 'nothing failed');
(undef, $error) = session(
	$node,
	"SELECT fernet_assert_rotated('secret')",
	options => $options{'new first'});
same($error, '', 'the gate for the whole table agrees');
is(compare('new'), $equal, 'now every value is so under the new key alone');
my ($under_old) = session($node, <<'SQL', options => $options{old});
SELECT count(*) FROM secret
WHERE fernet_verify(token) OR fernet_verify(raw) OR fernet_verify(document->>'key')
SQL
is($under_old, '0', 'and none under the old one');

my $logs = server_logs($node);
my @bad = grep { !/terminated by signal 9: Killed/ }
  $$logs =~ /(.*(?:PANIC|TRAP|terminated by signal|\bleak\b|deadlock|XX000).*)/g;
is(scalar @bad, 0, 'the log has nothing that it should not');
tell($_) foreach @bad[ 0 .. ($#bad < 4 ? $#bad : 4) ];

$node->stop;
done_testing();
