# Keys in statements that were written to be missed, and statements that were
# written to keep a session busy with looking for keys.

use strict;
use warnings;

use FernetTest qw(:DEFAULT same session server_logs);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'auto_explain, pg_fernet'
log_statement = none
fsync = off
CONF
$node->start;
session($node, 'CREATE EXTENSION pg_fernet; CREATE TABLE sink (value text)');

# keys_logged counts those of @keys of which a form is in the log.
sub keys_logged
{
	my (@keys) = @_;
	my $logs = server_logs($node);
	return scalar grep { forms_found_in($_, $logs) } @keys;
}

# A key as a bind parameter of set_config, wherever the call stands in the
# statement: no plan has it, and auto_explain shows plans.
my $set = "set_config('fernet.key', :KEY, false)";
my @statements = (
	"SELECT $set",
	"SELECT length($set)",
	"SELECT coalesce($set, 'none')",
	"SELECT (SELECT $set)",
	"SELECT * FROM $set",
	"SELECT * FROM generate_series(1, 1) AS g, LATERAL $set",
	"WITH given AS MATERIALIZED (SELECT $set AS s) SELECT s FROM given",
	"SELECT 1 WHERE $set <> 'none'",
	"SELECT g FROM generate_series(1, 1) AS g WHERE $set <> g::text",
	"SELECT 1 ORDER BY $set",
	"SELECT 1 LIMIT length($set)",
	"SELECT set_config('fernet.key', k, false) FROM (SELECT :KEY::text) AS v(k)",
	"SELECT set_config('fernet.key', k, false) FROM (VALUES (:KEY::text), ('')) AS v(k)",
	"SELECT set_config('fernet' || '.key', :KEY, false)",
	"INSERT INTO sink SELECT $set",
	"INSERT INTO sink VALUES ('x') RETURNING $set",
	"UPDATE sink SET value = $set",
	"MERGE INTO sink USING (SELECT $set AS s) AS given ON value = s"
	  . ' WHEN NOT MATCHED THEN INSERT VALUES (s)');
my %keys = map { ("key$_" => new_key()) } 0 .. $#statements;
my $script = '';
foreach my $i (0 .. $#statements)
{
	$script .= ($statements[$i] =~ s/:KEY/:key$i/gr) . ";\n";
}
my ($ok, $out) = run_bound($node, $script, \%keys,
	'-c auto_explain.log_min_duration=0 -c auto_explain.log_verbose=on');
ok($ok, 'each statement sets its key');
is(scalar(() = ${ server_logs($node) } =~ /Query Text:/g),
	scalar(@statements), 'auto_explain shows them');
same(
	join("\n",
		map { forms_found_in($keys{"key$_"}, server_logs($node)) ? $statements[$_] : () }
		  0 .. $#statements),
	'',
	'no plan shows a key');

# Keys without a comma between them are no less secret.
my @joined = map { new_key() } 1 .. 3;
my $run = join '', map { substr($_, 0, 43) } @joined;
my (undef, $err) =
  session($node, "SET fernet.key = '$run'\\; SELECT 1;\nSELECT set_config('fernet.key', '$run', false);");
is(scalar(() = $err =~ /PF002/g), 2, 'keys without a comma between them are refused');
session($node, "DO \$\$BEGIN PERFORM set_config('fernet.key', '$run', true);"
	  . " EXCEPTION WHEN SQLSTATE 'PF002' THEN RAISE 'an error that is logged'; END\$\$");
ok(${ server_logs($node) } =~ /STATEMENT: .*'\*{129}'/, 'asterisks are in the log in their place');
is(keys_logged(@joined), 0, 'and none of them');

# A line end ends an option of the connection. The server would log what comes
# after it, but for the comma before.
my @pair = (new_key(), new_key());
foreach my $between (",\n", ', ', ",\r\n", ",\t", ",\n\n")
{
	my ($status, undef, $said) = $node->psql('postgres', 'SELECT 1',
		connstr => $node->connstr('postgres')
		  . " options='-c fernet.key=" . join($between, @pair) . "'");
	isnt($status, 0, 'the connection is refused');
	like($said, qr/FATAL:  invalid Fernet key at position 2/, 'for its list of keys');
}
is(keys_logged(@pair), 0, 'no key of the list is in the log');

# To look at a function of many statements takes time for each of them. A
# session that is cancelled ends that. It is given minutes to do so.
my $many = "SELECT 'fernet.key'; " . 'SELECT 1; ' x 100_000;
my $timed_out = 0;
$node->psql(
	'postgres', "SET statement_timeout = '1s';"
	  . "CREATE FUNCTION many() RETURNS integer LANGUAGE sql AS \$\$$many\$\$",
	stderr => \$err,
	timeout => 60,
	timed_out => \$timed_out);
ok(!$timed_out, 'the session was not deaf');
like($err, qr/canceling statement due to statement timeout/, 'it was cancelled');

$node->stop($timed_out ? 'immediate' : 'fast');
done_testing();
