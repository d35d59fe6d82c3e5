# Where can a key leak? Every way to give the key is tried on a server with all
# noisy settings on, one at a time and each with a new key for each setting that
# holds keys. Then logs, statistics, files, memory and processes are searched for
# these keys in every form. The result is the table in docs/keys.md, section "Where can the key
# leak?".

use strict;
use warnings;

use FernetTest qw(:DEFAULT wait_until);
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $page = 'docs/keys.md';
my $common = new_key();    # opens the tokens in the table
my $plaintext = 'plaintext-' . substr(new_key(), 0, 33);

# ---------------------------------------------------------------------------
# A server that logs everything

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
my $pgaudit = -e slurp_command('pg_config', '--pkglibdir') . '/pgaudit.so';
my $preload = join ',', 'pg_stat_statements', 'auto_explain',
  $pgaudit ? 'pgaudit' : ();
$node->append_conf('postgresql.conf', <<"CONF");
shared_preload_libraries = '$preload'
session_preload_libraries = 'pg_fernet'
logging_collector = on
log_destination = 'stderr,csvlog,jsonlog'
log_directory = 'log'
log_statement = none
log_min_duration_statement = -1
log_error_verbosity = verbose
compute_query_id = on
pg_stat_statements.track = all
pg_stat_statements.track_utility = on
auto_explain.log_nested_statements = on
dynamic_shared_memory_type = mmap
deadlock_timeout = 50ms
restart_after_crash = on
max_parallel_workers_per_gather = 2
parallel_setup_cost = 0
parallel_tuple_cost = 0
min_parallel_table_scan_size = 0
CONF
$node->start;
my $data = $node->data_dir;
my $version = $node->safe_psql('postgres', 'SHOW server_version_num');

$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_fernet;
CREATE EXTENSION pg_stat_statements;
CREATE TABLE tokens (token text, token_index bytea);
CREATE PROCEDURE set_key(key text) LANGUAGE sql AS 'SELECT set_config(''fernet.key'', key, false)';
CREATE PROCEDURE set_index_key(key text) LANGUAGE sql AS 'SELECT set_config(''fernet.index_key'', key, false)';
CREATE TABLE big AS SELECT g FROM generate_series(1, 20000) g;
CREATE TABLE pair AS SELECT g AS id, 0 AS n FROM generate_series(1, 2) g;
-- Returns when two sessions are here, each with its number.
CREATE FUNCTION meet(mine integer, other integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_advisory_xact_lock(mine);
	FOR i IN 1 .. 10000 LOOP
		EXIT WHEN EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = other);
		PERFORM pg_sleep(0.01);
	END LOOP;
END $$;
ANALYZE big;
SQL
run_bound($node,
	"INSERT INTO tokens SELECT fernet_encrypt(:plaintext::text) FROM generate_series(1, 10);\n",
	{ plaintext => $plaintext }, "-c fernet.key=$common");
is( in_session('-c fernet.key=' . $common,
		'SELECT count(*) FROM tokens WHERE fernet_decrypt(token) LIKE \'plaintext-%\';'),
	'10', 'the tokens are there');

sub slurp_command
{
	my ($out) = run_command([@_]);
	return $out;
}

# in_session runs $sql in a session with $options in its startup packet,
# continues after errors, and returns its output.
sub in_session
{
	my ($options, $sql) = @_;
	local %ENV = (%ENV, psql_env($node, $options));
	my ($out, $err);
	IPC::Run::run([ 'psql', '-XAtq' ], '<', \$sql, '>', \$out, '2>', \$err);
	chomp $out;
	return $out;
}

# ---------------------------------------------------------------------------
# The ways of giving keys. Each takes a key by setting, runs $work in a session
# that has them, with $options beside it, and returns what the session printed.

my @settings = ('fernet.key', 'fernet.index_key');

my $quiet_parameters = '-c log_parameter_max_length=0'
  . ($version >= 160000 ? ' -c auto_explain.log_parameter_max_length=0' : '');

# In one string with the first statement of $work, unless that is for psql: \;
# keeps psql from sending them one by one.
sub as_literal
{
	my ($set, @before) = @_;
	return sub {
		my ($keys, $options, $work) = @_;
		my @statements = @before;
		foreach my $setting (@settings)
		{
			(my $statement = $set) =~ s/KEY/$keys->{$setting},$common/;
			$statement =~ s/SETTING/$setting/;
			# A statement that does not name the setting.
			$statement =~ s/NAME/$setting =~ s{fernet.}{}r/e;
			push @statements, $statement;
		}
		my $join = $work =~ /^\\/ ? ';' : '\\;';
		return in_session($options, join('\\; ', @statements) . "$join\n$work");
	};
}

