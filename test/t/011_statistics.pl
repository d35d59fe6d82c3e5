# What the server records: the counters of pg_stat_fernet, exact for eight
# clients at once, and by role; the audit lines of fernet.log, in each log format and without
# a secret; and the ledger of jobs on columns, which survives kill -9 and restart.

use strict;
use warnings;

use FernetTest qw(:DEFAULT same session server_logs new_plaintext wait_until has_ended);
use JSON::PP qw(decode_json);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my ($new, $old, $foreign) = (new_key(), new_key(), new_key());
my $plaintext = new_plaintext();
my @secrets = ($new, $old, $foreign, $plaintext);
my $both = "-c fernet.key=$new,$old";
my ($out, $err);

# ---------------------------------------------------------------------------
# The server, and functions that query it

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', <<'CONF');
logging_collector = on
log_destination = 'stderr,csvlog,jsonlog'
log_directory = 'log'
log_statement = none
log_min_error_statement = debug1
log_error_verbosity = verbose
restart_after_crash = on
autovacuum = off
max_connections = 30
CONF
$node->start;
my $version = $node->safe_psql('postgres', 'SHOW server_version_num');
my $needs_preload = $version < 170000;

# ask runs $sql as session does and returns what it printed. No error is
# expected.
sub ask
{
	my ($sql, %how) = @_;
	my ($out, $err) = session($node, $sql, %how);
	same($err, '', 'no error') if $err ne '';
	return $out;
}

my $columns = 'encrypted, decrypted, rotated, malformed, no_key_opens,'
  . ' wrong_age, key_errors';

# counts returns the counters of a database, as a text.
sub counts
{
	my ($database) = @_;
	$database //= 'postgres';
	return ask("SELECT $columns FROM pg_stat_fernet WHERE datname = '$database';");
}

# counted tests them.
sub counted
{
	my ($expected, $name, $database) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return same(counts($database), join('|', @$expected), $name);
}

sub reset_counters { return ask("SELECT fernet_stat_reset() \\g /dev/null\n") }

ask(<<'SQL');
CREATE EXTENSION pg_fernet;
CREATE ROLE anyone LOGIN;
CREATE ROLE watcher LOGIN IN ROLE pg_monitor;
GRANT CREATE ON SCHEMA public TO PUBLIC;
CREATE DATABASE elsewhere;
\c elsewhere
CREATE EXTENSION pg_fernet;
SQL
my ($token, $under_old, $under_foreign, $expired) = map {
	my ($key, $at) = @$_;
	ask("SELECT fernet_encrypt('$plaintext', $at)", options => "-c fernet.key=$key");
} ([ $new, 'now()' ], [ $old, 'now()' ], [ $foreign, 'now()' ], [ $new, "'2020-01-01'" ]);
push @secrets, $token, $under_old, $under_foreign, $expired;

# audit_lines returns, for each log format, the lines of the audit log since its
# last call.
my %read;
my $marks = 0;

sub audit_lines
{
	# The logging collector writes with a delay.
	my $mark = 'mark ' . ++$marks . ' of three';
	ask("DO 'BEGIN RAISE LOG ''$mark''; END'");
	wait_until(sub { 3 == grep { slurp($_) =~ /\Q$mark/ } files_below($node->data_dir . '/log') })
	  or die 'the logs do not get there';
	my %lines = (stderr => [], csvlog => [], jsonlog => []);
	foreach my $path (files_below($node->data_dir . '/log'))
	{
		my $text = substr(slurp($path), $read{$path} // 0);
		$read{$path} = ($read{$path} // 0) + length $text;
		if ($path =~ /\.json$/)
		{
			foreach my $entry (map { decode_json($_) } split /\n/, $text)
			{
				next unless $entry->{message} =~ /^fernet: /;
				my @more = grep { exists $entry->{$_} } qw(statement context detail hint internal_query);
				push @{ $lines{jsonlog} }, join ' with ', $entry->{message}, @more;
			}
		}
		elsif ($path =~ /\.csv$/)
		{
			# after the message: detail, hint, query and its position, context,
			# statement and its position, all empty
			push @{ $lines{csvlog} }, $2 eq ',,,,,,,' ? $1 : "$1 with more" while $text =~ /,"(fernet: [^"]*)"(,.{6})/g;
		}
		else
		{
			push @{ $lines{stderr} }, $1 while $text =~ /LOG:  00000: (fernet: .*)\n/g;
			push @{ $lines{stderr} }, 'a statement or context' while $text =~ /(?:STATEMENT|CONTEXT):  .*fernet_/g;
		}
	}
	return \%lines;
}

