# Where may fernet.key come from? (FERNET_TEST_SETTING=fernet.index_key: where
# may that setting?) Every way to give it is tried on a server that
# preloads the library, in a database whose sessions preload it, and in one
# where the first call of a function loads it. A key that belongs to the session
# works. A key that the server would store is refused and leaves nothing behind,
# and the session goes on without it. No log and no client ever sees a key.

use strict;
use warnings;

use FernetTest
  qw(:DEFAULT same session server_logs secrets_below new_plaintext wait_until);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# The setting, and what is done with its key: a value is made of a text, and
# matches the text of its row.
my $setting = $ENV{FERNET_TEST_SETTING} || 'fernet.key';
my ($after_prefix) = $setting =~ /\.(.*)/;
my $use = {
	'fernet.key' => {
		missing => 'no Fernet key is set',
		of => sub { return "fernet_encrypt($_[0])" },
		matches => "fernet_decrypt(value) = 'plaintext ' || id",
		is_token => 'true',
		length => 140
	},
	'fernet.index_key' => {
		missing => 'no index key is set',
		of => sub {
			return "encode(fernet_blind_index($_[0], 'c'), 'hex')";
		},
		matches =>
		  "value = encode(fernet_blind_index('plaintext ' || id, 'c'), 'hex')",
		is_token => 'false',
		length => 64
	}
}->{$setting};
my $of_row = $use->{of}->("'plaintext ' || id");
my $of_x = $use->{of}->("'x'");
my $of_value = $use->{of}->('value');

my $how =
	"HINT:  Give the session on this server the key in the connection options, as in "
  . "options='-c $setting=...', or by SELECT "
  . "set_config('$setting', \$1, false) with a bind parameter.";
my $no_key = "ERROR:  PF001: $use->{missing}\n$how";
my $stored = qq{PF006: "$setting" must not be stored by the server\n$how};
my $malformed = qq{PF002: invalid Fernet key at position 1 of "$setting"};
my $length = 'DETAIL:  The key is 40 bytes long. A key is 32 bytes in URL-safe '
  . 'base64: 44 characters, or 43 without the "=" at the end.';
my $is_mask =
  'DETAIL:  The value is the mask that the server shows in place of a key.';

