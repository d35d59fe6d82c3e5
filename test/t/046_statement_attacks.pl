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
# From PostgreSQL 16 on auto_explain shows the parameters beside the plan.
my $version = $node->safe_psql('postgres', 'SHOW server_version_num');
my ($ok, $out) = run_bound($node, $script, \%keys,
	'-c auto_explain.log_min_duration=0 -c auto_explain.log_verbose=on'
	  . ($version >= 160000 ? ' -c auto_explain.log_parameter_max_length=0' : ''));
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

# A setting of ours that holds no key may be given one by mistake.
my @mistaken = map { new_key() } 1 .. 6;
my @told = (
	session($node, "SET fernet.log = '$mistaken[0]'"),
	session($node, "SELECT set_config('fernet.log', '$mistaken[1]', false)\\; SELECT 1"),
	session($node, "ALTER SYSTEM SET fernet.log = '$mistaken[2]'"),
	session($node, "ALTER ROLE CURRENT_USER SET fernet.log = '$mistaken[3]'"),
	session($node, "SELECT set_config('fernet.kye', '$mistaken[4]', false)"),
	session($node, 'SELECT 1', options => "-c fernet.log=$mistaken[5]"));
my $told = join "\n", @told;
is(scalar(() = $told =~ /(?:ERROR|WARNING|FATAL): /g), scalar(@mistaken), 'each is refused');
is(scalar(grep { forms_found_in($_, \$told) } @mistaken), 0, 'no message quotes the value');
is(keys_logged(@mistaken), 0, 'nor does the log');

# The text of a statement that fails is in the log, but for what is overwritten.
# Each way to write a key returns an expression, and what in it gives the key
# away.
sub escaped
{
	my ($format, $prefix, $key) = @_;
	my $text = $key =~ s/(.)/sprintf $format, ord $1/ger;
	return ("$prefix'$text'", $text);
}

sub in_pieces
{
	my ($join, $key) = @_;
	my @pieces = (substr($key, 0, 20), substr($key, 20));
	return ("'" . join($join, @pieces) . "'", @pieces);
}
my @spellings = (
	[ q(as it is), sub { ("'$_[0]'", $_[0]) }, sub { ("\$k\$$_[0]\$k\$", $_[0]) } ],
	[
		q(with escapes: `E'\x..'`, `U&'\00..'`),
		sub { escaped('\x%02x', 'E', @_) },
		sub { escaped('\%03o', 'E', @_) },
		sub { escaped('\%04x', 'U&', @_) }
	],
	[
		q(in pieces: `'..' || '..'`, or on two lines),
		sub { in_pieces(q(' || '), @_) },
		sub { in_pieces("'\n  '", @_) }
	],
	[
		q(as another text: `decode('..', 'hex')`),
		sub { my $text = unpack('H*', $_[0]); ("convert_from(decode('$text', 'hex'), 'UTF8')", $text) }
	]);
my @errors = (
	[ 'an error in the next statement of the string', "SELECT %s\\; SELECT 1/0;" ],
	[ 'an error in `DO` after it', "DO \$do\$BEGIN PERFORM %s; PERFORM 1/0; END\$do\$;" ],
	[ 'a statement that is refused', "SELECT %s, no_such_column;" ],
	[ 'a query in `DO` that is refused', "DO \$do\$BEGIN PERFORM %s, no_such_column; END\$do\$;" ]);
my ($attempts, @rows) = ('');
foreach my $spelling (@spellings)
{
	my ($words, @ways) = @$spelling;
	push @rows, [ $words, map { [] } @errors ];
	foreach my $i (0 .. $#errors)
	{
		foreach my $way (@ways)
		{
			my ($value, @traces) = $way->(new_key());
			$attempts .= sprintf "$errors[$i][1]\n", "set_config('fernet.key', $value, false)";
			push @{ $rows[-1][ $i + 1 ] }, @traces;
		}
	}
}
(undef, $err) = session($node, $attempts);
is(scalar(() = $err =~ /^ERROR: /mg), scalar(() = $attempts =~ /set_config/g), 'each fails');
my $log = ${ server_logs($node) };
my $table = '| how the key is written | ' . join(' | ', map { $_->[0] } @errors) . " |\n"
  . '|---|' . '---|' x @errors . "\n";
foreach my $row (@rows)
{
	my ($words, @cells) = @$row;
	$table .= "| $words | " . join(' | ',
		map { (grep { index($log, $_) >= 0 } @$_) ? '**yes**' : 'no' } @cells) . " |\n";
}
my ($on_page) = slurp('docs/keys.md') =~ /<!-- spelling table -->\n(.*?)<!-- end of spelling table -->/s;
is($on_page, $table, 'docs/keys.md has this table between its "spelling table" comments');

# A bound key is in the context of an error of the same statement, where the
# server is told to log parameters with errors; and in no other's.
my @bound = (new_key(), new_key());
run_bound(
	$node, "SELECT set_config('fernet.key', :key$_->[0], false)$_->[1];",
	{ 'key0' => $bound[0], 'key1' => $bound[1], 'zero' => 0 },
	'-c log_parameter_max_length_on_error=-1')
  foreach [ 0, ', 1/(g - 1 - :zero::integer) FROM generate_series(1, 2) AS g' ], [ 1, ";\nSELECT 1/:zero::integer" ];
is(keys_logged($bound[0]), 1, 'a bound key is logged with an error of its statement, if parameters are');
is(keys_logged($bound[1]), 0, 'not with an error of the next');

# The message of a literal without its end quotes the rest of the statement.
my $open = new_key();
{
	local %ENV = (%ENV, psql_env($node, ''));
	IPC::Run::run([ 'psql', '-Xc', "SET fernet.key = '$open" ], '>', \my $said, '2>&1');
}
$log = ${ server_logs($node) };
ok($log !~ /STATEMENT: .*\Q$open\E/, 'a literal without its end is not in the statement');
ok($log =~ /ERROR: .*at or near "'\Q$open\E/, 'but in the message');

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
