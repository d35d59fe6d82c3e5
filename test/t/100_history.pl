# Everything that clients do is recorded, and checked: for each row there must be an
# order of the writes that explains every read, through rotations and everything that
# can happen to them. Rotations are cancelled and terminated; the processes of the
# rotation, of clients and the postmaster are killed; memory and disk run out; the
# server shuts down at once; and a standby is promoted. Python's cryptography reads
# beside the server. test/history has the checker, which 101_history_checker tests, and
# the clients. It runs for 20 seconds and one standby, and with FERNET_LONG=1 for 10
# minutes and five; or for as many seconds as FERNET_SECONDS says. Memory and disk run
# out with FERNET_LONG=1 only: the errors that this may cause are not all known.

use strict;
use warnings FATAL => 'all';

# A disk that can be full, without a right that only root has: a file system in
# memory, which this process and its children alone see. They have the name of its
# folder.
my $small_disk;

BEGIN
{
	require File::Temp;
	require POSIX;
	$small_disk = $ENV{FERNET_SMALL_DISK};
	# Not while perl -c only compiles.
	if (!defined $small_disk && $ENV{FERNET_LONG} && !$^C)
	{
		my $folder = File::Temp::tempdir('fernet-disk-XXXXXX', TMPDIR => 1);
		my @in_namespace = ('unshare', '-U', '-r', '-m', 'sh', '-c', <<'SH', 'sh', $folder);
mount -t tmpfs -o size=8m tmpfs "$1" && uid=$2 && gid=$3 && shift 3 &&
	exec unshare -U --map-user="$uid" --map-group="$gid" "$@"
SH
		push @in_namespace, $>, $) =~ s/ .*//r;
		if (system("@{[map { quotemeta } @in_namespace]} true 2>/dev/null") == 0)
		{
			local $ENV{FERNET_SMALL_DISK} = $folder;
			my $status = system(@in_namespace, $^X, (map { "-I$_" } @INC), $0);
			rmdir $folder;
			POSIX::_exit($status == 0 ? 0 : 1);
		}
		rmdir $folder;
	}
}

use Cwd            qw(abs_path);
use FaultTest;
use File::Basename qw(dirname);
use FernetTest     qw(:DEFAULT same session server_logs tell
  start_session session_ended finish_session has_ended);
use List::Util     qw(shuffle);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep time);

random_seed();
my $long = $ENV{FERNET_LONG};
my $end_of_faults = $ENV{FERNET_SECONDS} // ($long ? 600 : 20);
my $rows = 400;
my $tools = abs_path(dirname(__FILE__) . '/../history');
my @keys = (new_key(), new_key());

sub run_tool
{
	my ($name, @arguments) = @_;
	my $output = '';
	my $ok = IPC::Run::run([ "$tools/$name", @arguments ], '>', \$output, '2>&1');
	return ($ok, $output);
}

# ---------------------------------------------------------------------------
# Clients

my $history = PostgreSQL::Test::Utils::tempdir();
my $clients;

sub write_file
{
	my ($name, $text) = @_;
	# Clients never see half of it.
	open(my $file, '>', "$history/$name.new") or die "$name: $!";
	print $file $text;
	close $file;
	rename "$history/$name.new", "$history/$name" or die "$name: $!";
	return;
}

sub begin_clients
{
	my ($node) = @_;
	write_file('server', $node->connstr('postgres') . ' application_name=client');
	write_file('keys', join("\n", @keys));
	write_file('rows', $rows);
	write_file('history', '');
	unlink "$history/stop";
	$clients = { out => '' };
	$clients->{run} = IPC::Run::start([ "$tools/clients", 'run', $history ],
		'<', '/dev/null', '>', \$clients->{out}, '2>&1');
	return;
}

# wait_for_clients waits until they have done some more.
sub wait_for_clients
{
	my $size = -s "$history/history";
	my $until = time() + $PostgreSQL::Test::Utils::timeout_default;
	while (-s "$history/history" < $size + 8000)
	{
		last if session_ended($clients);
		die 'the clients do not go on' if time() > $until;
		usleep(20_000);
	}
	return;
}