# A key from before the library was loaded is logged like any other.
audit_lines();
($out, $err) = session($node, "SELECT fernet_encrypt('x') \\g /dev/null\n",
	options => "-c fernet.log=keys -c fernet.key=$new");
{
	ok(join("\n", @{ audit_lines()->{jsonlog} }) =~ /^fernet: key: set, [0-9a-f]{16}$/,
		'first call: a key in the startup packet is logged');
}

# ---------------------------------------------------------------------------
# Counters: where there are any

if ($needs_preload)
{
	same(ask('SELECT count(*) FROM pg_stat_fernet; SELECT fernet_stat_reset();'),
		"0\n", 'without preload the view is empty, and a reset no error');
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_fernet'");
	$node->restart;
	same(ask('SELECT count(*) FROM pg_stat_fernet'), '0', 'none has counted yet');
}
else
{
	counted([ 5, (0) x 6 ], 'without preload: what was made for this test');
}

# ---------------------------------------------------------------------------
# Counters: exact under eight clients

reset_counters();
my $clients = 8;
my $transactions = 100;
my $script = $node->basedir . '/calls.sql';
open(my $file, '>', $script) or die $!;
print $file <<"SQL";
SELECT fernet_encrypt('x');
SELECT count(fernet_encrypt(i::text)) FROM generate_series(1, 10) AS i;
SELECT fernet_decrypt('$token'), fernet_decrypt_bytea('$under_old');
SELECT fernet_try_decrypt('$token');
SELECT fernet_try_decrypt('nonsense'), fernet_try_decrypt_bytea('');
SELECT fernet_try_decrypt('$under_foreign');
SELECT fernet_try_decrypt('$expired', '1 s'), fernet_verify('$expired', '1 s');
SELECT fernet_verify('$token'), fernet_verify('nonsense'), fernet_verify('$under_foreign');
SELECT fernet_rotate('$under_old'), fernet_rotate('$token');
BEGIN;
SELECT fernet_encrypt('x');
SAVEPOINT s;
SELECT fernet_decrypt('$token');
ROLLBACK TO s;
ROLLBACK;
DO 'BEGIN PERFORM fernet_decrypt(''nonsense''); EXCEPTION WHEN SQLSTATE ''PF003'' THEN NULL; END';
DO 'BEGIN PERFORM fernet_rotate(''$under_foreign''); EXCEPTION WHEN SQLSTATE ''PF004'' THEN NULL; END';
DO 'BEGIN PERFORM set_config(''fernet.key'', ''bad'', true); EXCEPTION WHEN SQLSTATE ''PF002'' THEN NULL; END';
DO 'BEGIN PERFORM set_config(''fernet.key'', '''', true); PERFORM fernet_encrypt(''''); EXCEPTION WHEN SQLSTATE ''PF001'' THEN NULL; END';
SQL
close $file;
{
	local %ENV = (%ENV, psql_env($node, $both));
	my $output = '';
	my $ok = IPC::Run::run(
		[ 'pgbench', '-n', '-c', $clients, '-j', '2', '-t', $transactions, '-f', $script ],
		'>', \$output, '2>&1');
	ok($ok && $output =~ m{actually processed: 800/800},
		'eight clients make their calls');
}
my $runs = $clients * $transactions;
my @expected = map { $_ * $runs } (12, 4, 1, 4, 3, 2, 2);
counted(\@expected, "after $runs times the same calls, exact");
counted(\@expected, 'looking counts nothing');
# errors that end the statement, and a session that ends in a transaction
($out, $err) = session($node, <<"SQL", options => "-c fernet.key=$new");
SELECT fernet_decrypt('nonsense');
SELECT fernet_decrypt('$under_foreign');
SELECT fernet_decrypt('$expired', '1 s');
SELECT fernet_timestamp('nonsense');
SET fernet.key = 'bad';
ALTER ROLE anyone SET fernet.key = '$new';
BEGIN;
SELECT fernet_decrypt('$token') \\g /dev/null
SQL
same(join(' ', $err =~ /(PF\d+):/g), 'PF003 PF004 PF005 PF003 PF002 PF006', 'each failure once');
$expected[1] += 1;
$expected[3] += 2;
$expected[4] += 1;
$expected[5] += 1;
$expected[6] += 2;
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'client backend'");
counted(\@expected, 'and each is counted once');
# everybody sees the counts of a transaction after its end
same(
	ask(<<"SQL", options => "-c fernet.key=$new"), "1\n" . ($expected[0]) . "\n" . ($expected[0] + 1), 'seen after the transaction');
