# Each role that could dump the database before CREATE EXTENSION can do so after
# it: a superuser, the owner of the database, and a member of pg_read_all_data;
# with the extension installed by a superuser and by the owner. The dumps can be
# restored, and data can be restored into a database that has rotated.

use strict;
use warnings;

use FernetTest qw(:DEFAULT same session);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($old, $new) = (new_key(), new_key());
my $both = "-c fernet.key=$new,$old -c client_min_messages=error";

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "log_statement = none\nfsync = off\n");
$node->start;
my $superuser = $ENV{PGUSER} // getpwuid($<);

# ask runs $sql. No error is expected.
sub ask
{
	my ($sql, %how) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err) = session($node, $sql, %how);
	same($err, '', 'no error') if $err ne '';
	return $out;
}

# runs tests that a client of $user succeeds without a word.
sub runs
{
	my ($name, $user, @command) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	local %ENV = (%ENV, psql_env($node, '', 'postgres'), PGUSER => $user);
	my $output = '';
	my $ok = IPC::Run::run(\@command, '>', \$output, '2>&1');
	return same($ok ? $output : "failed: $output", '', $name);
}

ask(<<'SQL');
CREATE ROLE owner LOGIN;
CREATE ROLE reader LOGIN IN ROLE pg_read_all_data;
CREATE ROLE anyone LOGIN;
SQL
my $folder = PostgreSQL::Test::Utils::tempdir();
my $table = <<'SQL';
CREATE TABLE secret (id integer PRIMARY KEY, token text);
INSERT INTO secret VALUES (1, 'one'), (2, 'two');
SQL
my $rows = 'SELECT string_agg(id || token, chr(44) ORDER BY id) FROM secret';
my $rotate = "CALL fernet_rotate_column('secret', 'token')";
my %kinds = (
	all => [],
	schema => [ '-n', 'public' ],
	table => [ '-t', 'secret' ],
	data => ['--data-only']);

# script_of is the SQL of the archive $dump, with a word for each token.
sub script_of
{
	my ($dump) = @_;
	my ($script) = run_command([ 'pg_restore', '-f', '-', $dump ]);
	$script =~ s/^\\(?:un)?restrict .*$//mg;
	$script =~ s/gAAAAA[\w=-]+/TOKEN/g;
	return $script;
}

# restored restores the dumps of one role, $dump.KIND, as $restorer, and tests
# that $expected is there again.
my $databases = 0;

sub restored
{
	my ($of, $dump, $restorer, $expected) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	# Everything, in one transaction, by whoever may create the extension.
	my $all = 'all' . ++$databases;
	ask("CREATE DATABASE $all OWNER owner");
	runs("$of: pg_restore -1", $restorer,
		'pg_restore', '-1', '-e', '-d', $all, "$dump.all");
	same(ask($rows, database => $all), $expected, "$of: it has the tokens");
	ask($rotate, database => $all, user => 'owner', options => $both);
	same(ask('SELECT id, state FROM fernet_rotation', database => $all),
		'1|done', "$of: and a ledger of its own");

	# Its data, into a database that has rotated.
	ask('TRUNCATE secret', database => $all);
	runs("$of: pg_restore of data", $restorer,
		'pg_restore', '-1', '-e', '-d', $all, "$dump.data");
	same(ask($rows, database => $all), $expected, "$of: it has the tokens again");

	# A table, into a database without the extension.
	my $single = "table$databases";
	ask("CREATE DATABASE $single OWNER owner");
	runs("$of: pg_restore of a table", $restorer,
		'pg_restore', '-1', '-e', '-d', $single, "$dump.table");
	same(ask($rows, database => $single), $expected, "$of: the table is there");

	# A schema, which the dump creates.
	ask('DROP TABLE secret; DROP SCHEMA public', database => $single);
	runs("$of: pg_restore of a schema", $superuser,
		'pg_restore', '-1', '-e', '-d', $single, "$dump.schema");
	return;
}

my %restored;    # restorer and script => who has made the dump
foreach my $installer ($superuser, 'owner')
{
	my $who = $installer eq 'owner' ? 'owner' : 'superuser';
	my $app = "app_$who";
	ask("CREATE DATABASE $app OWNER owner");
	ask($table, database => $app, user => 'owner');
	runs("dumped by $_ before it is installed by the $who", $_, 'pg_dump', '-f', "$folder/before", $app)
	  foreach 'owner', 'reader';
	ask('CREATE EXTENSION pg_fernet', database => $app, user => $installer);
	ask('UPDATE secret SET token = fernet_encrypt(token)',
		database => $app, user => 'owner', options => "-c fernet.key=$old");
	ask($rotate, database => $app, user => $_, options => $both) foreach 'owner', $superuser;
	my $expected = ask($rows, database => $app);

	foreach my $user ($superuser, 'owner', 'reader')
	{
		my $role = $user =~ /^(?:owner|reader)$/ ? $user : 'superuser';
		my $of = "installed by the $who, dumped by the $role";
		my $dump = "$folder/$who.$role";
		my $scripts = '';
		foreach my $kind (sort keys %kinds)
		{
			my @options = @{ $kinds{$kind} };
			runs("$of: pg_dump @options", $user,
				'pg_dump', '-Fc', @options, '-f', "$dump.$kind", $app);
			my $script = script_of("$dump.$kind");
			unlike($script, qr/fernet_(?:rotation|ledger)/, "$of: nothing of the ledger is in it");
			$scripts .= $script;
		}
		# What is the same needs not be restored twice.
		my $restorer = $user eq 'reader' ? $superuser : $user;
		my $known = $restored{"$restorer $scripts"} //= $of;
		restored($of, $dump, $restorer, $expected) if $known eq $of;
		pass("$of: the same as $known") if $known ne $of;
	}

	my ($out, $err) =
	  session($node, 'SELECT * FROM fernet_ledger', database => $app, user => 'reader');
	# pg_read_all_data reads every relation, this one too.
	same($err, '', 'pg_read_all_data may read what lies behind the ledger');
	($out, $err) =
	  session($node, 'SELECT * FROM fernet_ledger', database => $app, user => 'anyone');
	like($err, qr/permission denied for materialized view fernet_ledger/,
		'and an ordinary role may not');
}

$node->stop;
done_testing();
