# What does fernet_doctor() say of places that were chosen to be missed?

use strict;
use warnings;

use FernetTest qw(:DEFAULT same session);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $key = new_key();
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "log_statement = none\nfsync = off\n");
$node->start;
session($node, <<'SQL');
CREATE ROLE attacker LOGIN;
CREATE DATABASE app;
GRANT CREATE ON DATABASE app TO attacker;
SQL
session($node, <<'SQL', database => 'app', user => 'attacker');
CREATE SCHEMA trap;
CREATE EXTENSION pg_fernet SCHEMA trap;
CREATE TABLE trap.secret (other text, token text, name text);
CREATE FUNCTION trap.fine() RETURNS trigger LANGUAGE plpgsql AS
	'BEGIN NEW.name := upper(NEW.name); RETURN NEW; END';
CREATE FUNCTION trap.trimmed() RETURNS trigger LANGUAGE plpgsql AS
	'BEGIN NEW.Token := btrim(NEW.token); RETURN NEW; END';
CREATE TRIGGER m_encrypt BEFORE INSERT OR UPDATE ON trap.secret FOR EACH ROW
	EXECUTE FUNCTION trap.fernet_encrypt_trigger('other', 'token');
SQL

# says tests what the doctor says of $item after $sql, in a transaction of its
# own, to $user.
sub says
{
	my ($item, $user, $sql, $status, $pattern, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err) = session($node, <<"SQL", database => 'app', user => $user);
\\set key '$key'
SET search_path = trap;
BEGIN;
$sql;
\\pset tuples_only on
\\pset format unaligned
SELECT 'said ' || status, detail, coalesce(hint, '') FROM fernet_doctor() WHERE item = '$item';
SQL
	same($err, '', "$name: no error") if $err ne '';
	my ($got, $text) = $out =~ /^said (\w+)\|(.*)$/m ? ($1, $2) : ('nothing', '');
	ok($text !~ /\Q$key\E/, "$name: no key");
	return same($text =~ $pattern ? $got : "$got, but it says: $text",
		$status, "$item, $name: $status");
}
my $superuser = $ENV{PGUSER} // getpwuid($<);

# Functions and views that the owner of the extension adds to it are not ours.
my $calls = 'captured calls';
says($calls, $superuser, 'SELECT', 'ok', qr/^Only the extension/, 'nothing');
says($calls, 'attacker', 'CREATE DOMAIN fernet_encrypt AS text', 'fail',
	qr/type (?:trap\.)?fernet_encrypt of role attacker\./, 'a type that takes calls');
says($calls, 'attacker', 'CREATE SCHEMA more; CREATE TYPE more.fernet_index AS ENUM ()', 'note',
	qr/type more\.fernet_index of role attacker\./, 'a type with a name of later');
says($calls, 'attacker', 'CREATE TABLE fernet_decrypt (a integer)', 'ok',
	qr/^Only the extension/, 'the type of a table, which takes no calls');
my $decoy = q{CREATE FUNCTION fernet_decrypt(varchar) RETURNS text LANGUAGE sql AS 'SELECT $1'};
says($calls, 'attacker', "$decoy; ALTER EXTENSION pg_fernet ADD FUNCTION fernet_decrypt(varchar)",
	'fail', qr/function trap\.fernet_decrypt\(character varying\) of role attacker\./, 'a member of the extension');
says($calls, 'attacker',
	'CREATE SCHEMA more; CREATE VIEW more.fernet_rotation AS SELECT 1; ALTER EXTENSION pg_fernet ADD VIEW more.fernet_rotation',
	'warn', qr/relation more\.fernet_rotation of role attacker\./, 'a view that is a member');

# Places of keys.
my $keys = 'stored key';
my @places = (
	[ 'view trap.held', "CREATE VIEW held AS SELECT :'key'::name AS n" ],
	[ 'the comment on schema public', "COMMENT ON SCHEMA public IS :'key'" ],
	[ 'type trap.held', "CREATE TYPE held AS ENUM ('a', :'key')" ],
	[
		'aggregate trap.held(text)',
		"CREATE AGGREGATE held(text) (sfunc = textcat, stype = text, initcond = :'key')"
	],
	[
		'column trap.held.b',
		"CREATE TABLE held (a integer); INSERT INTO held VALUES (1);"
		  . " ALTER TABLE held ADD b text DEFAULT :'key'; ALTER TABLE held ALTER b DROP DEFAULT"
	]);