BEGIN;
SELECT count(fernet_encrypt('x'));
SELECT encrypted FROM pg_stat_fernet;
COMMIT;
SELECT encrypted FROM pg_stat_fernet;
SQL
$expected[0] += 1;
# another database has its own
ask("SELECT fernet_encrypt('x') \\g /dev/null\n", options => $both, database => 'elsewhere');
counted([ 1, (0) x 6 ], 'another database counts apart', 'elsewhere');
counted(\@expected, 'as does this one');

# a job on a column, of a session that does nothing else
ask(<<"SQL", options => "-c fernet.key=$old");
CREATE TABLE token AS SELECT i AS id, fernet_encrypt('x') AS value FROM generate_series(1, 100) AS i;
SQL
$expected[0] += 100;
counted(\@expected, 'a hundred tokens made');
ask('CALL fernet_rotate_column(\'token\', \'value\') \g /dev/null' . "\n", options => "$both -c client_min_messages=error");
$expected[2] += 100;
{
	counted(\@expected, 'a hundred rotated');
}
# a trigger that raises an SQLSTATE of ours says nothing about the value
ask(<<"SQL", options => "-c fernet.key=$old -c client_min_messages=error");
CREATE TABLE refusing AS SELECT code, fernet_encrypt('x') AS value FROM unnest('{PF003,PF004}'::text[]) AS code;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''refused'' USING ERRCODE = NEW.code; END';
CREATE TRIGGER refuse BEFORE UPDATE ON refusing FOR EACH ROW EXECUTE FUNCTION refuse();
SQL
$expected[0] += 2;
($out, $err) = session($node, 'CALL fernet_rotate_column(\'refusing\', \'value\')', options => "$both -c client_min_messages=error");
like($err, qr{ERROR:  PF007: 2 of 2 values}, 'a trigger refuses two');
counted(\@expected, 'a refusal by a trigger is counted as none of the failures');
@expected = split /\|/, counts();

# a batch counts when its transaction commits, unless its savepoint is rolled back
my $batch = "SELECT rotated FROM fernet_rotate_batch('token', 'value') \\g /dev/null\n";
ask("UPDATE token SET value = fernet_encrypt('x')", options => "-c fernet.key=$old");
$expected[0] += 100;
ask("BEGIN;\n${batch}ROLLBACK;", options => $both);
counted(\@expected, 'a batch that was rolled back counts nothing');
ask("BEGIN;\nSAVEPOINT s;\n${batch}ROLLBACK TO s;\nSAVEPOINT t;\n${batch}RELEASE t;\nCOMMIT;", options => $both);
$expected[2] += 100;
counted(\@expected, 'a batch counts with its transaction, and not what was rolled back before');

# ---------------------------------------------------------------------------
# Counters: who may see and reset them, and what resets them

foreach my $role (qw(anyone watcher))
{
	same(ask("SELECT encrypted FROM pg_stat_fernet WHERE datname = 'postgres'", user => $role),
		$expected[0], "$role sees the counters");
	($out, $err) = session($node, 'SELECT fernet_stat_reset();', user => $role);
	same($err, 'ERROR:  42501: permission denied for function fernet_stat_reset', "$role may not reset them");
}
counted(\@expected, 'and has not');
same(
	ask('SELECT stats_reset AS before FROM pg_stat_fernet WHERE datname = \'postgres\' \gset' . "\n"
		  . 'SELECT fernet_stat_reset() \g /dev/null' . "\n"
		  . 'SELECT stats_reset > :\'before\' AND stats_reset <= now() FROM pg_stat_fernet WHERE datname = \'postgres\';'),
	't', 'a reset is told by its time');
counted([ (0) x 7 ], 'and begins from zero');
counted([ 1, (0) x 6 ], 'for this database only', 'elsewhere');
ask('GRANT EXECUTE ON FUNCTION fernet_stat_reset() TO watcher');
ask("SELECT fernet_encrypt('x') \\g /dev/null\n", options => $both);
same(ask('SELECT fernet_stat_reset()', user => 'watcher'), '', 'whoever is granted it may reset');
counted([ (0) x 7 ], 'and does');

