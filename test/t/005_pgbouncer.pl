# Behind PgBouncer, clients share sessions. A key that is set for one
# transaction never reaches another: two clients with different keys run 10,000
# transactions on the same server connections, and each transaction fails if it
# can decrypt a token of the other client. In session mode, DISCARD ALL removes
# the key. PgBouncer refuses a key in the startup packet, and writes it to its
# log.

use strict;
use warnings;

use FernetTest qw(:DEFAULT same session new_plaintext wait_until);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($pgbouncer) = grep { -x } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}),
  '/usr/sbin', '/usr/local/sbin';
plan skip_all => 'PgBouncer is not installed' unless defined $pgbouncer;

# The libpq of PostgreSQL 20 asks for a protocol that old versions of PgBouncer refuse.
# Older ones do not read this.
$ENV{PGMAXPROTOCOLVERSION} = '3.0';

my $transactions = 5000;    # for each of the two clients
my $no_key = qr/\AERROR:  PF001: no Fernet key is set\n/;

# ---------------------------------------------------------------------------
# A server, and what each client checks there

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
log_statement = none
session_preload_libraries = 'pg_fernet'
CONF
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_fernet;
CREATE TABLE visit (id serial, pid integer, client text);

-- Fails unless the key of the transaction is that of the client.
CREATE FUNCTION visit(client text, own text, plaintext text, other text)
	RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF fernet_decrypt(own) IS DISTINCT FROM plaintext THEN
		RAISE 'the token of % was opened wrong', client;
	END IF;
	IF fernet_try_decrypt(other) IS NOT NULL THEN
		RAISE '% opened a token of another', client;
	END IF;
	IF fernet_try_decrypt(fernet_encrypt(plaintext))
		IS DISTINCT FROM plaintext THEN
		RAISE '% cannot open its new token', client;
	END IF;
	INSERT INTO visit (pid, client) VALUES (pg_backend_pid(), client);
END $$;

-- Fails unless there is no key.
CREATE FUNCTION visit_without_key() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		PERFORM fernet_encrypt('x');
		RAISE 'there is a key';
	EXCEPTION WHEN SQLSTATE 'PF001' THEN
		NULL;
	END;
	INSERT INTO visit (pid, client) VALUES (pg_backend_pid(), 'none');
END $$;
SQL

# A client has a name, a key, and a token of its plaintext.
my %client;
foreach my $name (qw(first second))
{
	my $key = new_key();
	my $plaintext = new_plaintext();
	my ($token) = session(
		$node,
		"SELECT fernet_encrypt('$plaintext');",
		options => "-c fernet.key=$key");
	$client{$name} =
	  { key => $key, plaintext => $plaintext, token => $token };
}

# ---------------------------------------------------------------------------
# A PgBouncer between them

my $folder = $node->basedir . '/pgbouncer';
mkdir $folder or die "$folder: $!";
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $host = $node->host;
my $server = "host=$host port=" . $node->port;
my $user = $node->safe_psql('postgres', 'SELECT current_user');

sub write_file
{
	my ($name, $text) = @_;
	open(my $file, '>', "$folder/$name") or die "$name: $!";
	print $file $text;
	close $file;
	return "$folder/$name";
}

my $users = write_file('users', qq("$user" ""\n));
my $ini = write_file('pgbouncer.ini', <<"INI");
[databases]
transaction = $server dbname=postgres pool_mode=transaction pool_size=2
one = $server dbname=postgres pool_mode=transaction pool_size=1
session = $server dbname=postgres pool_mode=session pool_size=1
wide = $server dbname=postgres pool_mode=session pool_size=9
[pgbouncer]
listen_addr =
listen_port = $port
unix_socket_dir = $host
auth_type = trust
auth_file = $users
pidfile = $folder/pid
logfile = $folder/log
server_idle_timeout = 0
server_lifetime = 3600
INI
my $process = IPC::Run::start([ $pgbouncer, '-q', $ini ],
	'<', '/dev/null', '>', '/dev/null', '2>&1');

END
{
	local $?;
	$process->kill_kill(grace => 5) if defined $process;
}

# through runs $sql through PgBouncer.
sub through
{
	my ($database, $sql, %how) = @_;
	return session($node, $sql, %how,
		connstr => "host=$host port=$port dbname=$database user=$user");
}

wait_until(sub { -S "$host/.s.PGSQL.$port" });
same((through('transaction', 'SELECT 1;'))[0],
	1, 'there is a server behind PgBouncer');

# pgbench starts a run of $script on $connections connections.
sub pgbench
{
	my ($database, $script, $count, $connections, %variables) = @_;
	my $run = { output => '', wanted => $count * $connections };
	local %ENV = (
		%ENV,
		PGHOST => $host,
		PGPORT => $port,
		PGUSER => $user,
		PGDATABASE => $database);
	$run->{process} = IPC::Run::start(
		[
			'pgbench', '-n', '-M', 'extended',
			'-t', $count, '-c', $connections,
			(map { ('-D', "$_=$variables{$_}") } sort keys %variables),
			'-f', $script
		],
		'<',
		'/dev/null',
		'>',
		\$run->{output},
		'2>&1');
	return $run;
}

# finish waits for a run, and returns whether all of its transactions succeeded.
sub finish
{
	my ($run) = @_;
	my $ok = $run->{process}->finish;
	my $all = "$run->{wanted}/$run->{wanted}";
	return $ok && $run->{output} =~ /processed: \Q$all\E\b/;
}