# end_clients tests what they have done.
sub end_clients
{
	my ($name) = @_;
	write_file('stop', '');
	$clients->{run}->finish;
	ok($clients->{run}->result == 0, "$name: server and Python have read the same")
	  or tell($clients->{out});
	note "$name: $clients->{out}";
	my ($done) = $clients->{out} =~ /\bok (\d+)/;
	cmp_ok($done // 0, '>', 200, "$name: the clients have done much");
	return;
}

# finishes ends a part: all is read, rotated, and read with the first key alone.
sub finishes
{
	my ($node, $name) = @_;
	end_clients($name);
	my ($read, $told) = run_tool('clients', 'read', $history);
	ok($read, "$name: every value can be read at the end") or tell($told);
	my ($counts, $error) = session($node,
		"SET client_min_messages = warning;\nCALL fernet_rotate_column('secret', 'token')",
		options => "-c fernet.key=$keys[0],$keys[1]");
	same($error, '', "$name: the last rotation succeeds");
	write_file('keys', $keys[0]);
	($read, $told) = run_tool('clients', 'read', $history);
	ok($read, "$name: and then with the first key alone") or tell($told);
	my ($explained, $words) = run_tool('clients', 'check', $history);
	ok($explained, "$name: an order of the writes explains every read") or diag($words);
	note "$name: $words";
	return;
}

# create_table fills it. The place is empty or names a tablespace.
sub create_table
{
	my ($node, $place) = @_;
	my (undef, $error) = session($node, <<"SQL", options => "-c fernet.key=$keys[0]");
CREATE TABLE secret (id integer PRIMARY KEY, token text NOT NULL) $place;
INSERT INTO secret SELECT i, fernet_encrypt(i || '.first') FROM generate_series(0, $rows - 1) AS i;
SQL
	same($error, '', 'there is a table');
	return;
}

# ---------------------------------------------------------------------------
# Rotations

my $rotations = 0;

# begin_rotation rotates to one key and to the other in turn: there is always
# something to do.
sub begin_rotation
{
	my ($node, $before) = @_;
	my ($first, $second) = $rotations++ % 2 ? @keys[ 1, 0 ] : @keys;
	my $batch = 5 + int rand 40;
	my $pause = 2 + int rand 20;
	return start_session($node,
		($before // '') . "CALL fernet_rotate_column('secret', 'token', $batch, '$pause ms')",
		options => "-c fernet.key=$first,$second", name => 'rotation');
}

sub some_time { usleep(50_000 + int rand 300_000); return; }

# A rotation ends with its counts, with values that are left, or as the fault says.
my @unexpected;
my $shim = build_library('shim');

sub end_rotation
{
	my ($rotation, $fault) = @_;
	my ($counts, $error) = finish_session($rotation);
	my $states = join ' ', $error =~ /^(?:ERROR|FATAL):  (\w{5}): /mg;
	push @unexpected, $error
	  if $error =~ /^(?:ERROR|FATAL|PANIC|psql: error):|^server closed/m
	  && $states !~ /^(?:PF007|55006|40P01)$/ && $error !~ $fault;
	return;
}

# restart starts a server again; one that was killed may still be there for a moment.
sub restart
{
	my ($node, $pid) = @_;
	my $until = time() + $PostgreSQL::Test::Utils::timeout_default;
	has_ended($pid) if defined $pid;
	local $ENV{LD_PRELOAD} = $shim;
	while (!$node->start(fail_ok => 1))
	{
		die 'the server does not start' if time() > $until;
		$node->stop('fast', fail_ok => 1);
		usleep(100_000);
	}
	return;
}

sub pid_of
{
	my ($node, $name) = @_;
	my ($pid) = session($node, <<"SQL");
SELECT pid FROM pg_stat_activity WHERE application_name = '$name' ORDER BY random() LIMIT 1
SQL
	return $pid;
}

sub is_up
{
	my ($node) = @_;
	$node->poll_query_until('postgres', 'SELECT true') or die 'the server does not come back';
	return;
}

# kill_backend returns when the postmaster has noticed, which then restarts.
sub kill_backend
{
	my ($pid) = @_;
	return if $pid !~ /^\d+$/;
	kill 'KILL', $pid;
	has_ended($pid);
	return;
}

my $lost = qr/server closed the connection unexpectedly|57P0[123]|could not connect|connection to server on socket .* failed|recovery mode|starting up/;
my %faults = (
	'cancel' => sub {
		my ($node, $rotation) = @_;
		session($node, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name IN ('rotation', 'client')");
		end_rotation($rotation, qr/57014/);
	},
	'terminate' => sub {
		my ($node, $rotation) = @_;
		session($node, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'rotation' OR application_name = 'client' AND random() < 0.5");
		end_rotation($rotation, $lost);
	},
	'kill the rotation' => sub {
		my ($node, $rotation) = @_;
		kill_backend(pid_of($node, 'rotation'));
		end_rotation($rotation, $lost);
		is_up($node);
	},
	'kill a client' => sub {
		my ($node, $rotation) = @_;
		kill_backend(pid_of($node, 'client'));
		end_rotation($rotation, $lost);
		is_up($node);
	},
	'kill the postmaster' => sub {
		my ($node, $rotation) = @_;
		my ($pid) = slurp($node->data_dir . '/postmaster.pid') =~ /^(\d+)$/m;
		$node->kill9;
		end_rotation($rotation, $lost);
		restart($node, $pid);
	},
	'immediate shutdown' => sub {
		my ($node, $rotation) = @_;
		$node->stop('immediate');
		end_rotation($rotation, $lost);
		restart($node);
	},
	'out of memory' => sub {
		my ($node, $rotation) = @_;
		end_rotation($rotation, qr/^$/);
		foreach my $callers ('server', 'extension', 'server')
		{
			my $nth = 1 + int rand($callers eq 'server' ? 60 : 12);
			end_rotation(begin_rotation($node,
					"DO \$\$ BEGIN PERFORM fault_arm('malloc', '$callers', $nth, false); END \$\$;\n"),
				qr/53200|out of memory|PF00\d|could not complete the cryptographic operation/);
		}
	},
	'disk full' => sub {
		my ($node, $rotation) = @_;
		session($node, "COPY (SELECT repeat('x', 65536) FROM generate_series(1, 1000)) TO '$small_disk/filler'");
		usleep(200_000);
		session($node, "COPY (SELECT) TO '$small_disk/filler'");
		end_rotation($rotation, qr/53100/);
	},
);

# ---------------------------------------------------------------------------
# One server, and all that can happen to it

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
session_preload_libraries = 'pg_fernet'
restart_after_crash = on
log_statement = none
log_min_error_statement = panic
autovacuum_naptime = 1s
CONF
{
	local $ENV{LD_PRELOAD} = $shim;
	$node->start;
}
create_fault_functions($node);
$node->safe_psql('postgres', 'CREATE EXTENSION pg_fernet');
my $place = '';
if (defined $small_disk)
{
	mkdir "$small_disk/tablespace" or die "tablespace: $!";
	$node->safe_psql('postgres', "CREATE TABLESPACE small LOCATION '$small_disk/tablespace'");
	$place = 'TABLESPACE small';
}
else
{
	delete $faults{'disk full'};
}
delete $faults{'out of memory'} if !$long;
create_table($node, $place);
begin_clients($node);
wait_for_clients();
my $start = time();
my %happened;
do
{
	foreach my $fault (shuffle(sort keys %faults))
	{
		my $rotation = begin_rotation($node);
		some_time();
		$faults{$fault}->($node, $rotation);
		$happened{$fault}++;
	}
} while (time() - $start < $end_of_faults);
note sprintf '%d rotations in %.0f s: %s', $rotations, time() - $start,
  join ', ', map { "$_ $happened{$_}" } sort keys %happened;
finishes($node, 'one server');
my $logs = server_logs($node);
my @bad = grep { !/terminated by signal 9: Killed/ }
  $$logs =~ /(.*(?:PANIC|TRAP|terminated by signal|\bleak\b|XX000).*)/g;
is(scalar @bad, 0, 'its log has nothing that it should not');
tell($_) foreach @bad[ 0 .. ($#bad < 4 ? $#bad : 4) ];
$node->stop;
SKIP:
{
	skip 'a full disk: FERNET_LONG is not set', 1 if !$long;
	skip 'a full disk: this user may not make a file system', 1 if !defined $small_disk;
	like($$logs, qr/No space left on device/, 'the disk was full');
}

# ---------------------------------------------------------------------------
# A standby, promoted in the middle of a rotation. What the primary has confirmed,
# the standby has.

my $promotions = $long ? 5 : 1;
my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', <<'CONF');
session_preload_libraries = 'pg_fernet'
log_statement = none
log_min_error_statement = panic
CONF
$primary->start;
$primary->safe_psql('postgres', 'CREATE EXTENSION pg_fernet');
create_table($primary, '');
foreach my $number (1 .. $promotions)
{
	$primary->backup("backup-$number");
	my $standby = PostgreSQL::Test::Cluster->new("standby-$number");
	$standby->init_from_backup($primary, "backup-$number", has_streaming => 1);
	$standby->append_conf('postgresql.conf', "synchronous_standby_names = ''");
	$standby->start;
	$primary->append_conf('postgresql.conf', "synchronous_standby_names = '*'");
	$primary->reload;
	$primary->poll_query_until('postgres',
		"SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'") or die 'no standby';
	begin_clients($primary) if $number == 1;
	wait_for_clients();
	my $rotation = begin_rotation($primary);
	some_time();
	# Nobody reads from the old primary any more when the new one writes.
	$primary->stop('immediate');
	end_rotation($rotation, $lost);
	$standby->promote;
	write_file('server', $standby->connstr('postgres') . ' application_name=client');
	end_rotation(begin_rotation($standby), qr/^$/);
	wait_for_clients();
	$primary = $standby;
}
finishes($primary, 'promoted');
$primary->stop;

is(scalar @unexpected, 0, 'no rotation has ended in another way');
tell($_) foreach @unexpected;
done_testing();