# told is the message in a session of $mode about a key from before the library
# was loaded. During login there is no SQLSTATE: psql has not yet asked for it.
sub told
{
	my ($mode, $message) = @_;
	return 'WARNING:  '
	  . ($mode->{call} ? $message : $message =~ s/^PF\d+: //r);
}

my $rows = 2000;
my $key = new_key();      # opens the tokens in the table
my $other = new_key();    # opens none
my $plaintext = new_plaintext();
my @secrets = ($key, $other, $plaintext);
my $seen = '';            # all that clients were told

# secret returns a new key that no log and no client may see.
sub secret
{
	my $new = new_key();
	push @secrets, $new;
	return $new;
}

# ---------------------------------------------------------------------------
# The server, and sessions on it

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', <<'CONF');
logging_collector = on
log_destination = 'stderr,csvlog,jsonlog'
log_directory = 'log'
log_statement = none
log_min_error_statement = warning
log_error_verbosity = verbose
max_parallel_workers_per_gather = 2
CONF
my $conf = slurp($node->data_dir . '/postgresql.conf');

# configure makes postgresql.conf the common one and @lines.
sub configure
{
	my (@lines) = @_;
	open(my $file, '>', $node->data_dir . '/postgresql.conf') or die $!;
	print $file $conf, map { "$_\n" } @lines;
	close $file;
}

# start starts the server with these lines in postgresql.conf, and with command
# line options if there are any. $node->start would print them, and they may
# hold a key.
sub start
{
	my ($lines, $options) = @_;
	configure(@$lines);
	return $node->start unless defined $options;
	my $ok = IPC::Run::run(
		[
			'pg_ctl', '-w', '-D', $node->data_dir,
			'-l', $node->logfile, '-o', $options,
			'start'
		],
		'>',
		'/dev/null',
		'2>&1');
	$node->_update_pid(1);
	return ok($ok, 'the server starts with its options');
}

# Each way of loading the library: its database, and the statement that loads.
my $call = "SELECT fernet_is_token('') \\g /dev/null\n";
my %shared = (name => 'shared preload', database => 'lazy', call => '');
my %preload = (name => 'session preload', database => 'eager', call => '');
my %lazy = (name => 'first call', database => 'lazy', call => $call);
my @shared_line = ("shared_preload_libraries = 'pg_fernet'");

# run_in runs $sql in a session of $mode in which the library is loaded.
sub run_in
{
	my ($mode, $sql, %how) = @_;
	return client($mode, $mode->{call} . $sql, %how);
}

# client runs $sql in a session of $mode.
sub client
{
	my ($mode, $sql, %how) = @_;
	my ($out, $err) =
	  session($node, $sql, database => $mode->{database}, %how);
	$seen .= "$out\n$err\n";
	return ($out, $err);
}

# shows tests what was printed and which errors there were.
sub shows
{
	my ($name, $out, $err, @got) = @_;
	return same("$got[0]\n--\n$got[1]", "$out\n--\n$err", $name);
}

my $open = 'SELECT count(*) FROM token'
  . " WHERE $use->{matches};\n";
my $encrypt = 'SELECT length(' . $use->{of}->("'$plaintext'") . ");\n";
my $quietly = '\g /dev/null';

$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE DATABASE lazy;
CREATE DATABASE eager;
ALTER DATABASE eager SET session_preload_libraries = 'pg_fernet';
CREATE ROLE anyone LOGIN;
CREATE ROLE member LOGIN;
CREATE ROLE visitor LOGIN;
SQL
foreach my $database (qw(postgres lazy eager))
{
	my ($out, $err) = session($node, <<"SQL", database => $database);
CREATE EXTENSION pg_fernet;
SET $setting = '$key';
CREATE TABLE token WITH (parallel_workers = 2) AS
	SELECT id, $of_row AS value
	FROM generate_series(1, $rows) AS id;
ANALYZE token;
GRANT SELECT ON token TO PUBLIC;
GRANT CREATE ON SCHEMA public TO PUBLIC;
CREATE FUNCTION mine() RETURNS integer AS 'SELECT 1' LANGUAGE sql;
CREATE PROCEDURE mine_too() AS 'SELECT 1' LANGUAGE sql;
CREATE FUNCTION no_key() RETURNS boolean LANGUAGE plpgsql AS \$\$
BEGIN
	PERFORM $of_x;
	RETURN false;
EXCEPTION WHEN SQLSTATE 'PF001' THEN
	RETURN true;
END \$\$;
SQL
	same($err, '', "database $database is made");
}

# ---------------------------------------------------------------------------
# What belongs to the session

# The ways of giving a key in a session, ready for statements to follow.
sub ways
{
	my ($given) = @_;
	return (
		[ 'startup packet', '', "-c $setting=$given" ],
		[ 'SET', "SET $setting = '$given';\n" ],
		[ 'SET LOCAL', "BEGIN; SET LOCAL $setting = '$given';\n" ],
		[
			'set_config',
			"SELECT set_config('$setting', '$given', false) $quietly\n"
		],
		[
			'set_config, local',
			"BEGIN;\nSELECT set_config('$setting', '$given', true) $quietly\n"
		]);
}

sub test_accepted
{
	my ($mode) = @_;
	my $name = $mode->{name};
	foreach my $way (ways($key))
	{
		my ($what, $sql, $options) = @$way;
		shows(
			"$name: a key by $what works, is masked and listed nowhere",
			"$rows\n********\n0",
			'',
			client($mode, <<"SQL", options => $options));
$sql$open
SHOW $setting;
SELECT count(*) FROM pg_settings WHERE name ILIKE 'fernet.%key';
SQL
		next unless $sql =~ /^BEGIN/;
		shows("$name: and by $what it is gone with the transaction",
			$use->{length}, $no_key, client($mode, "${sql}${encrypt}COMMIT;\n$encrypt"));
	}
	foreach my $local ('false', 'true')
	{
		my ($ok, $output) =
		  run_bound($node, <<"SQL", { k => $key }, '', $mode->{database});
BEGIN;
SELECT set_config('$setting', :k, $local);
SELECT 1 / (count(*) = $rows)::int FROM token
	WHERE $use->{matches};
COMMIT;
SELECT 1 / (no_key() = $local)::int;
SQL
		$seen .= $output;
		ok($ok, "$name: a key by set_config(\$1), local $local, works");
	}
	shows("$name: set_config returns the mask",
		'********', '',
		run_in($mode, "SELECT set_config('$setting', '$key', false);"));
	shows(
		"$name: a bad key is refused, and the one before is there still",
		$rows,
		"ERROR:  $malformed\n$length\n" x 2 . "ERROR:  $malformed\n$is_mask",
		run_in($mode, <<"SQL", options => "-c $setting=$key"));
SET $setting = '${\ substr($other, 0, 40)}';
SELECT set_config('$setting', '${\ substr($other, 0, 40)}', true);
SET $setting = '********';
$open
SQL
}

# A malformed key from before the library was loaded costs the key, not the
# session, which can load the library and have another.
sub test_malformed
{
	my ($mode) = @_;
	my $name = $mode->{name};
	my $bad = substr(secret(), 0, 40);
	my $first = told($mode, "$malformed\n$length");
	my $second = $first =~ s/position 1/position 2/r;
	my $mask = told($mode, "$malformed\n$is_mask");
	my $script = <<"SQL";
$encrypt
SELECT fernet_is_token('');
SET $setting = '$key';
$open
RESET $setting;
$encrypt
SQL
	push @secrets, $bad;
	shows(
		"$name: a malformed key in the startup packet is a WARNING",
		"f\n$rows",
		"$first\n$no_key\n$no_key",
		client($mode, $script, options => "-c $setting=$bad"));
	shows("$name: so is one behind a good one",
		'', "$second\n$no_key",
		client($mode, $encrypt, options => "-c $setting=$key,$bad"));
	shows("$name: and the mask",
		'', "$mask\n$no_key",
		client($mode, $encrypt, options => "-c $setting=********"));
	return unless $mode->{call};

	foreach my $set ("SET $setting = '$bad';",
		"SELECT set_config('$setting', '$bad', false) $quietly")
	{
		shows(
			"$name: and one that was set before the library was loaded",
			"f\n$rows",
			"$first\n$no_key\n$no_key",
			client($mode, "$set\n$script"));
	}
	shows(
		"$name: and one that was set in the transaction",
		"f\n$rows",
		"$first\n$no_key",
		client($mode, <<"SQL", options => "-c $setting=$key"));
BEGIN;
SAVEPOINT before;
SET LOCAL $setting = '$bad';
SELECT fernet_is_token('');
$encrypt
ROLLBACK TO before;
$open
COMMIT;
SQL
}

# Parallel workers get no key and do not need one.
sub test_parallel
{
	my ($mode) = @_;
	my $name = $mode->{name};
	my $force = <<'SQL';
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0; SET parallel_leader_participation = off;
SQL
	my $query =
		"SELECT count(*) FROM (SELECT $use->{matches} AS matches"
	  . " FROM token WHERE fernet_is_token(value) = $use->{is_token} OFFSET 0)"
	  . ' AS opened WHERE matches';
	foreach my $way (ways($key))
	{
		my ($what, $sql, $options) = @$way;
		my ($out, $err) = client($mode, <<"SQL", options => $options);
$force$sql$query;
EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) $query;
SQL
		ok( $out =~ /^$rows\n/
			  && $out =~ /Workers Launched: [12]/
			  && $err eq '',
			"$name: a key by $what does not disturb a parallel query");
	}

	# A wrapper that wrongly claims to be safe runs in the workers.
	my ($out, $err) = run_in($mode, <<"SQL", options => "-c $setting=$key");
$force
BEGIN;
CREATE FUNCTION unsafe(value text) RETURNS text LANGUAGE plpgsql
	PARALLEL SAFE AS \$\$ BEGIN RETURN $of_value; END \$\$;
SELECT count(unsafe(value)) FROM token;
ROLLBACK;
$open
SQL
	ok($out eq $rows && $err =~ /\A\Q$no_key\E/,
		"$name: a worker has no key");
}

