# A role that may create objects in a database installs the extension, which is
# trusted, and so owns it. It tries to get code of its own into the ledger, to be
# run by a superuser who rotates, with his rights and his key; and to read what
# others do. What it may do with the extension as a whole gains it nothing.

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

# ask runs $sql. No error is expected.
sub ask
{
	my ($sql, %how) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err) = session($node, $sql, database => 'app', %how);
	same($err, '', 'no error') if $err ne '';
	return $out;
}

session($node, <<'SQL');
CREATE ROLE attacker LOGIN;
CREATE ROLE installer SUPERUSER LOGIN;
CREATE DATABASE app;
GRANT CREATE ON DATABASE app TO attacker;
SQL
# The attacker's schema is the extension's, so that the attacker owns it as well.
ask(<<'SQL', user => 'attacker');
CREATE SCHEMA trap;
CREATE EXTENSION pg_fernet SCHEMA trap;
CREATE TABLE trap.caught (role name);
GRANT INSERT ON trap.caught TO PUBLIC;
CREATE FUNCTION trap.spring() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO trap.caught VALUES (current_user);
	PERFORM set_config('search_path', 'trap', false);
	RETURN NEW;
END $$;
CREATE FUNCTION trap.spring_too() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO trap.caught VALUES (current_user);
	PERFORM set_config('search_path', 'trap', false);
	RETURN true;
END $$;
SQL
ask(<<"SQL", options => "-c fernet.key=$old");
CREATE SCHEMA vault;
CREATE TABLE vault.secret AS SELECT trap.fernet_encrypt('x') AS token;
SQL

# What the attacker tries, with each relation of the ledger. Of no attempt is
# anything left: each is an error.
my @attempts = (
	'CREATE TRIGGER t BEFORE INSERT OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION trap.spring()',
	'CREATE TRIGGER t INSTEAD OF INSERT OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION trap.spring()',
	'CREATE CONSTRAINT TRIGGER t AFTER INSERT OR UPDATE ON %s DEFERRABLE INITIALLY DEFERRED'
	  . ' FOR EACH ROW EXECUTE FUNCTION trap.spring()',
	'CREATE RULE r AS ON UPDATE TO %s DO ALSO SELECT trap.spring_too()',
	'CREATE RULE r AS ON INSERT TO %s DO ALSO SELECT trap.spring_too()',
	'CREATE POLICY p ON %s USING (trap.spring_too())',
	'ALTER TABLE %s ENABLE ROW LEVEL SECURITY',
	'ALTER TABLE %s ADD CHECK (trap.spring_too())',
	'ALTER TABLE %s ADD COLUMN c boolean DEFAULT trap.spring_too()',
	'ALTER TABLE %s ALTER rotated SET DEFAULT trap.spring_too()::int',
	'ALTER TABLE %s DROP COLUMN state',
	'ALTER TABLE %s OWNER TO attacker',
	'ALTER TABLE %s RENAME TO other',
	'ALTER TABLE %s SET SCHEMA public',
	'CREATE INDEX ON %s ((trap.spring_too()))',
	'CREATE STATISTICS trap.s ON rotated, failed FROM %s',
	'CREATE TABLE trap.child () INHERITS (%s)',
	'CREATE PUBLICATION p FOR TABLE %s',
	'CREATE OR REPLACE VIEW %s AS SELECT trap.spring_too()',
	'DROP VIEW %s', 'DROP MATERIALIZED VIEW %s',
	'ALTER EXTENSION pg_fernet DROP VIEW %s',
	'ALTER EXTENSION pg_fernet DROP MATERIALIZED VIEW %s',
	'REFRESH MATERIALIZED VIEW %s',
	'GRANT ALL ON %s TO attacker WITH GRANT OPTION; INSERT INTO %1$s DEFAULT VALUES',
	'LOCK TABLE %s IN ROW EXCLUSIVE MODE', 'DELETE FROM %s', 'TRUNCATE %s',
	'SELECT * FROM %s FOR UPDATE');
foreach my $relation (qw(fernet_rotation fernet_rotation_progress fernet_ledger))
{
	foreach my $attempt (@attempts)
	{
		my $sql = sprintf $attempt, "trap.$relation";
		my (undef, $err) = session($node, "SET client_min_messages = error; BEGIN; $sql",
			database => 'app', user => 'attacker');
		like($err, qr/^ERROR:/, "refused: $sql");
	}
}
foreach my $sql (
	'CREATE OR REPLACE FUNCTION trap.fernet_ledger_rows() RETURNS SETOF record LANGUAGE sql AS $$SELECT 1$$',
	'ALTER FUNCTION trap.fernet_ledger_rows() SECURITY DEFINER',
	'DROP FUNCTION trap.fernet_ledger_rows()',
	'ALTER EXTENSION pg_fernet DROP FUNCTION trap.fernet_ledger_rows()')
{
	my (undef, $err) = session($node, $sql, database => 'app', user => 'attacker');
	like($err, qr/^ERROR:/, "refused: $sql");
}

# The superuser rotates and reads.
my $work = <<'SQL';
SET search_path = "$user", vault;
CALL trap.fernet_rotate_column('vault.secret', 'token') \g /dev/null
SELECT state FROM trap.fernet_rotation ORDER BY id DESC LIMIT 1;
SELECT count(*) FROM trap.fernet_rotation_progress;
SHOW search_path;
SQL
same(ask($work, options => $both), qq(done\n0\n"\$user", vault), 'a superuser rotates, with nothing changed');
same(ask('SELECT count(*) FROM trap.caught'), '0', 'and no code of the attacker ran');
same(ask('SELECT count(*) FROM trap.fernet_rotation', user => 'attacker'),
	'0', 'the extension\'s owner does not see what others do');
same(ask('SELECT count(*) FROM trap.fernet_ledger_rows()', user => 'attacker'),
	'0', 'nor by the function behind it');

# What may be done to the extension as a whole: not move it, but drop it.
my (undef, $err) = session($node, <<'SQL', database => 'app', user => 'attacker');
CREATE SCHEMA other;
ALTER EXTENSION pg_fernet SET SCHEMA other;
SQL
like($err, qr/^ERROR:  42501: /, 'the extension is not moved');
ask('DROP EXTENSION pg_fernet', user => 'attacker');

# The log has the jobs, whoever owns the extension.
my $log = slurp($node->logfile);
my @lines = $log =~ /LOG:  fernet: (job \w+): rotate vault\.secret \(token\), slice 1 of 1, role \S+/g;
same(join(', ', @lines), 'job started, job done',
	'the server log has the start and the end of the job');
unlike($log, qr/STATEMENT:.*CALL/, 'without the statement');

$node->stop;
done_testing();