# ---------------------------------------------------------------------------
# Transaction mode

my $with_key = write_file('with_key.sql', <<'SQL');
BEGIN;
SELECT set_config('fernet.key', :key, true);
SELECT visit(:client, :own, :plaintext, :other);
COMMIT;
SQL
my $without_key = write_file('without_key.sql', <<'SQL');
BEGIN;
SELECT visit_without_key();
COMMIT;
SQL

sub run_as
{
	my ($name, $other) = @_;
	return pgbench(
		'transaction', $with_key, $transactions / 2, 2,
		client => $name,
		key => $client{$name}{key},
		own => $client{$name}{token},
		plaintext => $client{$name}{plaintext},
		other => $client{$other}{token});
}

my @runs = (run_as('first', 'second'), run_as('second', 'first'));
ok(finish($_), "$transactions transactions have the key of their client")
  foreach @runs;
my ($visits) = session($node, <<'SQL');
SELECT count(*) FROM visit;
SELECT count(DISTINCT pid) <= 2 FROM visit;
SELECT count(*) > 200 FROM (
	SELECT client <> lag(client) OVER (PARTITION BY pid ORDER BY id) AS changed
	FROM visit) AS v WHERE changed;
SQL
same(
	$visits,
	2 * $transactions . "\nt\nt",
	'and they took turns on the same server connections');

ok(finish(pgbench('transaction', $without_key, 200, 4)),
	'a client without a key finds none');
same(
	(session($node, <<'SQL'))[0],
SELECT count(DISTINCT pid) = (SELECT count(DISTINCT pid) FROM visit)
	FROM visit WHERE client = 'none';
SQL
	't',
	'on each of these connections');
my ($out, $err) =
  through('transaction', "SELECT fernet_encrypt('x');\nSHOW fernet.key;");
ok($out eq '' && $err =~ $no_key, 'nor does one that asks');

# A key for the session must not be set here: the next client gets it. This also
# shows that the tests above would notice.
my $key =
  "SELECT set_config('fernet.key', '$client{first}{key}', %s) \\g /dev/null\n";
my $read = "SELECT fernet_decrypt('$client{first}{token}');\n";
through('one', sprintf($key, 'false'));
same(
	(through('one', $read))[0],
	$client{first}{plaintext},
	'in transaction mode, a key for the session is there for the next client'
);
ok(!finish(pgbench('one', $without_key, 1, 1)), 'which is an error');
through('one', 'DISCARD ALL;');
($out, $err) = through('one', $read);
ok($out eq '' && $err =~ $no_key, 'until DISCARD ALL');
($out) =
  through('one', 'BEGIN;' . sprintf($key, 'true') . "${read}ROLLBACK;\n");
same($out, $client{first}{plaintext}, 'a key for a transaction works');
($out, $err) = through('one', $read);
ok($out eq '' && $err =~ $no_key, 'and is gone after ROLLBACK');

# ---------------------------------------------------------------------------
# Session mode

my $pid = "SELECT pg_backend_pid();\n";
my ($first) = through('session', sprintf($key, 'false') . $pid . $read);
my ($first_pid) = $first =~ /^(\d+)\n\Q$client{first}{plaintext}\E\z/;
ok(defined $first_pid, 'in session mode, a key for the session works');
($out, $err) = through('session', $pid . $read);
same($out, $first_pid // '',
	'the next client has the same server connection');
ok($err =~ $no_key, 'and no key');

# ---------------------------------------------------------------------------
# The program pg_fernet, whose key is for the session

$node->safe_psql('postgres', "CREATE TABLE held AS SELECT '$client{first}{token}' AS token");

# program runs it, and returns its status, output and errors.
sub program
{
	my ($database) = @_;
	local %ENV = (%ENV, FERNET_KEY => $client{first}{key});
	IPC::Run::run([ 'pg_fernet', 'check', '-h', $host, '-p', $port, '-U', $user, '-t', 'held', $database ],
		'<', \undef, '>', \my $printed, '2>', \my $said);
	return ($? >> 8, $printed, $said);
}

foreach my $database ('transaction', 'one')
{
	my ($status, $printed, $said) = program($database);
	same($status, 1, "in transaction mode, the program refuses to work: $database");
	ok($said =~ /error: a pooler gives every transaction another session of the server/, 'and says why');
	same(scalar(forms_found_in($client{first}{key}, \"$printed$said")), 0, 'without the key');
}
($out, $err) = through('one', $read);
ok($out eq '' && $err =~ $no_key, 'and has left no key in a session');
my ($status, $printed, $said) = program('wide');
same($status, 0, 'in session mode, the program works');
ok($printed =~ /The first key decrypts the only token\./, 'and finds the token');

# ---------------------------------------------------------------------------
# The startup packet

my $log = slurp("$folder/log");
same(scalar(grep { forms_found_in($client{$_}{key}, \$log) } keys %client),
	0, 'up to now the log of PgBouncer holds no key');

my $given = new_key();
($out, $err) = through(
	'transaction',
	"SHOW fernet.key;",
	options => "-c fernet.key=$given");
$log = slurp("$folder/log");
ok($out eq '' && $err =~ /FATAL: +unsupported startup parameter/,
	'PgBouncer refuses a key in the startup packet');
my $held = grep { $_ eq 'text' } forms_found_in($given, \$log);
ok($log =~ /unsupported startup parameter/, 'and says so in its log');
diag('PgBouncer no longer logs the key of a startup packet: see docs/keys.md')
  unless $held;

done_testing();