# ---------------------------------------------------------------------------
# Counters by role: that of SET ROLE, not of a function that is SECURITY DEFINER

ask(<<"SQL", options => $both);
CREATE ROLE count_caller LOGIN;
CREATE ROLE count_definer;
CREATE FUNCTION definer() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT fernet_encrypt(''x'')';
ALTER FUNCTION definer() OWNER TO count_definer;
BEGIN;
SELECT fernet_encrypt('x') \\g /dev/null
SET LOCAL ROLE count_caller;
SELECT fernet_decrypt('$token'), fernet_decrypt('$under_old'), definer() \\g /dev/null
SET LOCAL ROLE count_definer;
SELECT fernet_try_decrypt('$under_foreign') \\g /dev/null
COMMIT;
SQL
counted([ 2, 2, 0, 0, 1, 0, 0 ], 'three roles in a transaction: the database has the sum');
my $by_role = "SELECT rolname, encrypted, decrypted, no_key_opens FROM pg_stat_fernet_roles"
  . " WHERE datname = 'postgres' AND rolname ~ '^count_' ORDER BY 1";
my @by_role = ('count_caller|1|2|0', 'count_definer|0|0|1');
same(ask($by_role), join("\n", @by_role), 'each role has what was done as that role');
same(ask($by_role, user => 'watcher'), join("\n", @by_role), 'a member of pg_monitor sees all');
same(ask($by_role, user => 'count_caller'), $by_role[0], 'a role sees its own');
same(ask('SELECT count(*) FROM pg_stat_fernet_roles', user => 'anyone'), '0', 'another sees none');
same(
	ask('SELECT count(*) FROM fernet_stat() WHERE roleid IS NOT NULL', user => 'anyone'),
	'0', 'nor by the function behind the view');
ask('DROP FUNCTION definer(); DROP ROLE count_definer');
same(
	ask("SELECT datname, no_key_opens FROM pg_stat_fernet_roles WHERE rolname IS NULL"),
	'postgres|1', 'a dropped role keeps its row, without a name');
# more roles than there are places
ask(<<'SQL', options => $both);
DO $$
BEGIN
    FOR i IN 1..600 LOOP
        EXECUTE format('CREATE ROLE count_%s', i);
        EXECUTE format('SET LOCAL ROLE count_%s', i);
        PERFORM fernet_encrypt('x');
        RESET ROLE;
    END LOOP;
END
$$
SQL
counted([ 602, 2, 0, 0, 1, 0, 0 ], 'six hundred roles: the database has the sum');
same(
	ask(q{SELECT count(*), min(encrypted), max(encrypted) FROM pg_stat_fernet_roles WHERE rolname ~ '^count_\d'}),
	ask(q{SELECT count(*) || '|1|1' FROM pg_stat_fernet_roles WHERE rolname ~ '^count_\d' HAVING count(*) > 500}),
	'most have a place of their own');
same(
	ask('SELECT datname IS NULL AND rolname IS NULL AND encrypted > 80 FROM pg_stat_fernet_roles WHERE roleid = 0'),
	't', 'the others share one without a name');
same(
	ask("SELECT count(*) FROM pg_stat_fernet_roles WHERE roleid = 0", user => 'count_caller'),
	'0', 'which a role does not see');
same(
	ask('SELECT sum(encrypted) FROM fernet_stat() WHERE roleid IS NOT NULL'),
	ask('SELECT sum(encrypted) FROM fernet_stat() WHERE roleid IS NULL'), 'nothing is lost');
reset_counters();
same(
	ask("SELECT sum(encrypted + decrypted + no_key_opens) FROM pg_stat_fernet_roles WHERE datname = 'postgres'"),
	'0', 'a reset is for the roles too');

# crash waits until the server is back after kill -9 of a backend $pid.
sub crash
{
	my ($pid) = @_;
	kill 'KILL', $pid;
	has_ended($pid);
	return ok(wait_until(sub { (session($node, "SELECT 'alive'"))[0] eq 'alive' }), 'the server is back after a crash');
}