says($keys, $superuser, 'SELECT', 'ok', qr/^No key was found/, 'nothing');
foreach my $place (@places)
{
	says($keys, $superuser, $place->[1], 'fail',
		qr/ is stored in \Q$place->[0]\E\.\|/, $place->[0]);
}

# Triggers that write after the encryption.
my $order = 'trigger order';
sub trigger
{
	my ($name, $function, $when) = @_;
	return "CREATE TRIGGER $name $when ON secret FOR EACH ROW EXECUTE FUNCTION $function()";
}
my $write = 'BEFORE INSERT OR UPDATE';
says($order, $superuser, 'SELECT', 'ok', qr/^No BEFORE trigger/, 'nothing');
says($order, $superuser, trigger('z_trim', 'trimmed', $write),
	'warn', qr/ is named by trigger z_trim on trap\.secret after m_encrypt\.\|Triggers fire in the order/, 'one that writes to the column');
says($order, 'attacker', trigger('"Ä"', 'trimmed', 'BEFORE UPDATE'),
	'warn', qr/trigger "Ä" on trap\.secret after m_encrypt\./, 'on UPDATE, to an ordinary role');
says($order, $superuser, trigger('z_fine', 'fine', $write),
	'note', qr/^.* No such column is named by trigger z_fine on trap\.secret after m_encrypt\./, 'one that does not');
says($order, $superuser, trigger('a_trim', 'trimmed', $write), 'ok', qr/^No BEFORE/, 'one before it');
says($order, $superuser, trigger('"Z_trim"', 'trimmed', $write), 'ok', qr/^No BEFORE/, 'a capital is before it');
says($order, $superuser, trigger('z_trim', 'trimmed', 'AFTER INSERT OR UPDATE'), 'ok', qr/^No BEFORE/, 'one after the row');
says($order, $superuser, trigger('z_trim', 'trimmed', 'BEFORE DELETE'), 'ok', qr/^No BEFORE/, 'one on DELETE');
says($order, $superuser,
	trigger('z_trim', 'trimmed', $write) . '; ALTER TABLE secret DISABLE TRIGGER z_trim',
	'ok', qr/^No BEFORE/, 'one that is disabled');
my $partitions = q{CREATE TABLE parted (id integer, token text, name text) PARTITION BY LIST (id);
CREATE TABLE part PARTITION OF parted FOR VALUES IN (1);
CREATE TRIGGER e BEFORE INSERT ON parted FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('token');};
says($order, $superuser,
	"$partitions CREATE TRIGGER z BEFORE INSERT ON parted FOR EACH ROW EXECUTE FUNCTION trimmed()",
	'warn', qr/ by trigger z on trap\.parted after e\.\|/, 'of a partitioned table');
says($order, $superuser,
	"$partitions CREATE TRIGGER z BEFORE INSERT ON part FOR EACH ROW EXECUTE FUNCTION trimmed()",
	'warn', qr/ by trigger z on trap\.part after e\.\|/, 'of a partition');

# What such a type does.
{
	my ($out) = session($node, <<"SQL", database => 'app', options => "-c fernet.key=$key");
SET search_path = trap;
BEGIN;
CREATE DOMAIN fernet_encrypt AS text CHECK (current_setting('is_superuser') = 'on');
SELECT fernet_encrypt('plain');
SQL
	same($out, 'plain', 'a type has taken the call, and run code of its owner');
}

# What such a trigger does.
{
	my ($out) = session($node, <<"SQL", database => 'app', options => "-c fernet.key=$key");
SET search_path = trap;
BEGIN;
${ \trigger('z', 'trimmed', $write) };
CREATE OR REPLACE FUNCTION trimmed() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.token := ''plain''; RETURN NEW; END';
INSERT INTO secret (token) VALUES ('plain');
SELECT token FROM secret;
SQL
	same($out, 'plain', 'a later trigger has stored a plaintext');
}

$node->stop;
done_testing();
