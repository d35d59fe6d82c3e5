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
my $table = <<"SQL";
CREATE TABLE secret (id integer PRIMARY KEY, token text);
INSERT INTO secret VALUES (1, fernet_encrypt('one')), (2, fernet_encrypt('two'));
SQL
my $rows = 'SELECT string_agg(id || token, chr(44) ORDER BY id) FROM secret';

# database makes one of "owner" with the extension, installed by $installer.
sub database
{
	my ($name, $installer) = @_;
	ask("CREATE DATABASE $name OWNER owner");
	ask('CREATE EXTENSION pg_fernet', database => $name, user => $installer);
	return;
}

foreach my $installer ($superuser, 'owner')
{
	my $who = $installer eq 'owner' ? 'owner' : 'superuser';
	my $app = "app_$who";
	database($app, $installer);
	ask($table, database => $app, user => 'owner', options => "-c fernet.key=$old");
	ask("CALL fernet_rotate_column('secret', 'token')",
		database => $app, user => $_, options => $both) foreach 'owner', $superuser;
	my $expected = ask($rows, database => $app);

	foreach my $user ($superuser, 'owner', 'reader')
	{
		my $role = $user =~ /^(?:owner|reader)$/ ? $user : 'superuser';
		my $of = "installed by the $who, dumped by the $role";
		my $dump = "$folder/$who.$role";
		runs("$of: pg_dump", $user, 'pg_dump', '-Fc', '-f', "$dump.all", $app);
		runs("$of: pg_dump -n", $user, 'pg_dump', '-Fc', '-n', 'public', '-f', "$dump.schema", $app);
		runs("$of: pg_dump -t", $user, 'pg_dump', '-Fc', '-t', 'secret', '-f', "$dump.table", $app);
		runs("$of: pg_dump --data-only", $user, 'pg_dump', '-Fc', '--data-only', '-f', "$dump.data", $app);

		# Everything, in one transaction, by whoever may create the extension.
		my $database = "all_${who}_$role";
		ask("CREATE DATABASE $database OWNER owner");
		my $restorer = $user eq 'reader' ? $superuser : $user;
		runs("$of: pg_restore -1", $restorer,
			'pg_restore', '-1', '-e', '-d', $database, "$dump.all");
		same(ask($rows, database => $database), $expected, "$of: it has the tokens");
		ask("CALL fernet_rotate_column('secret', 'token')",
			database => $database, user => 'owner', options => $both);
		same(ask('SELECT id, state FROM fernet_rotation', database => $database),
			'1|done', "$of: and a ledger of its own");

		# Its data, into a database that has rotated.
		ask('TRUNCATE secret', database => $database);
		runs("$of: pg_restore of data", $restorer,
			'pg_restore', '-1', '-e', '-d', $database, "$dump.data");
		same(ask($rows, database => $database), $expected, "$of: it has the tokens again");

		# A table, into a database without the extension.
		$database = "table_${who}_$role";
		ask("CREATE DATABASE $database OWNER owner");
		runs("$of: pg_restore of a table", $restorer,
			'pg_restore', '-1', '-e', '-d', $database, "$dump.table");
		same(ask($rows, database => $database), $expected, "$of: the table is there");
		# A schema, which the dump creates.
		ask('DROP TABLE secret; DROP SCHEMA public', database => $database);
		runs("$of: pg_restore of a schema", $superuser,
			'pg_restore', '-1', '-e', '-d', $database, "$dump.schema");
		ask("DROP DATABASE $_ WITH (FORCE)") foreach $database, "all_${who}_$role";
	}

	# As a script, into a new database.
	my $script = "$folder/$who.sql";
	runs("installed by the $who: pg_dump -n, as a script", 'owner',
		'pg_dump', '-n', 'public', '-f', $script, $app);
	unlike(slurp($script), qr/fernet_(?:rotation|ledger)/, 'it has nothing of the ledger');
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