# ---------------------------------------------------------------------------
# What the server would store

# Statements by which the server would store $given.
sub storing
{
	my ($given, $database) = @_;
	my $body = 'RETURNS integer LANGUAGE sql';
	my $set = "SET $setting = '$given'";
	return (
		"ALTER SYSTEM $set",
		"ALTER DATABASE $database $set",
		"ALTER ROLE anyone $set",
		"ALTER ROLE anyone IN DATABASE $database $set",
		"ALTER ROLE ALL $set",
		"ALTER ROLE ALL IN DATABASE $database SET \"fernet\".${\ uc $after_prefix} TO '$given'",
		"CREATE FUNCTION new() $body $set AS 'SELECT 1'",
		"CREATE PROCEDURE new_too() LANGUAGE sql $set AS 'SELECT 1'",
		"ALTER FUNCTION mine() $set",
		"ALTER PROCEDURE mine_too() $set");
}

# The same with the current value of the session.
sub storing_current
{
	my ($database) = @_;
	my $set = "SET $setting FROM CURRENT";
	return (
		"ALTER DATABASE $database $set",
		"ALTER ROLE anyone $set",
		"ALTER ROLE anyone IN DATABASE $database $set",
		"ALTER ROLE ALL $set",
		"CREATE FUNCTION new() RETURNS integer LANGUAGE sql $set AS 'SELECT 1'",
		"CREATE PROCEDURE new_too() LANGUAGE sql $set AS 'SELECT 1'",
		"ALTER FUNCTION mine() $set",
		"ALTER PROCEDURE mine_too() $set");
}

