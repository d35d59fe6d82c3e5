# Does fernet_doctor() report what it should? The test causes each finding and
# sees it reported; each item is ok when there is nothing to report; and no
# output holds a key.

use strict;
use warnings;

use FernetTest qw(:DEFAULT same session new_plaintext);
use JSON::PP qw(decode_json);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my @items = (
	'auto_explain', 'captured calls', 'connection', 'core dumps', 'counters',
	'data checksums', 'debug log', 'index key', 'key', 'key memory',
	'load order', 'openssl', 'parameter log', 'pg_stat_statements',
	'pgaudit', 'preload', 'search path', 'statement log', 'stored key',
	'stored plaintext', 'trigger order', 'version');

my ($key, $other) = (new_key(), new_key());
my @secrets = ($key, $other);
my $seen = '';    # all that clients were told

# ---------------------------------------------------------------------------
# The server, and what the doctor says on it

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
my $conf = slurp($node->data_dir . '/postgresql.conf');

# start starts the server with these lines in postgresql.conf, under the
# limits that the shell's ulimit sets.
sub start
{
	my ($limits, @lines) = @_;
	open(my $file, '>', $node->data_dir . '/postgresql.conf') or die $!;
	print $file $conf, map { "$_\n" } "listen_addresses = '127.0.0.1'",
	  'log_statement = none', @lines;
	close $file;
	my $ok = IPC::Run::run(
		[
			'sh', '-c', join('; ', (map { "ulimit $_ 2>&1" } @$limits), 'exec "$@"'),
			'sh', 'pg_ctl', '-w', '-D', $node->data_dir, '-l', $node->logfile,
			'start'
		],
		'>',
		'/dev/null',
		'2>&1');
	$node->_update_pid($ok ? 1 : 0);
	return $ok;
}

# restart does so with a server that has to be stopped before.
sub restart
{
	$node->stop;
	return start(@_) || BAIL_OUT('the server does not start');
}

# doctor returns what is said in a session that runs $sql before: for each
# item its status, detail and hint. %how is as for session.
sub doctor
{
	my ($sql, %how) = @_;
	my $ask = 'SELECT json_object_agg(item, json_build_array(status, detail,'
	  . ' hint) ORDER BY item) FROM fernet_doctor();';
	my ($out, $err) = session($node, "$sql\n$ask", %how);
	$seen .= "$out\n$err\n";
	same($err, '', 'the doctor answers') if $err ne '';
	return $out =~ /^(\{.*\})$/m ? decode_json($1) : {};
}

