# Code that the TAP tests of failures share: libraries that make a server fail
# on purpose, built when a test runs, and connections that continue after an
# error.
package FaultTest;

use strict;
use warnings;

use Cwd            qw(abs_path);
use DBI;
use Exporter 'import';
use File::Basename qw(dirname);
use FernetTest     qw(:DEFAULT server_logs tell);
use IPC::Run;
use PostgreSQL::Test::Utils ();
use Test::More ();

our @EXPORT = qw(build_library create_fault_functions connect_to outcome
  value_of memory_of held_after no_crash random_seed is_long);

my $sources = abs_path(dirname(__FILE__) . '/..');

# is_long says whether the caller wants the long form of a test.
sub is_long
{
	return $ENV{FERNET_LONG} ? 1 : 0;
}

# random_seed begins a run that FERNET_SEED can repeat, and returns the seed.
sub random_seed
{
	my $seed = $ENV{FERNET_SEED} // int(rand(2**31));
	srand $seed;
	Test::More::note("FERNET_SEED=$seed repeats this run's choices");
	return $seed;
}

# build_library compiles $name.c of the folder test/fault, or of another one in
# test, and returns where the library is.
sub build_library
{
	my ($name, $from) = @_;
	$from //= 'fault';
	my $folder = PostgreSQL::Test::Utils::tempdir();
	my $output = '';
	chomp(my $headers = `pg_config --includedir-server`);
	IPC::Run::run(
		[
			'cc', '-Wall', '-Werror', '-O1', '-fPIC', '-shared',
			"-I$headers", '-o', "$folder/$name.so", "$sources/$from/$name.c",
			'-lcrypto'
		],
		'>', \$output, '2>&1') or die "cc: $output";
	return "$folder/$name.so";
}

# create_fault_functions makes the functions of backend.c known to $node.
sub create_fault_functions
{
	my ($node) = @_;
	my $library = build_library('backend');
	$node->safe_psql('postgres', <<"SQL");
CREATE FUNCTION fault_arm(kind text, callers text, nth bigint, and_later boolean)
	RETURNS void LANGUAGE c AS '$library';
CREATE FUNCTION fault_disarm() RETURNS bigint LANGUAGE c AS '$library';
CREATE FUNCTION fault_openssl_error() RETURNS text LANGUAGE c AS '$library';
CREATE FUNCTION fault_limit(resource text, bytes bigint)
	RETURNS void LANGUAGE c AS '$library';
CREATE FUNCTION fault_openssl_properties(properties text)
	RETURNS void LANGUAGE c AS '$library';
SQL
	return;
}

# connect_to opens a connection, as a DBI handle that reports errors by return
# values only. %how may name options for the startup packet and a database.
sub connect_to
{
	my ($node, %how) = @_;
	local %ENV = (%ENV, psql_env($node, $how{options}, $how{database}));
	return DBI->connect(
		'dbi:Pg:', '', '',
		{
			AutoCommit => 1, RaiseError => 0, PrintError => 0,
			PrintWarn => 0, pg_server_prepare => 0
		}) // die "connect: $DBI::errstr";
}

# outcome executes one statement and returns its SQLSTATE, '' for success, the
# first column of its first row, and the error's text.
sub outcome
{
	my ($connection, $sql, @parameters) = @_;
	my $statement = $connection->prepare($sql);
	return ($connection->state || 'XXXXX', undef, $connection->errstr)
	  unless $statement && $statement->execute(@parameters);
	my $row = $statement->{NUM_OF_FIELDS} ? $statement->fetchrow_arrayref : undef;
	my $value = defined $row ? $row->[0] : undef;
	$statement->finish;
	return ('', $value, '');
}

# value_of is the value of a statement that must succeed.
sub value_of
{
	my ($connection, $sql, @parameters) = @_;
	my ($state, $value, $message) = outcome($connection, $sql, @parameters);
	die "a statement of the test itself fails: $state $message" if $state ne '';
	return $value;
}

# memory_of returns, in kB, the memory of a connection's process as the
# operating system counts it, and the size of its memory contexts as PostgreSQL
# counts it.
sub memory_of
{
	my ($connection) = @_;
	my $contexts = value_of($connection,
		'SELECT sum(total_bytes) / 1024 FROM pg_backend_memory_contexts');
	my $status = slurp("/proc/$connection->{pg_pid}/status");
	my %memory = (contexts => int $contexts);
	foreach my $field (qw(RssAnon VmData))
	{
		($memory{$field}) = $status =~ /^$field:\s+(\d+) kB/m;
	}
	return \%memory;
}

# held_after says what a call left in the session of a connection: an error in
# OpenSSL's queue, or a lock on a table or a job. Empty if nothing.
sub held_after
{
	my ($connection) = @_;
	return value_of($connection, <<'SQL') // '';
SELECT string_agg(what, ', ') FROM (
	SELECT fault_openssl_error()
	UNION ALL SELECT locktype || ' lock' FROM pg_locks
	WHERE pid = pg_backend_pid()
		AND (locktype NOT IN ('relation', 'virtualxid') OR relation >= 16384)
) AS held(what)
SQL
}

# no_crash tests by its log that no process of a server has crashed.
sub no_crash
{
	my ($node) = @_;
	my $logs = server_logs($node);
	my @bad = $$logs =~
	  /(.*(?:PANIC|TRAP|terminated by signal|\bleak\b|reinitializing|server process .* exited).*)/g;
	Test::More::is(scalar @bad, 0, 'no process of the server has crashed');
	tell($_) foreach @bad[ 0 .. ($#bad < 4 ? $#bad : 4) ];
	return;
}

1;