# What SQL shows of stored values: the number of them.
my $count_stored = <<"SQL";
SELECT (SELECT count(*) FROM pg_db_role_setting
		WHERE array_to_string(setconfig, ' ') ILIKE '%fernet.%')
	+ (SELECT count(*) FROM pg_proc
		WHERE array_to_string(proconfig, ' ') ILIKE '%fernet.%')
	+ (SELECT count(*) FROM pg_settings WHERE name ILIKE '$setting')
	+ (SELECT count(*) FROM pg_file_settings WHERE name ILIKE '%fernet.%');
SQL

# auto_conf returns how often postgresql.auto.conf names our settings.
sub auto_conf
{
	my $text = slurp($node->data_dir . '/postgresql.auto.conf');
	return scalar(() = $text =~ /fernet/gi);
}

sub test_refused
{
	my ($mode) = @_;
	my $name = $mode->{name};
	my $refused = secret();
	my @given = (
		storing($refused, $mode->{database}),
		storing('malformed', $mode->{database}));
	my @current = storing_current($mode->{database});
	shows(
		"$name: what would store a key is refused",
		'',
		join("\n", ("ERROR:  $stored") x @given, $no_key),
		run_in($mode, join(";\n", @given, $encrypt)));
	shows(
		"$name: and the session keeps its own",
		$rows,
		join("\n", ("ERROR:  $stored") x (@given + @current)),
		run_in(
			$mode,
			join(";\n", @given, @current, $open),
			options => "-c $setting=$key"));
	shows(
		"$name: for one who is no superuser too",
		$rows,
		"ERROR:  $stored\nERROR:  $stored",
		run_in($mode, <<"SQL", user => 'visitor'));
ALTER ROLE visitor SET $setting = '$refused';
CREATE FUNCTION new() RETURNS integer LANGUAGE sql
	SET $setting = '$refused' AS 'SELECT 1';
SET $setting = '$key';
$open
SQL
	shows(
		"$name: and inside of PL/pgSQL",
		'',
		"ERROR:  $stored\nERROR:  $malformed\n" . $length =~ s/40/9/r,
		run_in($mode, <<"SQL"));
DO \$\$ BEGIN
	EXECUTE 'ALTER ROLE anyone SET $setting = ''$refused''';
END \$\$;
DO \$\$ BEGIN
	EXECUTE 'SET $setting = ''malformed''';
END \$\$;
SQL
	shows("$name: nothing was stored", 0, '', run_in($mode, $count_stored));
	same(auto_conf(), 0, "$name: nor written to postgresql.auto.conf");
}