# says tests the status of one item, and that its detail and hint, in one
# line, match $pattern.
sub says
{
	my ($said, $item, $status, $pattern, $name) = @_;
	my ($got, $detail, $hint) = @{ $said->{$item} // [ 'nothing', '' ] };
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $text = join ' / ', grep { defined } $detail, $hint;
	return same(
		$text =~ $pattern ? $got : "$got, but it says: $text",
		$status, "$item, $name: $status");
}

# asks tests one item in a session with $sql before.
sub asks
{
	my ($item, $sql, $status, $pattern, $name, %how) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return says(doctor($sql, %how), $item, $status, $pattern, $name);
}

# ---------------------------------------------------------------------------
# A server that does not know of the library, with room for nothing

start([ '-c 0', '-l 0' ]) || BAIL_OUT('the server does not start');
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE anyone LOGIN;
CREATE DATABASE eager;
ALTER DATABASE eager SET session_preload_libraries = 'pg_fernet';
\c eager
CREATE EXTENSION pg_fernet;
\c postgres
CREATE EXTENSION pg_fernet;
SQL
my $version = $node->safe_psql('postgres', 'SHOW server_version_num');
my %has = map { $_ => 1 } split /\n/, $node->safe_psql('postgres',
	'SELECT name FROM pg_available_extensions');
my $checksums = $node->safe_psql('postgres', 'SHOW data_checksums');
my %eager = (database => 'eager');

# all is well in a session that has the library and a key from its start
my $said = doctor('', %eager, options => "-c fernet.key=$key");
same(join(', ', sort keys %$said), join(', ', @items), 'every item is there');
my %expected = map { $_ => 'ok' } @items;
$expected{counters} = 'note' if $version < 170000;
$expected{'data checksums'} = 'note' if $checksums eq 'off';
delete $expected{'key memory'};
same(
	join(', ', map { "$_: $said->{$_}[0]" } sort keys %expected),
	join(', ', map { "$_: $expected{$_}" } sort keys %expected),
	'and ok but for what the server has not');
foreach my $item (@items)
{
	my ($status, $detail, $hint) = @{ $said->{$item} };
	ok($detail =~ /\w/ && !($status eq 'warn' && !defined $hint),
		"$item has a detail, and a hint where there is something to do");
}
my $told = doctor('', %eager, options => "-c fernet.key=$key", user => 'anyone');
same(
	join(', ', grep { $told->{$_}[0] ne $said->{$_}[0] } @items),
	'stored key', 'an ordinary role is told the same');
says($told, 'stored key', 'note', qr/^No key was found .* may not read configuration files\./, 'to an ordinary role');
says($said, 'openssl', 'ok', qr/^OpenSSL \d/, 'the version');
says($said, 'version', 'ok', qr/^\d+\.\d+\.\d+$/, 'the version');
says($said, 'core dumps', 'ok', qr/writes no core dump/, 'where none may be written');
says($said, 'connection', 'ok', qr/local/, 'by a socket');

# the key: none, how many, which, and how they were given
asks('key', '', 'note', qr/^No key is set.* options='-c fernet/, 'without one', %eager);
asks('key memory', '', 'note', qr/^No key has been set/, 'without one', %eager);
my ($fingerprints) = session($node, 'SELECT string_agg(fingerprint, \' \' ORDER BY key_index) FROM fernet_keys()',
	%eager, options => "-c fernet.key=$key,$other");
asks('key', '', 'ok', qr/^2 set in the connection options.* encrypts: \Q$fingerprints\E$/,
	'two in the startup packet', %eager, options => "-c fernet.key=$key,$other");
asks('key', "SET fernet.key = '$other';", 'ok', qr/^1 set by SET or set_config.*: [0-9a-f]{16}$/, 'by SET', %eager);
asks('key', "SELECT set_config('fernet.key', '$other', false) \\g /dev/null",
	'ok', qr/^1 set by SET/, 'by set_config', %eager);
asks('key', "SET fernet.key = ''; ", 'note', qr/^No key/, 'switched off',
	%eager, options => "-c fernet.key=$key");

# the pages that hold it: a limit of 0 leaves them unlocked, but for root
SKIP:
{
	skip 'the server may lock memory whatever its limit', 1
	  if $said->{'key memory'}[0] eq 'ok';
	says($said, 'key memory', 'warn', qr/not locked .*LimitMEMLOCK/,
		'where nothing may be locked');
}

# loaded with the session or at the first call
asks('preload', '', 'warn', qr/first call .*session_preload_libraries = 'pg_fernet'/, 'not at all');
asks('preload', '', 'ok', qr/with the session/, 'session_preload_libraries', %eager);
asks('preload', '', 'ok', qr/with the session/, 'among others',
	options => '-c session_preload_libraries=auto_explain,pg_fernet');
asks('load order', '', 'ok', qr/^No library/, 'of nothing');

# what is logged
foreach (
	[ "log_statement = 'all'", 'warn' ],
	[ "log_statement = 'ddl'", 'note' ],
	[ 'log_min_duration_statement = 0', 'warn' ],
	[ 'log_min_duration_statement = 60000', 'warn' ],
	[ 'log_min_duration_sample = 0', 'warn' ],
	[ 'log_transaction_sample_rate = 0.01', 'warn' ])
{
	my ($setting, $status) = @$_;
	my $found = doctor("SET $setting;");
	says($found, 'statement log', $status, $status eq 'note' ? qr/ALTER ROLE .* SET or in a function/ : qr/^The server logs statements.*bind parameters/, $setting);
	says($found, 'parameter log', $status eq 'note' ? 'ok' : $status, $status eq 'note' ? qr/not logged/ : qr/with the statements.*log_parameter_max_length = 0/, $setting);
	says(doctor("SET $setting; SET log_parameter_max_length = 0;"),
		'parameter log', 'ok', qr/not logged/, "$setting without parameters");
}
{
	asks('statement log', 'SET log_statement = mod;', 'warn', qr/logs statements/, 'log_statement = mod');
}
asks('parameter log', 'SET log_parameter_max_length_on_error = -1;', 'warn',
	qr/with the errors .*log_parameter_max_length_on_error = 0/, 'in errors');
asks('parameter log', 'SET log_parameter_max_length_on_error = 10;', 'warn',
	qr/with the errors/, 'in errors, in part');
foreach my $statistics (qw(parser planner executor))
{
	my $found = doctor("SET log_${statistics}_stats = on;");
	says($found, 'statement log', 'warn', qr/^log_${statistics}_stats logs .*Switch log_${statistics}_stats off/, "log_${statistics}_stats");
}
asks('statement log', 'SET log_statement_stats = on;', 'warn', qr/^log_statement_stats logs/, 'log_statement_stats');
foreach my $print (qw(parse rewritten plan))
{
	asks('debug log', "SET debug_print_$print = on;", 'warn', qr/are logged.* off/, "debug_print_$print");
}
{
	asks('debug log', 'SET debug_print_raw_parse = on;', 'warn', qr/are logged/, 'debug_print_raw_parse')
	  if $version >= 190000;
}
asks('auto_explain', "LOAD 'auto_explain';", 'ok', qr/logs nothing/, 'loaded');
asks('auto_explain', "LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0;",
	'warn', qr/^auto_explain logs .*auto_explain\.log_parameter_max_length = 0/, 'at work');

asks('auto_explain', "LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_verbose = on;",
	'warn', qr/bind parameters too, even .*log_verbose = off/, 'with log_verbose');

# the connection
my $tcp = sprintf 'host=127.0.0.1 port=%d dbname=postgres', $node->port;
asks('connection', '', 'fail', qr/not encrypted.*sslmode=verify-full/, 'by TCP', connstr => "$tcp sslmode=disable");

# a key stored where the library was not loaded, by the name of the place
sub stored
{
	my ($statement, $place, $undo) = @_;
	my $secret = new_key();
	push @secrets, $secret;
	my ($out, $err) = session($node, sprintf($statement, $secret));
	same($err, '', 'a superuser stores a key');
	asks('stored key', '', 'fail', qr/^A key, or a text that looks like one, is stored in \Q$place\E\. .*rotate to a new key/, $place);
	asks('stored key', '', 'fail', qr/^A key, or a text that looks like one, is stored in \Q$place\E\. This role may not read configuration files\./, "$place, to an ordinary role", user => 'anyone');
	session($node, $undo);
	return asks('stored key', '', 'ok', qr/^No key was found/, "$place, after RESET");
}
$node->safe_psql('postgres', 'CREATE ROLE "Odd one"');
stored("ALTER ROLE \"Odd one\" SET fernet.key = '%s'", 'the settings of role "Odd one"', 'ALTER ROLE "Odd one" RESET fernet.key');
stored("ALTER DATABASE eager SET Fernet.KEY = '%s'", 'the settings of database eager', 'ALTER DATABASE eager RESET fernet.key');
stored("ALTER ROLE \"Odd one\" IN DATABASE eager SET fernet.key = '%s'",
	'the settings of role "Odd one" in database eager', 'ALTER ROLE "Odd one" IN DATABASE eager RESET fernet.key');
stored("CREATE FUNCTION keeps(text) RETURNS text LANGUAGE sql SET fernet.key = '%s' AS 'SELECT \$1'",
	'function public.keeps(text)', 'ALTER FUNCTION keeps RESET fernet.key');
asks('stored key', "ALTER FUNCTION keeps SET fernet.key = '';", 'ok', qr/^No key was found/, 'switched off in a function');
{
	my $secret = new_key();
	push @secrets, $secret;
	session($node, "ALTER ROLE ALL SET fernet.key = '$secret'");
	asks('stored key', '', 'fail', qr/stored in the settings of all roles/, 'ALTER ROLE ALL', options => '-c client_min_messages=error');
	session($node, 'ALTER ROLE ALL RESET fernet.key');
}

# plaintext that is kept
my $plaintext = new_plaintext();
session($node, <<"SQL", options => "-c fernet.key=$key");
CREATE TABLE secrets AS SELECT fernet_encrypt('$plaintext') AS token;
CREATE VIEW fine AS SELECT fernet_decrypt(token) AS plain FROM secrets;
CREATE FUNCTION fine(text) RETURNS text STABLE LANGUAGE sql AS 'SELECT fernet_decrypt(\$1)';
CREATE INDEX fine ON secrets (fernet_is_token(token));
SQL
asks('stored plaintext', '', 'ok', qr/^No index/, 'a view, a STABLE function');

# keeps tests that what $sql makes is found, and named as $place.
sub keeps
{
	my ($sql, $place, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return asks('stored plaintext', "BEGIN;\n$sql\n", 'fail',
		qr/^Decrypted values are stored, or may be, by (?:.*, )?\Q$place\E[,.].* Drop it/, $name,
		options => "-c fernet.key=$key");
}
my $wrapper = q{CREATE FUNCTION %s(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT public.fernet_try_decrypt($1)';};
keeps(sprintf($wrapper, 'wrapper'), 'function public.wrapper(text)', 'an IMMUTABLE function');
keeps(q{CREATE FUNCTION wrapper(text) RETURNS bytea IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN public.FERNET_DECRYPT_BYTEA($1); END';},
	'function public.wrapper(text)', 'one in another language');
keeps('CREATE MATERIALIZED VIEW kept AS SELECT fernet_decrypt(token) FROM secrets;',
	'materialized view public.kept', 'a materialized view');
keeps('CREATE MATERIALIZED VIEW kept AS SELECT * FROM fine WITH NO DATA;' . sprintf($wrapper, 'wrapper'),
	'function public.wrapper(text)', 'a function beside other things');
keeps(sprintf($wrapper, 'my_fernet_decrypt') . 'CREATE INDEX kept ON secrets (my_fernet_decrypt(token));',
	'index public.kept', 'an index that calls what is named so');
keeps('CREATE FUNCTION wrapper(text) RETURNS text IMMUTABLE LANGUAGE sql RETURN public.fernet_decrypt($1);',
	'function public.wrapper(text)', 'an IMMUTABLE function with a parsed body');
keeps(sprintf($wrapper, 'wrapper') . 'CREATE INDEX kept ON secrets (wrapper(token));',
	'function public.wrapper(text), index public.kept', 'an index, and the wrapper that it calls');

# the version
asks('version', "BEGIN; UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'pg_fernet';",
	'warn', qr/^The library is \d+\.\d+\.\d+ and the extension 0\.9\..*ALTER EXTENSION pg_fernet UPDATE/, 'another one');

# counters need shared memory
$version < 170000
  ? asks('counters', '', 'note', qr/before PostgreSQL 17.*shared_preload_libraries = 'pg_fernet'/, 'without preload', %eager)
  : asks('counters', '', 'ok', qr/counts/, 'without preload', %eager);

# ---------------------------------------------------------------------------
# Everything preloaded in the right order, more room, the other checksums, TLS

$node->stop;
IPC::Run::run([ 'pg_checksums', $checksums eq 'on' ? '--disable' : '--enable', '-D', $node->data_dir ], '>', '/dev/null', '2>&1')
  or BAIL_OUT('pg_checksums');
my @others = ('pg_stat_statements', $has{pgaudit} ? 'pgaudit' : ());
my @libraries = (@others, '$libdir/pg_fernet');
my @tls;
my $openssl = IPC::Run::run(
	[
		'openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-batch',
		'-subj', '/CN=localhost', '-days', '10',
		'-keyout', $node->data_dir . '/server.key',
		'-out', $node->data_dir . '/server.crt'
	],
	'>',
	'/dev/null',
	'2>&1') if grep { -x "$_/openssl" } split /:/, $ENV{PATH};
if ($openssl)
{
	chmod 0600, $node->data_dir . '/server.key';
	@tls = ('ssl = on');
}
start([ '-c unlimited', '-l unlimited' ],
	@tls, "shared_preload_libraries = '" . join(', ', @libraries) . "'")
  || BAIL_OUT('the server does not start');

$said = doctor('', options => "-c fernet.key=$key");
says($said, 'preload', 'ok', qr/with the session/, 'shared_preload_libraries');
says($said, 'load order', 'ok', qr/^No library/, 'the right one');
says($said, 'counters', 'ok', qr/counts/, 'with preload');
$checksums eq 'on'
  ? says($said, 'data checksums', 'note', qr/^Checksums are off/, 'disabled')
  : says($said, 'data checksums', 'ok', qr/^Checksums are on/, 'enabled');
says($said, 'pg_stat_statements', 'note', qr/tracks utility.*plaintexts are not.*track_utility = off/, 'as it is by default');
asks('pg_stat_statements', 'SET pg_stat_statements.track_utility = off;', 'ok', qr/does not track/, 'track_utility off');
my ($limits) = session($node, "SELECT pg_read_file('/proc/self/limits') WHERE current_setting('is_superuser')::boolean");
SKIP:
{
	skip 'no core file may be written here', 1 unless $limits =~ /^Max core file size\s+(?!0\s)/m;
	says($said, 'core dumps', 'note', qr/crash may write a core dump.* 0/, 'where one may be written');
}
SKIP:
{
	skip 'memory may not be locked here', 1 unless $limits =~ /^Max locked memory\s+(?:unlimited|\d{6,})\s/m;
	says($said, 'key memory', 'ok', qr/left out of core dumps, locked, and wiped on fork/, 'where it may be locked');
}
SKIP:
{
	skip 'no pgaudit', 5 unless $has{pgaudit};
	says($said, 'pgaudit', 'ok', qr/logs nothing/, 'as it is by default');
	asks('pgaudit', "SET pgaudit.log = 'read';", 'note', qr/Keys are overwritten.* function or procedure of your own/, 'at work');
	asks('pgaudit', "SET pgaudit.log = 'all'; SET pgaudit.log_parameter = on;", 'warn', qr/bind parameters.*pgaudit\.log_parameter = off/, 'with parameters');
	asks('pgaudit', "SET pgaudit.role = 'auditor';", 'note', qr/literal plaintexts are not/, 'for objects only');
	asks('pgaudit', "SET pgaudit.log = 'none'; SET pgaudit.log_parameter = on;", 'ok', qr/logs nothing/, 'switched off');
}
SKIP:
{
	skip 'no openssl to make a certificate', 1 unless $openssl;
	asks('connection', '', 'ok', qr/is encrypted/, 'by TLS', connstr => "$tcp sslmode=require");
}

# and in the wrong order
foreach my $late (@others)
{
	restart([], "shared_preload_libraries = 'pg_fernet, $late'");
	asks('load order', '', 'warn', qr/^\Q$late\E is loaded after pg_fernet.* last in shared_preload/, "$late after it");
}

# ---------------------------------------------------------------------------
# No word of it all is a key, a token or a plaintext

my @found = map { forms_found_in($_, \$seen) } @secrets, $plaintext;
same(join(', ', @found), '', 'no client was told a key or a plaintext');
ok($seen !~ /gAAAAA\w{10}/, 'nor a token');

done_testing();