# worker starts a session that runs $sql, and returns it and the pid of its
# backend as soon as $condition holds, which may name the pid.
sub worker
{
	my ($sql, $condition, %how) = @_;
	my $worker = { in => "$sql\n", out => '', err => '' };
	local %ENV = (%ENV, psql_env($node, $how{options}), PGAPPNAME => 'worker');
	$worker->{run} = IPC::Run::start(
		[ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-f', '-', ($how{user} ? ('-U', $how{user}) : ()) ],
		'<', \$worker->{in}, '>', \$worker->{out}, '2>', \$worker->{err});
	my $is_there = sub {
		$worker->{run}->pump_nb;
		local $ENV{PGAPPNAME} = 'looker';
		return $worker->{pid} = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity AS a WHERE application_name = 'worker' AND ($condition)");
	};
	wait_until($is_there) or BAIL_OUT('the worker does not get there');
	return $worker;
}

sub ended
{
	my ($worker) = @_;
	eval { $worker->{run}->finish };
	return $worker->{err};
}

foreach my $end (qw(restart crash))
{
	ask("SELECT fernet_encrypt('x') \\g /dev/null\n", options => $both);
	counted([ 1, (0) x 6 ], "one before a $end");
	if ($end eq 'restart')
	{
		$node->restart;
	}
	else
	{
		my $sleeper = worker('SELECT pg_sleep(60);', "state = 'active'");
		crash($sleeper->{pid});
		ended($sleeper);
	}
	same(ask('SELECT count(*) FROM pg_stat_fernet'), '0', "none after a $end");
	ask("SELECT fernet_encrypt('x') \\g /dev/null\n", options => $both);
	counted([ 1, (0) x 6 ], "and counting again after a $end");
	reset_counters();
}

# ---------------------------------------------------------------------------
# The audit log: only a library that the server preloads keeps an ordinary role
# from switching it off

$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_fernet'");
$node->restart;
my %fingerprint = map {
	$_ => ask('SELECT fingerprint FROM fernet_keys()', options => "-c fernet.key=$_")
} ($new, $old);
my ($first, $second) = @fingerprint{ $new, $old };

# Each statement, and the lines that it logs at each level.
my @audited = (
	[ "SELECT set_config('fernet.key', '$new,$old', false)", [ keys => "key: set, $first $second" ] ],
	[ "SELECT fernet_encrypt('$plaintext')", [ all => "encrypt: ok, key $first" ] ],
	[ "SELECT fernet_decrypt('$token')", [ all => "decrypt: ok, key $first" ] ],
	[ "SELECT fernet_try_decrypt_bytea('$under_old')", [ all => "decrypt: ok, key $second" ] ],
	[ "SELECT fernet_rotate('$under_old')", [ all => "rotate: ok, key $first" ] ],
	[ "DO 'BEGIN PERFORM fernet_decrypt(''$token''); END'", [ all => "decrypt: ok, key $first" ] ],
	[ "SELECT fernet_decrypt('nonsense $plaintext')", [ failures => 'decrypt: failed, PF003' ] ],
	[ "SELECT fernet_try_decrypt('nonsense')", [ failures => 'decrypt: failed, PF003' ] ],
	[ "SELECT fernet_decrypt('$under_foreign')", [ failures => 'decrypt: failed, PF004' ] ],
	[ "SELECT fernet_decrypt('$expired', '1 s')", [ failures => 'decrypt: failed, PF005' ] ],
	[ "SELECT fernet_verify('$expired', '1 s')", [ failures => 'verify: failed, PF005' ] ],
	[ "SELECT fernet_timestamp('$under_foreign')", [ failures => 'timestamp: failed, PF004' ] ],
	[ "SELECT fernet_rotate('$under_foreign')", [ failures => 'rotate: failed, PF004' ] ],
	[ "DO 'BEGIN EXECUTE ''SELECT fernet_try_decrypt(''''$under_foreign'''')''; END'", [ failures => 'decrypt: failed, PF004' ] ],
	[ "SET fernet.key = '$foreign!'", [ failures => 'key: refused, PF002' ] ],
	[ "ALTER ROLE anyone SET fernet.key = '$foreign'", [ failures => 'key: refused, PF006' ] ],
	[ "SET fernet.key = ''; SELECT fernet_encrypt('$plaintext')", [ failures => 'key: refused, PF001' ] ]);

my %rank = (none => 0, failures => 1, keys => 2, all => 3);
audit_lines();
foreach my $level (qw(none failures keys all))
{
	my ($client, $told) = session($node, join(";\n", "SET fernet.log = '$level'", 'SET client_min_messages = log', map { $_->[0] } @audited) . ';');
	ok($told !~ /LOG: /, "fernet.log = $level: no client is told");
	my $lines = audit_lines();
	my $wanted = join "\n", map { "fernet: $_->[1][1]" } grep { $rank{ $_->[1][0] } <= $rank{$level} } @audited;
	same(join("\n", @{ $lines->{$_} }), $wanted, "fernet.log = $level: $_") foreach sort keys %$lines;
}

# for all sessions by postgresql.conf, and with a key in the startup packet; an
# ordinary role can change nothing of it, also before the library is loaded
$node->append_conf('postgresql.conf', "fernet.log = 'all'");
$node->reload;
usleep(200_000);
foreach (
	[ 'SET', "SET fernet.log = 'none';" ],
	[ 'set_config', "SELECT set_config('fernet.log', 'none', false);" ],
	[ 'SET LOCAL', "BEGIN; SET LOCAL fernet.log = 'none'; COMMIT;" ],
	[ 'RESET', 'RESET fernet.log;' ],
	[ 'startup packet', '', '-c fernet.log=none' ])
{
	my ($how, $sql, $option) = @$_;
	audit_lines();
	($out, $err) = session($node, "$sql\nSELECT fernet_encrypt('x') \\g /dev/null\n", user => 'anyone',
		options => "-c fernet.key=$new " . ($option // ''));
	my $lines = audit_lines();
	if ($err =~ /FATAL/)
	{
		pass("an ordinary role and fernet.log by $how: it may not even connect");
		next;
	}
	same(join("\n", grep { /encrypt/ } @{ $lines->{jsonlog} }), "fernet: encrypt: ok, key $first",
		"an ordinary role cannot switch fernet.log off by $how");
	ok($how eq 'RESET' || $err =~ /permission denied to set parameter "fernet\.log"/, "and is told, by $how");
}
same(ask('SELECT fernet_encrypt(\'x\') \g /dev/null' . "\nSHOW fernet.log", user => 'anyone', options => "-c fernet.key=$new"), 'all', 'but may see it');
ok(join("\n", @{ audit_lines()->{jsonlog} }) =~ /^fernet: key: set, \Q$first\E$/m, 'a key in the startup packet is logged');
($out, $err) = session($node, "SET fernet.log = 'everything';");
ok($err =~ /^ERROR:  22023: /, 'another word is no level');
ok($err !~ /everything/, 'and is not quoted, for it may be a key');
$node->append_conf('postgresql.conf', "fernet.log = 'none'");
$node->reload;

# not one secret in any log, whatever the level
my $logs = server_logs($node);
my @found = map { forms_found_in($_, $logs) } @secrets;
same(join(', ', @found), '', 'no log holds a key, a token or a plaintext');
ok($$logs !~ /gAAAAA\w/, 'nor what begins like a token');

# ---------------------------------------------------------------------------
# The ledger: a job that was killed

my $rows = 3000;
ask(<<"SQL", options => "-c fernet.key=$old");
CREATE TABLE long (id integer, value text);
INSERT INTO long SELECT i, fernet_encrypt('x') FROM generate_series(1, $rows) AS i;
ANALYZE long;
ALTER TABLE long OWNER TO anyone;
CREATE TABLE short AS SELECT fernet_encrypt('x') AS value;
SQL
my $job = "CALL fernet_rotate_column('long', 'value', batch_rows => 100, pause => '0.3 s');";
my $rotate_short = "CALL fernet_rotate_column('short', 'value') \\g /dev/null\n";
my $progress = 'SELECT state, rotated > 0 AND rotated < ' . $rows
  . ', share > 0 AND share < 1, rate > 0, time_left > \'0\' FROM fernet_rotation_progress;';
# a row of the ledger agrees with the table: it is written after each batch
my $agrees = 'SELECT rotated BETWEEN 1 AND (SELECT count(*) FROM long WHERE fernet_key_index(value) = 1)'
  . ' FROM fernet_rotation WHERE relation = \'public.long\' ORDER BY id DESC LIMIT 1;';
my %kill = (
	'cancel' => sub { ask("SELECT pg_cancel_backend($_[0]) \\g /dev/null\n") },
	'terminate' => sub { ask("SELECT pg_terminate_backend($_[0]) \\g /dev/null\n") },
	'kill -9' => \&crash);
foreach my $how ('cancel', 'terminate', 'kill -9')
{
	ask("UPDATE long SET value = fernet_encrypt('x')", options => "-c fernet.key=$old");
	my $rotated = ask("SELECT rotated FROM pg_stat_fernet WHERE datname = 'postgres'");
	my $killed = worker($job, 'EXISTS (SELECT FROM fernet_rotation_progress AS p WHERE p.pid = a.pid AND p.rotated > 0)',
		options => "$both -c client_min_messages=error", user => 'anyone');
	foreach my $role ('anyone', 'watcher', undef)
	{
		same(ask($progress, user => $role), 'running|t|t|t|t', "before a $how: under way, to " . ($role // 'the owner'));
	}
	usleep(700_000);    # a few batches later
	$kill{$how}->($killed->{pid});
	my $told = ended($killed);
	ok($told =~ /57014|57P01|connection to server was lost/, "$how: the job ends");
	same(ask('SELECT state FROM fernet_rotation ORDER BY id DESC LIMIT 1'), 'interrupted', "$how: the view says so at once");
	same(ask($agrees, options => $both), 't', "$how: and the row how much was done");
	same(ask('SELECT state FROM fernet_ledger ORDER BY id DESC LIMIT 1'), 'running', "$how: what lies behind it not yet") if $how eq 'cancel';
	if ($how ne 'kill -9')
	{
		same(ask("SELECT rotated - $rotated = (SELECT count(*) FROM long WHERE fernet_key_index(value) = 1) FROM pg_stat_fernet WHERE datname = 'postgres'", options => $both),
			't', "$how: the counters have what was committed");
	}
	ask($rotate_short, options => "$both -c client_min_messages=error");
	same(ask("SELECT state FROM fernet_rotation WHERE relation = 'public.long' ORDER BY id DESC LIMIT 1"), 'interrupted', "$how: but with the next job");
	same(ask('SELECT count(*) FROM fernet_rotation_progress'), '0', "$how: then nothing is under way");
	same(ask("SELECT fernet_decrypt(max(value)) = 'x' AND count(fernet_key_index(value)) = $rows FROM long", options => $both), 't', "$how: every value opens");
}
$job =~ s/pause => '.*?'/pause => '0'/;
ask("$job\n", options => "$both -c client_min_messages=error");
same(ask($agrees, options => $both) . ask("SELECT state FROM fernet_rotation ORDER BY id DESC LIMIT 1"), 'tdone', 'and a new call finishes the work');

# ---------------------------------------------------------------------------
# The ledger: restart, dump and restore

my $ledger = 'SELECT md5(string_agg(r::text, chr(10) ORDER BY id)) || count(*) FROM fernet_rotation AS r';
my $before = ask($ledger);
same(ask('SELECT count(*) = max(id) AND count(*) > 7 FROM fernet_rotation'), 't', 'a row for each job');
$node->restart;
same(ask($ledger), $before, 'a restart leaves the ledger as it is');

# carry dumps one database and restores it in another, which is new, as $user.
sub carry
{
	my ($from, $to, $user) = @_;
	local %ENV = (%ENV, psql_env($node, '', $from));
	$ENV{PGUSER} = $user if defined $user;
	my $dump = $node->basedir . "/$to.dump";
	my $messages = '';
	my $ok = IPC::Run::run([ 'pg_dump', '-Fc', '-f', $dump, $from ], '>', \$messages, '2>&1')
	  && IPC::Run::run([ 'pg_restore', '-d', $to, '--exit-on-error', $dump ], '>', \$messages, '2>&1');
	return $ok;
}
ask('CREATE DATABASE restored');
ok(carry('postgres', 'restored'), 'dump and restore');
same(ask('SELECT count(*) FROM fernet_rotation', database => 'restored'), '0', 'they leave the ledger where it is');
{
	($out, $err) = session($node, $rotate_short x 10, database => 'restored', options => "$both -c client_min_messages=error");
	same($err, '', 'where the next jobs get rows of their own');
}
# of a database whose owner is no superuser, who made the extension
ask(<<"SQL");
CREATE DATABASE owned OWNER anyone;
CREATE DATABASE owned_too OWNER anyone;
SQL
($out, $err) = session($node, <<"SQL", database => 'owned', user => 'anyone', options => "$both -c client_min_messages=error");
CREATE EXTENSION pg_fernet;
CREATE TABLE short AS SELECT fernet_encrypt('x') AS value;
$rotate_short
SQL
same($err, '', 'an owner of a database makes the extension and rotates');
{
	ok(carry('owned', 'owned_too', 'anyone'), 'and may dump and restore it');
}

$node->stop;
done_testing();