# An empty value is no key, so it may be stored.
sub test_empty
{
	my ($mode) = @_;
	my $name = $mode->{name};
	my $database = $mode->{database};
	my $all = join '', map { "$_;\n" } storing('', $database);
	shows(
		"$name: an empty value may be stored",
		"4|$setting=\n4|{$setting=}",
		'', run_in($mode, <<"SQL"));
$all
SELECT count(*), s FROM pg_db_role_setting, unnest(setconfig) AS s
	WHERE s ILIKE '%fernet.%' GROUP BY s;
SELECT count(*), proconfig FROM pg_proc
	WHERE proname IN ('new', 'new_too', 'mine', 'mine_too') GROUP BY proconfig;
SQL
	same(auto_conf(), 1, "$name: also by ALTER SYSTEM");
	shows(
		"$name: and does no harm",
		$rows, '',
		client(
			$mode, $open,
			options => "-c $setting=$key",
			user => 'anyone'));
	shows("$name: a function can switch the key off for itself",
		"t\nf\n$rows", '',
		run_in($mode, <<"SQL", options => "-c $setting=$key"));
ALTER FUNCTION no_key() SET $setting = '';
SELECT no_key();
ALTER FUNCTION no_key() RESET $setting;
SELECT no_key();
$open
SQL
	shows("$name: an empty value goes again", 0, '', run_in($mode, <<"SQL"));
ALTER SYSTEM RESET $setting;
ALTER DATABASE $database RESET $setting;
ALTER ROLE anyone RESET $setting;
ALTER ROLE anyone IN DATABASE $database RESET $setting;
ALTER ROLE ALL RESET $setting;
ALTER FUNCTION mine() RESET $setting;
ALTER PROCEDURE mine_too() RESET $setting;
DROP FUNCTION new();
DROP PROCEDURE new_too();
$count_stored
SQL
	same(auto_conf(), 0, "$name: also from postgresql.auto.conf");
	shows("$name: and without a key there is none to store from the session",
		"f\n0", '', run_in($mode, <<"SQL"));
ALTER ROLE anyone SET $setting FROM CURRENT;
ALTER FUNCTION mine() SET $setting FROM CURRENT;
SELECT fernet_is_token('');
ALTER ROLE anyone RESET $setting;
ALTER FUNCTION mine() RESET $setting;
$count_stored
SQL
	shows("$name: an empty value in the startup packet is no key",
		'', $no_key, client($mode, $encrypt, options => "-c $setting="));
}