sub as_bound
{
	my ($more) = @_;
	return sub {
		my ($keys, $options, $work) = @_;
		my ($ok, $out) = run_bound(
			$node,
			"SELECT set_config('fernet.key', :key, false);\n"
			  . "SELECT set_config('fernet.index_key', :index_key, false);\n$work",
			{
				key => "$keys->{'fernet.key'},$common",
				index_key => "$keys->{'fernet.index_key'},$common"
			},
			"$options $more");
		return $out;
	};
}

my @ways = (
	[
		'startup options',
		sub {
			my ($keys, $options, $work) = @_;
			$options .= " -c $_=$keys->{$_},$common" foreach @settings;
			return in_session($options, $work);
		}
	],
	[ 'bound `set_config`', as_bound('') ],
	[ 'the same, parameters not logged', as_bound($quiet_parameters) ],
	[
		'`SET`, `SET LOCAL`',
		as_literal("SET SETTING = 'KEY'"),
		as_literal("SET LOCAL SETTING = 'KEY'", 'BEGIN')
	],
	[
		'literal `set_config`',
		as_literal("SELECT set_config('SETTING', 'KEY', false)"),
		as_literal(
			"DEALLOCATE ALL\\; PREPARE p AS SELECT set_config('SETTING', 'KEY', false)\\; EXECUTE p"
		)
	],
	[
		'`DO`, `EXECUTE`, `CALL`',
		as_literal(
			"DO \$\$BEGIN PERFORM set_config('SETTING', 'KEY', false); END\$\$"
		),
		as_literal("DO \$\$BEGIN EXECUTE 'SET SETTING = ''KEY'''; END\$\$"),
		as_literal(
			"DO \$\$BEGIN EXECUTE 'SELECT set_config(''SETTING'', ''KEY'', false)'; END\$\$"
		),
		as_literal("CALL set_NAME('KEY')")
	],);

sub is_bound
{
	my ($way) = @_;
	return $way == $ways[1][1] || $way == $ways[2][1];
}

# ---------------------------------------------------------------------------
# The work

my $token_of_another = 'gAAAAABn' . substr(new_key(), 0, 40);
my $work = <<"SQL";
SELECT count(fernet_decrypt(token)) FROM tokens;
SELECT count(fernet_decrypt(fernet_rotate(token))) FROM tokens;
SELECT count(fernet_encrypt(g::text)) FROM big;
SELECT count(*) FROM fernet_keys();
SELECT count(fernet_blind_indexes(g::text, 'big.g')) FROM big;
SELECT count(*) FROM fernet_index_keys();
SELECT fernet_decrypt('$token_of_another');
CALL fernet_index_column('tokens', 'token', 'token_index', 'tokens');
SELECT fernet_assert_indexed('tokens', 'token', 'token_index', 'tokens');
SQL

my $errors = <<"SQL";
SELECT fernet_decrypt('$token_of_another');
SELECT fernet_decrypt(fernet_encrypt('x'), ttl => '0', at => now() + '1 day');
DO \$\$BEGIN PERFORM fernet_decrypt('$token_of_another'); END\$\$;
SELECT fernet_encrypt('x', 'infinity');
SELECT fernet_blind_index('x', 'y', 7);
SET fernet.kye = '$common';
SQL

# in_child runs $code in a child process, which exits without stopping the
# server. Returns its process id.
sub in_child
{
	my ($code) = @_;
	my $pid = fork();
	die "fork: $!" unless defined $pid;
	return $pid if $pid != 0;
	eval { $code->(); };
	POSIX::_exit($@ ? 1 : 0);
}

# log_text is what the log files in their three formats have got since
# forget_log: a key that is looked for is new.
my %forgotten;    # file => bytes