# The value of a misspelt name is often a key.
sub test_misspelt
{
	my ($mode) = @_;
	my $name = $mode->{name};
	my $misspelt = secret();
	my $unknown = 'ERROR:  42704: unrecognized configuration parameter '
	  . qq{"fernet.kye"\nHINT:  Set the key with "fernet.key", and the key of blind indexes with "fernet.index_key".};
	my $reserved = qq{DETAIL:  "fernet" is now a reserved prefix.};
	shows(
		"$name: a misspelt fernet.kye is an error",
		'',
		"$unknown\n" x 6
		  . qq{ERROR:  42602: invalid configuration parameter name "fernet.kye"\n}
		  . qq{DETAIL:  "fernet" is a reserved prefix.},
		run_in($mode, <<"SQL"));
SET fernet.kye = '$misspelt';
SET LOCAL fernet.kye = '$misspelt';
ALTER ROLE anyone SET fernet.kye = '$misspelt';
ALTER DATABASE $mode->{database} SET fernet.kye = '$misspelt';
ALTER SYSTEM SET fernet.kye = '$misspelt';
ALTER FUNCTION mine() SET fernet.kye = '$misspelt';
SELECT set_config('fernet.kye', 'x', false);
SQL
	shows("$name: and not stored", 0, '', run_in($mode, $count_stored));
	my ($out, $err) = client(
		$mode,
		"SELECT fernet_is_token('');\nSHOW fernet.kye;",
		options => "-c fernet.kye=$misspelt");

	if ($mode == \%shared)
	{
		ok( $out eq ''
			  && $err =~
			  /FATAL:  invalid configuration parameter name "fernet.kye"\nDETAIL:  "fernet" is a reserved prefix.\z/,
			"$name: a misspelt startup option is no connection");
		return;
	}
	ok( $out eq 'f'
		  && $err =~
		  /\AWARNING:  (42602: )?invalid configuration parameter name "fernet.kye", removing it\n\Q$reserved\E\n/
		  && $err =~
		  /ERROR:  42704: unrecognized configuration parameter "fernet.kye"\z/,
		"$name: a misspelt placeholder is removed with a WARNING");
}

sub test_mode
{
	my ($mode) = @_;
	test_accepted($mode);
	fresh_logs();
	test_malformed($mode);
	ok(${ fresh_logs() } =~ /WARNING:  PF002: invalid Fernet key/,
		"$mode->{name}: the log has its SQLSTATE");
	test_parallel($mode);
	test_refused($mode);
	test_empty($mode);
	test_misspelt($mode);
}

# ---------------------------------------------------------------------------
# The logs

# logs waits until everything before is in each of the logs.
my $marks = 0;

sub logs
{
	my $mark = 'mark ' . ++$marks . " of $$";
	my $folder = $node->data_dir . '/log';
	session($node, "DO \$\$ BEGIN RAISE LOG '$mark'; END \$\$;");
	wait_until(sub { 3 <= grep { slurp($_) =~ /$mark/ } files_below($folder) })
	  or die 'the logs do not get there';
	return server_logs($node);
}

# fresh_logs returns what was logged since it was last called.
my %read;

sub fresh_logs
{
	logs();
	my $fresh = '';
	foreach my $path ($node->logfile, files_below($node->data_dir . '/log'))
	{
		my $bytes = slurp($path);
		$fresh .= substr($bytes, $read{$path} // 0);
		$read{$path} = length $bytes;
	}
	return \$fresh;
}

# count_in returns how many of @secrets are in the text.
sub count_in
{
	my ($text) = @_;
	return scalar(grep { forms_found_in($_, $text) } @secrets);
}

# test_unseen tests that neither a log nor a client's output holds a secret.
sub test_unseen
{
	my ($name) = @_;
	my $decoy = new_key();
	session($node, "SELECT 1 / 0 AS \"$decoy\";");
	my $logs = logs();
	ok(scalar(forms_found_in($decoy, $logs)),
		"$name: a statement with another error is logged");
	same(count_in($logs), 0, "$name: no log holds a key");
	return same(count_in(\$seen), 0, "$name: nor was a client shown one");
}

# ---------------------------------------------------------------------------
# Everything with a loaded library

$node->stop;
start(\@shared_line);
test_mode(\%shared);
$node->stop;
start([]);
test_mode($_) foreach (\%preload, \%lazy);
test_unseen('all of it');
$node->safe_psql('postgres', 'CHECKPOINT');
same(join("\n", secrets_below(\@secrets, $node->data_dir)),
	'', 'no file of the server holds a key');

# ---------------------------------------------------------------------------
# A key that a superuser stored before the library was loaded

# Where each statement stores the key, and which session then gets it. In this
# order a session gets only one key: the test removes the earlier ones.
my @places = (
	'ALTER ROLE ALL',
	'ALTER DATABASE',
	'ALTER ROLE',
	'ALTER ROLE IN DATABASE');
my %places = (
	'ALTER DATABASE' => { on => 'DATABASE %s' },
	'ALTER ROLE' => { on => 'ROLE anyone', user => 'anyone' },
	'ALTER ROLE IN DATABASE' =>
	  { on => 'ROLE member IN DATABASE %s', user => 'member' },
	'ALTER ROLE ALL' => { on => 'ROLE ALL' });

# test_stored tests sessions that begin with a key from the server's storage.
sub test_stored
{
	my ($mode, $what, %how) = @_;
	my $name = "$mode->{name}: a key stored raw by $what";
	my $told = told($mode, $stored);
	shows("$name is refused",
		'f', "$told\n$no_key",
		client($mode, "SELECT fernet_is_token('');\n$encrypt", %how));
	shows(
		"$name does not keep a session from having one",
		"f\n$rows",
		$told,
		client(
			$mode,
			"SELECT fernet_is_token('');\nSET $setting = '$key';\n$open",
			%how));
	my ($out, $err) =
	  client($mode, $open, %how, options => "-c $setting=$key");
	ok( $out eq $rows && $err =~ /\A(?:\Q$told\E)?\z/,
		"$name does not take the place of the session's");
}

# test_reset tests that a session with the library can remove it, and leaves
# $left others.
sub test_reset
{
	my ($mode, $what, $statement, $left) = @_;
	my ($out) = run_in($mode, "$statement;\n$count_stored");
	return same($out, $left // 0,
		"$mode->{name}: a key stored raw by $what is removed by RESET");
}

# store stores a key where the library is not loaded, and tests that it is
# stored.
sub store
{
	my ($what, $statement, $database) = @_;
	my ($out, $err) =
	  session($node, $statement, database => $database // 'postgres');
	return same($err, '',
		"$what stores a key where the library is not loaded");
}

sub store_at
{
	my ($mode, $what) = @_;
	(my $on = $places{$what}{on}) =~ s/%s/$mode->{database}/;
	store($what, "ALTER $on SET $setting = '${\ secret()}'");
	return "ALTER $on RESET $setting";
}

# PostgreSQL 15 accepts ALTER SYSTEM only for a name that the session knows.
sub store_in_auto_conf
{
	store(
		'ALTER SYSTEM',
		"SET $setting = '';\n"
		  . "ALTER SYSTEM SET $setting = '${\ secret()}';");
	return same(auto_conf(), 1, 'and it is there');
}

foreach my $mode (\%preload, \%lazy)
{
	foreach my $what (@places)
	{
		my $reset = store_at($mode, $what);
		test_stored($mode, $what, user => $places{$what}{user});
		test_reset($mode, $what, $reset);
	}
	store_in_auto_conf();
	test_reset($mode, 'ALTER SYSTEM', "ALTER SYSTEM RESET $setting");
	same(auto_conf(), 0, "$mode->{name}: also from postgresql.auto.conf");
}

# Now a server that preloads the library meets the stored keys.
my %reset = map { $_ => store_at(\%shared, $_) } @places;
store_in_auto_conf();
$node->stop;
start(\@shared_line);
ok( ${ fresh_logs() } =~ /WARNING:  PF006: /,
	'shared preload: a key stored raw by ALTER SYSTEM is a WARNING at start');
my $left = @places + 1;
foreach my $what (@places)
{
	my %in =
	  (%shared, $what eq 'ALTER ROLE ALL' ? (database => 'postgres') : ());
	test_stored(\%in, $what, user => $places{$what}{user} // 'visitor');
	test_reset(\%in, $what, $reset{$what}, --$left);
}
test_reset(\%shared, 'ALTER SYSTEM', "ALTER SYSTEM RESET $setting");
same(auto_conf(), 0, 'shared preload: also from postgresql.auto.conf');

# The SET clause of a function, too.
$node->stop;
start([]);
store('CREATE FUNCTION', <<"SQL", 'lazy');
CREATE FUNCTION stored_no_key() RETURNS boolean LANGUAGE plpgsql
	SET $setting = '${\ secret()}'
	AS 'BEGIN RETURN no_key(); END';
SQL
# The hook cannot tell it from a SET inside of the function, so it works, as
# SECURITY.md says, and fernet_doctor() names the function.
{
	my ($out) = run_in(\%lazy, 'SELECT stored_no_key();');
	same($out, 'f', 'first call: a key stored raw by CREATE FUNCTION works');
	($out) = run_in(\%lazy,
		"SELECT detail ~ 'stored_no_key' FROM fernet_doctor() WHERE item = 'stored key' AND status = 'fail';"
	);
	same($out, 't', 'first call: and fernet_doctor() names the function');
}
test_reset(
	\%lazy,
	'CREATE FUNCTION',
	"ALTER FUNCTION stored_no_key() RESET $setting");
test_unseen('stored raw');

# ---------------------------------------------------------------------------
# postgresql.conf and the command line

# test_reload tests that a session keeps its key when postgresql.conf is read
# again, now with a key in it.
sub test_reload
{
	my ($mode, $given) = @_;
	configure($mode == \%shared ? @shared_line : (), "$setting = '$given'");
	return shows(
		"$mode->{name}: a session keeps its key when postgresql.conf gets one",
		"$rows\n$rows",
		'',
		run_in($mode, <<"SQL", options => "-c $setting=$key"));
$open
SELECT pg_reload_conf() $quietly
SELECT pg_sleep(0.5) $quietly
$open
SQL
}

# A server that preloads the library refuses the key itself.
sub test_refused_by_server
{
	my ($what, $level) = @_;
	my $logs = fresh_logs();
	ok( $$logs =~
		  /$level:  PF006: "$setting" must not be stored by the server/,
		"shared preload: a key by $what is a $level");
	shows('shared preload: and given to no session',
		'', $no_key, client(\%shared, "SHOW $setting;\n$encrypt"));
	shows('shared preload: and does not keep one from having its own',
		$rows, '', client(\%shared, $open, options => "-c $setting=$key"));
	return $$logs;
}

sub line { return "$setting = '$_[0]'" }

$node->stop;
start(\@shared_line);
fresh_logs();
test_reload(\%shared, secret());
my $logged = test_refused_by_server('reload of postgresql.conf', 'LOG');
ok( $logged =~ /"[^"]*" contains errors; unaffected changes were applied/,
	'shared preload: the server says that it does not apply the line');
shows(
	'shared preload: and pg_file_settings too',
	'f|setting could not be applied',
	'', client(\%shared, <<"SQL"));
SELECT applied, error FROM pg_file_settings WHERE name = '$setting';
SQL
configure(@shared_line, line(''));
$node->reload;
shows('shared preload: an empty one is no key and no error',
	'', $no_key, client(\%shared, "SELECT pg_sleep(0.3) $quietly\n$encrypt"));

$node->stop;
start([ @shared_line, line(secret()) ]);
test_refused_by_server('postgresql.conf', 'WARNING');
$node->stop;
start(\@shared_line, "-c $setting=" . secret());
test_refused_by_server('the command line', 'WARNING');

# Otherwise each session refuses it.
$node->stop;
start([ line(secret()) ]);
test_stored($_, 'postgresql.conf') foreach (\%preload, \%lazy);
$node->stop;
start([], "-c $setting=" . secret());
test_stored($_, 'the command line') foreach (\%preload, \%lazy);
test_unseen('settings of the server');

# A server without the library writes a changed line of postgresql.conf to its
# log, so this comes after the logs have been searched.
$node->stop;
start([]);
test_reload($_, new_key()) foreach (\%preload, \%lazy);
test_stored($_, 'reload of postgresql.conf') foreach (\%preload, \%lazy);
store_in_auto_conf();
$node->reload;
test_stored($_, 'ALTER SYSTEM') foreach (\%preload, \%lazy);

done_testing();