sub log_text
{
	return join '', map { from_byte($_, $forgotten{$_} // 0) } files_below("$data/log");
}

sub forget_log
{
	$forgotten{$_} = -s $_ foreach files_below("$data/log");
	return;
}

sub from_byte
{
	my ($path, $start) = @_;
	open(my $file, '<:raw', $path) or return '';
	seek $file, $start, 0;
	local $/;
	my $bytes = <$file> // '';
	close $file;
	return $bytes;
}

# whole_log is the same after the logging process has written everything that
# sessions have sent so far.
my $marks = 0;

sub whole_log
{
	my $mark = 'mark ' . ++$marks . ' in the log';
	$node->safe_psql('postgres', "DO \$\$BEGIN RAISE LOG '$mark'; END\$\$");
	wait_until_logged($mark, 0);
	return \log_text();
}

sub times_logged
{
	my ($message) = @_;
	return scalar(() = log_text() =~ /\Q$message\E/g);
}

# wait_until_logged waits until $message is in the log in all three formats once
# more than $before.
sub wait_until_logged
{
	my ($message, $before) = @_;
	wait_until(sub { times_logged($message) >= $before + 3 })
	  or die "not logged: $message";
	return;
}

# ---------------------------------------------------------------------------
# The channels: each takes a way and keys, and returns the text, as a
# reference, in which those keys must not be found; or several, one for each of its
# names.

# logged_with: work in a session with one more setting; look at the log.
sub logged_with
{
	my ($options, $statements) = @_;
	return sub {
		my ($way, $keys) = @_;
		$way->($keys, $options, $statements // $work);
		return whole_log();
	};
}

# while_idle: look at the server while a session with the key is idle.
sub while_idle
{
	my (@look) = @_;
	return sub {
		my ($way, $keys) = @_;
		my $file = $node->basedir . '/idle';
		unlink $file, "$file.done";
		# psql and pgbench both wait here without a running statement.
		my $wait = "sh -c 'touch $file; until test -e $file.done; do sleep 0.1; done'";
		my $pid = in_child(
			sub {
				$way->(
					$keys, '', is_bound($way) ? "\\shell $wait\n" : "\\! $wait\n");
			});
		wait_until(sub { -e $file }) or die 'the idle session did not come up';
		my $backend = $node->safe_psql('postgres',
			# Others may still be leaving.
			"SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
			  . ' AND pid <> pg_backend_pid() ORDER BY backend_start DESC LIMIT 1');
		my @seen = map { $_->($backend) } @look;
		append_to_file("$file.done", '');
		waitpid($pid, 0);
		return @seen;
	};
}

sub activity
{
	my $out = $node->safe_psql('postgres',
		'SELECT query FROM pg_stat_activity; '
		  . 'SELECT pg_stat_get_backend_activity(i) FROM pg_stat_get_backend_idset() i');
	return \$out;
}

sub processes
{
	my $text = '';
	foreach my $folder (glob '/proc/[0-9]*')
	{
		next unless slurp("$folder/comm") eq "postgres\n";
		$text .= slurp("$folder/cmdline") . slurp("$folder/environ");
	}
	return \$text;
}

# crash: kill the backend; the postmaster logs what it was doing.
sub crash
{
	my ($backend) = @_;
	my $before = times_logged('was terminated by signal 9');
	kill 'KILL', $backend;
	wait_until_logged('was terminated by signal 9', $before);
	$node->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()');
	return whole_log();
}

# deadlock: two sessions lock two rows crosswise; the report quotes both.
sub deadlock
{
	my ($way, $keys) = @_;
	my $before = times_logged('deadlock detected');
	my $other = in_child(
		sub {
			in_session('',
				"UPDATE pair SET n = 2 WHERE id = 2\\; SELECT meet(2, 1)\\; "
				  . 'UPDATE pair SET n = 2 WHERE id = 1;');
		});
	my $is_literal = $way != $ways[0][1] && !is_bound($way);
	my $cross = "UPDATE pair SET n = 1 WHERE id = 1%s SELECT meet(1, 2)%s "
	  . "UPDATE pair SET n = 1 WHERE id = 2;\n";
	# For psql, one string from the SET on.
	$way->(
		$keys, '',
		$is_literal ? sprintf($cross, '\\;', '\\;')
		: "BEGIN;\n" . sprintf($cross, ";\n", ";\n") . "COMMIT;\n");
	waitpid($other, 0);
	wait_until_logged('deadlock detected', $before);
	return whole_log();
}

# shared_memory: memory that several processes map, while a query runs in
# parallel workers, which have got the settings of the session.
sub shared_memory
{
	my ($way, $keys) = @_;
	my $pid = in_child(
		sub { $way->($keys, '', "SELECT count(pg_sleep(0.002)) FROM big;\n"); });
	$node->poll_query_until('postgres',
		"SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'parallel worker'"
	) or die 'no parallel worker';
	my $text = join '',
	  map { slurp($_) } files_below("$data/pg_dynshmem", '/dev/shm');
	$text .= mapped_shared($node->safe_psql('postgres',
			"SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"));
	$node->safe_psql('postgres',
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%0.002%'"
		  . ' AND pid <> pg_backend_pid()');
	waitpid($pid, 0);
	return \$text;
}

# mapped_shared returns the bytes of the main shared memory as process $pid
# sees them.
sub mapped_shared
{
	my ($pid) = @_;
	my $bytes = '';
	open(my $memory, '<:raw', "/proc/$pid/mem") or die "memory of $pid: $!";
	foreach my $line (split /\n/, slurp("/proc/$pid/maps"))
	{
		next unless $line =~ /^([0-9a-f]+)-([0-9a-f]+) \S*s .*\/dev\/zero/;
		my ($from, $to) = (hex $1, hex $2);
		sysseek($memory, $from, 0);
		sysread($memory, $bytes, $to - $from, length $bytes);
	}
	close $memory;
	die 'no shared memory read' if length $bytes < 1_000_000;
	return $bytes;
}

# workers_failed: a query that fails in its parallel workers, which log the text
# that they were given.
sub workers_failed
{
	my ($way, $keys) = @_;
	my $force = $version < 160000 ? 'force_parallel_mode' : 'debug_parallel_query';
	$way->(
		$keys, "-c $force=on -c parallel_leader_participation=off",
		"SELECT count(1/(g-19999)) FROM big;\n");
	return whole_log();
}

# in_one_session: its errors and a report of its memory, in the log; what the
# session, a superuser's here, sees of catalogs and of the texts that it keeps;
# and pg_stat_statements, with the file that it keeps texts in.
sub in_one_session
{
	my ($way, $keys) = @_;
	my $out = $way->($keys, '', <<"SQL");
SELECT 'looked', statement FROM pg_prepared_statements;
BEGIN;
SELECT statement FROM pg_cursors;
COMMIT;
SELECT ident FROM pg_backend_memory_contexts;
SELECT current_query();
$errors
SELECT pg_log_backend_memory_contexts(pg_backend_pid());
$work
SELECT 'catalogs';
SHOW fernet.key;
SHOW fernet.index_key;
SHOW ALL;
SELECT * FROM pg_settings;
SELECT * FROM pg_file_settings;
SELECT * FROM pg_db_role_setting;
SELECT * FROM pg_shmem_allocations;
SELECT * FROM fernet_keys();
SELECT * FROM fernet_index_keys();
SELECT current_setting('fernet.key'), set_config('fernet.key', '', true);
SELECT current_setting('fernet.index_key'), set_config('fernet.index_key', '', true);
SQL
	my $statements = $node->safe_psql('postgres', 'SELECT query FROM pg_stat_statements');
	$statements .= join '', map { slurp($_) } files_below("$data/pg_stat_tmp");
	my $log = whole_log();
	return ($log, $log, \$out, \$out, \$statements);
}

my @channels = (
	[
		[
			'errors in the log', 'reports of memory',
			'`SHOW`, `pg_settings`, catalogs',
			'`pg_prepared_statements` and its like',
			'`pg_stat_statements` and its files'
		],
		\&in_one_session
	],
	[ 'errors of parallel workers', \&workers_failed ],
	[
		[ '`pg_stat_activity`', 'process titles and environment', 'crash report' ],
		while_idle(\&activity, \&processes, \&crash)
	],
	[ 'deadlock report', \&deadlock ],
	[ 'shared memory, parallel workers', \&shared_memory ],
	[ '`log_statement = all`', logged_with('-c log_statement=all') ],
	[
		'`log_min_duration_statement = 0`',
		logged_with('-c log_min_duration_statement=0')
	],
	[
		'`auto_explain`', logged_with('-c auto_explain.log_min_duration=0')
	],
	[
		'`auto_explain` with `log_verbose`',
		logged_with('-c auto_explain.log_min_duration=0 -c auto_explain.log_verbose=on')
	],
	[
		'`log_parser_stats` and its like',
		logged_with(
			'-c log_parser_stats=on -c log_planner_stats=on -c log_executor_stats=on')
	],
	[
		'`debug_print_parse`, `_rewritten`, `_plan`',
		logged_with(
			'-c debug_print_parse=on -c debug_print_rewritten=on -c debug_print_plan=on'
		)
	],
	$pgaudit ? (
		[ 'pgaudit', logged_with('-c pgaudit.log=all') ],
		[
			# What Citus would be handed to send to its workers, pgaudit is.
			"text for Citus, with `citus.propagate_set_commands = 'local'`",
			logged_with('-c pgaudit.log=all -c citus.propagate_set_commands=local')
		]) : (),);

# ---------------------------------------------------------------------------
# Each channel for each way

my %leaks_of;    # setting => channel => [ leaks by way 0, 1, ... ]
my %keys_of;     # setting => keys by way
foreach my $channel (@channels)
{
	my ($names, $observe) = @$channel;
	my @names = ref $names ? @$names : ($names);
	foreach my $i (0 .. $#ways)
	{
		my ($way_name, @variants) = @{ $ways[$i] };
		foreach my $variant (@variants)
		{
			my %new = map { $_ => new_key() } @settings;
			push @{ $keys_of{$_}[$i] }, $new{$_} foreach @settings;
			forget_log();
			my @seen = $observe->($variant, \%new);
			foreach my $n (0 .. $#names)
			{
				foreach my $setting (@settings)
				{
					my @forms = forms_found_in($new{$setting}, $seen[$n]);
					$leaks_of{$setting}{ $names[$n] }[$i] ||= @forms ? 1 : 0;
				}
				ok(length ${ $seen[$n] } > 0, "$names[$n], $way_name: there is something to search");
			}
		}
	}
}

# After a checkpoint and a clean shutdown, files of all kinds.
$node->safe_psql('postgres', 'CHECKPOINT');
$node->stop;
my $files = '';
$files .= slurp($_) foreach grep { !m{/log/} } files_below($data);
%forgotten = ();
my $log = log_text();
foreach my $setting (@settings)
{
	foreach my $i (0 .. $#ways)
	{
		$leaks_of{$setting}{'data directory and WAL'}[$i] =
		  grep({ forms_found_in($_, \$files) } @{ $keys_of{$setting}[$i] }) ? 1 : 0;
	}
}
my %leaks = %{ $leaks_of{'fernet.key'} };
is_deeply($leaks_of{'fernet.index_key'}, \%leaks,
	'fernet.index_key leaks where fernet.key does, and nowhere else');
is(scalar(forms_found_in($plaintext, \$files)), 0, 'no plaintext in any file');
is(scalar(forms_found_in($plaintext, \$log)), 0, 'no plaintext in the log');
is(scalar(forms_found_in($common, \$files)), 0, 'no key in any file at all');

# ---------------------------------------------------------------------------
# Promises that do not depend on the page

my @always = (
	'errors in the log',
	'`SHOW`, `pg_settings`, catalogs',
	'errors of parallel workers',
	'`pg_prepared_statements` and its like',
	'reports of memory',
	'`pg_stat_activity`',
	'`pg_stat_statements` and its files',
	'crash report',
	'deadlock report',
	'shared memory, parallel workers',
	'process titles and environment',
	'data directory and WAL');
foreach my $name (@always)
{
	foreach my $i (0 .. $#ways)
	{
		is($leaks{$name}[$i], 0, "no key: $name, $ways[$i][0]");
	}
}
foreach my $name (map { ref $_->[0] ? @{ $_->[0] } : $_->[0] } @channels)
{
	is($leaks{$name}[0], 0, "no key: $name, startup options");
	is($leaks{$name}[2], 0, "no key: $name, bound, parameters not logged")
	  unless $name =~ /debug_print/;
}
ok($leaks{'`log_statement = all`'}[3], 'the search does find what is logged');

# ---------------------------------------------------------------------------
# The table of the page

my @rows = @always;
my %listed = map { $_ => 1 } @rows;
push @rows, grep { !$listed{$_} }
  map { ref $_->[0] ? @{ $_->[0] } : $_->[0] } @channels;
my $table = '| where | ' . join(' | ', map { $_->[0] } @ways) . " |\n";
$table .= '|---|' . '---|' x @ways . "\n";
foreach my $name (@rows)
{
	$table .= "| $name | "
	  . join(' | ', map { $_ ? '**yes**' : 'no' } @{ $leaks{$name} }) . " |\n";
}

SKIP:
{
	skip 'the table in docs/keys.md was made on PostgreSQL 15 with pgaudit', 1
	  unless $version < 160000 && $pgaudit;
	my ($on_page) =
	  slurp($page) =~ /<!-- leak table -->\n(.*?)<!-- end of leak table -->/s;
	is($on_page, $table,
		'docs/keys.md has this table between its "leak table" comments');
}

done_testing();
