# What does fernet_doctor() find in the catalogs: functions of others that are
# called in place of ours, plaintexts that are kept, and keys? It waits for no
# lock on a table, runs nothing that a user has made, and tells no key.

use strict;
use warnings;

use FernetTest qw(:DEFAULT same session start_session finish_session);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $key = new_key();
my $superuser = $ENV{PGUSER} // getpwuid($<);
my $seen = '';    # all that clients were told

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', 'log_statement = none');
$node->append_conf('postgresql.conf', 'max_prepared_transactions = 0');
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE anyone LOGIN;
CREATE ROLE mallory LOGIN;
CREATE EXTENSION pg_fernet;
CREATE SCHEMA evil;
CREATE FUNCTION evil.helper() RETURNS integer LANGUAGE sql AS 'SELECT 1';
CREATE TABLE secrets (id integer, token text);
CREATE VIEW plain AS SELECT id, fernet_decrypt(token) AS plaintext FROM secrets;
CREATE RULE write AS ON INSERT TO plain DO INSTEAD
	INSERT INTO secrets VALUES (NEW.id, fernet_encrypt(NEW.plaintext));
CREATE VIEW plain_again AS SELECT * FROM plain;
CREATE FUNCTION fine(text) RETURNS text STABLE LANGUAGE sql AS 'SELECT fernet_decrypt($1)';
CREATE INDEX fine ON secrets (fernet_is_token(token));
SQL
my $has_wrapper = !!$node->safe_psql('postgres',
	q{SELECT 1 FROM pg_available_extensions WHERE name = 'postgres_fdw'});

# says tests what the doctor says of $item in a session that runs $sql in a
# transaction of its own. %how is as for session; in $sql, :key is $key.
sub says
{
	my ($item, $sql, $status, $pattern, $name, %how) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err) = session($node, <<"SQL", %how);
\\set key '$key'
BEGIN;
$sql;
SELECT extnamespace::regnamespace AS home FROM pg_extension WHERE extname = 'pg_fernet' \\gset
\\pset tuples_only on
\\pset format unaligned
SELECT 'said ' || status, detail, coalesce(hint, '')
FROM :home.fernet_doctor() WHERE item = '$item';
SQL
	$seen .= "$out\n$err\n";
	same($err, '', "$name: no error") if $err ne '';
	my ($got, $text) = $out =~ /^said (\w+)\|(.*)$/m ? ($1, $2) : ('nothing', '');
	return same($text =~ $pattern ? $got : "$got, but it says: $text",
		$status, "$item, $name: $status");
}

# ---------------------------------------------------------------------------
# Functions of others that are called in place of ours

# The attack: for literals, a function with arguments of type text is the better
# one, wherever it is on the path.
{
	my ($out) = session($node, <<'SQL');
SET client_min_messages = notice;
BEGIN;
CREATE PROCEDURE evil.fernet_rotate_column(text, text) LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'captured'; END$$;
CREATE FUNCTION evil.fernet_decrypt(varchar) RETURNS text LANGUAGE sql AS $$SELECT 'captured'$$;
SET LOCAL search_path = public, evil;
SELECT fernet_decrypt('x'::varchar);
SQL
	same($out, 'captured', 'an overload of others is called in place of ours');
}
my $captures = 'captured calls';
says($captures, 'SELECT', 'ok', qr/^Only the extension/, 'nothing');
says($captures, 'CREATE PROCEDURE public.fernet_rotate_column(text, text) LANGUAGE sql AS $$SELECT 1$$',
	'fail', qr/with the caller's rights and key: procedure public\.fernet_rotate_column\(text,text\) of role \Q$superuser\E\..*\|Drop or rename it/, 'on the path');
says($captures, 'CREATE FUNCTION evil.fernet_decrypt(varchar) RETURNS text LANGUAGE sql AS $$SELECT $1$$',
	'warn', qr/sessions with another search_path.*: function evil\.fernet_decrypt\(character varying\) of role \Q$superuser\E\./, 'elsewhere');
says($captures, 'CREATE FUNCTION evil.fernet_decrypt(varchar) RETURNS text LANGUAGE sql AS $$SELECT $1$$; ALTER FUNCTION evil.fernet_decrypt(varchar) OWNER TO mallory; SET LOCAL search_path = public, evil',
	'fail', qr/function evil\.fernet_decrypt\(character varying\) of role mallory\./, 'on the path of this session');
says($captures, 'CREATE FUNCTION fernet_of_ours() RETURNS int LANGUAGE sql AS $$SELECT 1$$',
	'note', qr/of a later version, .*: function public\.fernet_of_ours\(\)/, 'a name that the extension has not');
says($captures, 'CREATE VIEW evil.fernet_rotation AS SELECT evil.helper(); SET LOCAL search_path = evil, public',
	'fail', qr/relation evil\.fernet_rotation of role \Q$superuser\E/, 'a view');
says($captures, 'SET client_min_messages = warning; DROP EXTENSION pg_fernet CASCADE; CREATE SCHEMA crypto; CREATE EXTENSION pg_fernet SCHEMA crypto; SET search_path = crypto',
	'ok', qr/^Only the extension/, 'in a schema of its own');

my $path = 'search path';
says($path, 'SELECT', 'ok', qr/^Only owners and superusers/, 'as it is by default');
says($path, 'GRANT CREATE ON SCHEMA public TO PUBLIC', 'fail', qr/key, in schema public \(PUBLIC\)\.\|REVOKE CREATE ON SCHEMA/, 'to everybody');
says($path, 'GRANT CREATE ON SCHEMA public TO mallory, anyone; GRANT CREATE ON SCHEMA evil TO PUBLIC', 'warn', qr/in schema public \(anyone, mallory\)\./, 'to some');
says($path, 'GRANT CREATE ON SCHEMA evil TO mallory; SET LOCAL search_path = "$user", evil, nowhere, public', 'warn', qr/in schema evil \(mallory\)\./, 'on the path of this session');
says($path, 'GRANT CREATE ON SCHEMA public TO mallory; SET LOCAL search_path = evil', 'warn', qr/in schema public \(mallory\)\./, 'in the schema of the extension');
says($path, 'ALTER ROLE mallory SUPERUSER; GRANT CREATE ON SCHEMA public TO mallory', 'ok', qr/^Only owners and superusers/, 'to a superuser');

# ---------------------------------------------------------------------------
# Plaintexts that are kept

my $plain = 'stored plaintext';
says($plain, 'SELECT', 'ok', qr/^No index/, 'views, a STABLE function, a rule that encrypts');

says($plain, q{CREATE FUNCTION peek() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.id := length(public.fernet_decrypt(NEW.token)); RETURN NEW; END';
CREATE TRIGGER peeks BEFORE INSERT ON secrets FOR EACH ROW EXECUTE FUNCTION peek()},
	'note', qr/^Triggers decrypt, and may store what they decrypt: trigger peeks on public\.secrets\.\|Look at/, 'a trigger that decrypts');

# keeps tests that what $sql makes is found, and that just it is.
sub keeps
{
	my ($sql, @places) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $places = join ', ', @places;
	return says($plain, $sql, 'fail',
		qr/^Decrypted values are stored, or may be, by \Q$places\E\.\|Drop it/, $places);
}
my $reveal = q{CREATE FUNCTION reveal(text) RETURNS text STABLE LANGUAGE plpgsql AS 'BEGIN RETURN public.fernet_decrypt($1); END'};
my $open = 'CREATE FUNCTION open(text) RETURNS text IMMUTABLE RETURN fernet_decrypt($1)';
my $opened = 'function public.open(text)';
keeps('CREATE STATISTICS kept ON (fernet_decrypt(token)) FROM secrets', 'statistics public.kept');
keeps('CREATE STATISTICS kept ON id, (length(fernet_try_decrypt(token))) FROM secrets', 'statistics public.kept');
keeps('CREATE MATERIALIZED VIEW kept AS SELECT * FROM plain WITH NO DATA', 'materialized view public.kept');
keeps('CREATE MATERIALIZED VIEW kept AS SELECT * FROM plain_again WITH NO DATA; CREATE VIEW v AS SELECT * FROM kept; CREATE MATERIALIZED VIEW more AS SELECT * FROM v WITH NO DATA',
	'materialized view public.kept', 'materialized view public.more');
keeps("$reveal; CREATE MATERIALIZED VIEW kept AS SELECT reveal(token) FROM secrets WITH NO DATA", 'materialized view public.kept');
keeps('CREATE FUNCTION q() RETURNS SETOF text STABLE BEGIN ATOMIC SELECT plaintext FROM plain_again; END; CREATE MATERIALIZED VIEW kept AS SELECT q() WITH NO DATA', 'materialized view public.kept');
keeps("$open; CREATE FUNCTION through(text) RETURNS text IMMUTABLE RETURN open(\$1)", $opened, 'function public.through(text)');
keeps("$open; CREATE INDEX kept ON secrets (open(token))", $opened, 'index public.kept');
keeps("$open; CREATE INDEX kept ON secrets (id) WHERE open(token) = 'a'", $opened, 'index public.kept');
keeps("$open; CREATE OPERATOR !! (RIGHTARG = text, FUNCTION = open); CREATE INDEX kept ON secrets ((!! token))", $opened, 'index public.kept');
keeps("$open; CREATE TABLE kept (token text, a int, plain text GENERATED ALWAYS AS (open(token)) STORED)", $opened, 'generated column public.kept.plain');
keeps("$open; CREATE TABLE kept (token text) PARTITION BY LIST (open(token)); CREATE MATERIALIZED VIEW over AS SELECT * FROM kept", $opened, 'the partition key of public.kept');
keeps("CREATE TABLE kept (a int, b text DEFAULT fernet_decrypt('x'))", 'the default of public.kept.b');
keeps('CREATE TABLE log (a text); CREATE RULE keep AS ON INSERT TO secrets DO ALSO INSERT INTO log VALUES (fernet_decrypt(NEW.token))', 'rule keep of public.secrets');
keeps('CREATE TABLE log (a text); CREATE RULE keep AS ON INSERT TO secrets DO ALSO INSERT INTO log SELECT plaintext FROM plain', 'rule keep of public.secrets');
says($plain, "CREATE FUNCTION typed(plain) RETURNS integer IMMUTABLE LANGUAGE sql AS 'SELECT 1'",
	'ok', qr/^No index/, 'what has only the type of a view');
says($plain, "$open; DROP FUNCTION open; CREATE MATERIALIZED VIEW m AS SELECT token, fernet_is_token(token) FROM secrets",
	'ok', qr/^No index/, 'what keeps tokens');

# ---------------------------------------------------------------------------
# Keys

my $stored = 'stored key';

# stores tests that the key is found in $place, by its name.
sub stores
{
	my ($sql, $place, %how) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return says($stored, $sql, 'fail',
		qr/^A key, or a text that looks like one, is stored in \Q$place\E\..*\|Remove it there, and rotate to a new key/, $place, %how);
}
says($stored, 'SELECT', 'ok', qr/^No key was found/, 'nothing');
my $execute = 'SELECT format(%s) \gexec' . "\nSELECT";
stores(sprintf($execute, q{'CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS %L', 'BEGIN RETURN set_config(''fernet.key'', ''' || :'key' || ''', false); END'}),
	'function public.f()');
stores(q{CREATE FUNCTION f() RETURNS text RETURN set_config('fernet.key', :'key', false)}, 'function public.f()');
stores(q{CREATE FUNCTION f(a text DEFAULT :'key') RETURNS int LANGUAGE sql AS 'SELECT 1'}, 'function public.f(text)');
stores(q{CREATE FUNCTION f() RETURNS int LANGUAGE sql SET app.key = :'key' AS 'SELECT 1'}, 'function public.f()');
stores(q{ALTER DATABASE postgres SET app.fernet_key = :'key'}, 'the settings of database postgres');
stores(q{ALTER ROLE anyone IN DATABASE postgres SET app.a = :'key'}, 'the settings of role anyone in database postgres');
stores(q{CREATE VIEW v AS SELECT :'key'::text}, 'view public.v');
stores(q{CREATE VIEW v AS WITH c AS (SELECT a FROM (SELECT ARRAY[:'key'::text] AS a) AS s) SELECT * FROM c}, 'view public.v');
stores(q{CREATE MATERIALIZED VIEW v AS SELECT :'key'::varchar WITH NO DATA}, 'view public.v');
stores(q{CREATE RULE r AS ON DELETE TO secrets DO ALSO UPDATE secrets SET token = :'key'}, 'rule r of public.secrets');
stores(q{ALTER TABLE secrets ALTER token SET DEFAULT :'key'}, 'column public.secrets.token');
stores(q{ALTER TABLE secrets ADD CONSTRAINT c CHECK (token <> :'key')}, 'constraint c');
stores(q{CREATE DOMAIN d AS text DEFAULT :'key'}, 'domain public.d');
stores(q{CREATE INDEX i ON secrets ((token || :'key'))}, 'index public.i');
stores(q{CREATE INDEX i ON secrets (id) WHERE token = :'key'}, 'index public.i');
stores(q{CREATE STATISTICS s ON (token || :'key') FROM secrets}, 'statistics s');
stores(q{CREATE POLICY p ON secrets USING (token = :'key')}, 'policy p on public.secrets');
stores(q{CREATE TABLE t (a text) PARTITION BY LIST (a); CREATE TABLE p PARTITION OF t FOR VALUES IN (:'key')}, 'partition public.p');
stores(q{SET client_min_messages = error; CREATE PUBLICATION p FOR TABLE secrets WHERE (token = :'key')}, 'the publication of public.secrets');
my $trigger = q{CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER t BEFORE INSERT ON secrets FOR EACH ROW };
stores($trigger . q{EXECUTE FUNCTION t('a', :'key', 'b')}, 'trigger t on public.secrets');
stores($trigger . q{WHEN (NEW.token = :'key') EXECUTE FUNCTION t()}, 'trigger t on public.secrets');
stores(q{COMMENT ON TABLE secrets IS :'key'}, 'the comment on table public.secrets');
stores(q{COMMENT ON ROLE anyone IS :'key'}, 'the comment on role anyone');
stores(q{CREATE FOREIGN DATA WRAPPER w OPTIONS (a :'key')}, 'foreign data wrapper w');
my $server = 'CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w';
stores(sprintf($execute, qq{'$server OPTIONS (options %L)', '-c fernet.key=' || :'key'}), 'server s');
stores("$server; CREATE FOREIGN TABLE t (a int) SERVER s OPTIONS (a :'key')", 'foreign table public.t');
stores("$server; CREATE FOREIGN TABLE t (a int OPTIONS (a :'key')) SERVER s", 'column public.t.a');
stores("$server; CREATE USER MAPPING FOR mallory SERVER s OPTIONS (a :'key')", 'the user mapping of mallory for server s');
stores("$server; CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (a :'key')", 'the user mapping of PUBLIC for server s');
{
	my $create = q{SELECT format('CREATE SUBSCRIPTION s CONNECTION %L PUBLICATION p WITH (connect = false, slot_name = none)', 'host=nowhere options=''-c fernet.key=' || :'key' || '''') \gexec};
	stores("SET client_min_messages = error;\n$create\nSELECT", 'subscription s');
}

# what only looks like one
(my $almost = $key) =~ s/^./a_/;
says($stored, "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS \$\$SELECT 'a_name_of_43_characters_that_is_no_key_at_8 $almost'\$\$", 'ok', qr/^No key was found/, 'a name, and what is too long');

# An ordinary role is told what it may not read, and only then.
my %anyone = (user => 'anyone');
says($stored, 'SELECT', 'note', qr/^No key was found in the places that this role may read\. This role may not read configuration files\.\|Call/, 'to an ordinary role', %anyone);
{
	my $as = 'SET LOCAL SESSION AUTHORIZATION anyone';
	says($stored, "$server; CREATE USER MAPPING FOR mallory SERVER s OPTIONS (a :'key'); CREATE USER MAPPING FOR anyone SERVER s; $as",
		'note', qr/may not read the user mapping of mallory for server s, the user mapping of anyone for server s, configuration files\./, 'user mappings of others');
	says($stored, "$server; GRANT USAGE ON FOREIGN SERVER s TO anyone; CREATE USER MAPPING FOR anyone SERVER s; $as",
		'note', qr/may not read configuration files\./, 'an empty user mapping of its own');
	says($stored, "$server; GRANT USAGE ON FOREIGN SERVER s TO anyone; CREATE USER MAPPING FOR anyone SERVER s OPTIONS (a :'key'); $as",
		'fail', qr/is stored in the user mapping of anyone for server s\. This role may not read configuration files\./, 'a user mapping of its own');
	says($stored, "SET client_min_messages = error; CREATE SUBSCRIPTION s CONNECTION 'host=nowhere' PUBLICATION p WITH (connect = false, slot_name = none); $as",
		'note', qr/may not read configuration files, subscriptions\./, 'subscriptions');
	says($stored, "GRANT EXECUTE ON FUNCTION pg_show_all_file_settings() TO anyone; GRANT SELECT ON pg_file_settings TO anyone; $as",
		'ok', qr/^No key was found/, 'all granted');
	# whatever a careful administrator has revoked
	foreach my $catalog (qw(pg_proc pg_foreign_server pg_user_mappings pg_db_role_setting pg_subscription pg_depend pg_extension pg_roles pg_namespace pg_rewrite pg_description))
	{
		my ($out, $err) = session($node,
			"BEGIN; REVOKE ALL ON pg_catalog.$catalog FROM PUBLIC; $as; SELECT count(*) FROM public.fernet_doctor();");
		same("$out$err", '22', "without the right to read $catalog it answers");
	}
}

# ---------------------------------------------------------------------------
# Locks, standing in for whatever else a table waits for

my $answer = q{SELECT count(*) FROM fernet_doctor() WHERE item ~ '^(captured|search|stored)'};
{
	$node->safe_psql('postgres', <<"SQL");
CREATE MATERIALIZED VIEW kept AS SELECT * FROM plain WITH NO DATA;
CREATE TABLE t (a text DEFAULT 'x', b int CHECK (b > 0)) PARTITION BY LIST (a);
CREATE TABLE p PARTITION OF t FOR VALUES IN ('a');
CREATE INDEX locked ON p ((a || b)) WHERE b > 1;
CREATE STATISTICS s ON (a || b) FROM p;
CREATE POLICY pol ON p USING (a = 'x');
CREATE FUNCTION body() RETURNS bigint RETURN (SELECT count(*) FROM t);
COMMENT ON TABLE t IS 'a'; COMMENT ON COLUMN t.a IS 'a'; COMMENT ON INDEX locked IS 'a';
COMMENT ON POLICY pol ON p IS 'a'; COMMENT ON STATISTICS s IS 'a'; COMMENT ON VIEW plain IS 'a';
COMMENT ON RULE "_RETURN" ON plain IS 'a'; COMMENT ON CONSTRAINT t_b_check ON t IS 'a';
COMMENT ON MATERIALIZED VIEW kept IS 'a'; COMMENT ON FUNCTION body() IS 'a';
SQL
	my $locker = start_session($node, <<'SQL', name => 'locker');
BEGIN;
LOCK TABLE secrets, t, p, plain, plain_again;
ALTER MATERIALIZED VIEW kept SET (autovacuum_enabled = false);
ALTER INDEX locked SET (fillfactor = 50);
SELECT pg_sleep(600)
SQL
	$node->poll_query_until('postgres',
		q{SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE application_name = 'locker'});
	my ($out, $err) = session($node, "SET lock_timeout = '100ms'; $answer; SELECT detail ~ 'materialized view public.kept' FROM fernet_doctor() WHERE item = 'stored plaintext';");
	same("$out$err", "4\nt", 'it waits for no lock on a table');
	$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'locker'});
	finish_session($locker);
}

# ---------------------------------------------------------------------------
# It runs nothing that a user has made, whatever its caller's search_path

{
	my ($out, $err) = session($node, <<"SQL");
CREATE FUNCTION evil.trap() RETURNS boolean LANGUAGE plpgsql AS \$\$BEGIN RAISE EXCEPTION 'trapped'; END\$\$;
CREATE FUNCTION evil.trap(name, text) RETURNS boolean LANGUAGE sql AS 'SELECT evil.trap()';
CREATE FUNCTION evil.trap("char", "char") RETURNS boolean LANGUAGE sql AS 'SELECT evil.trap()';
CREATE FUNCTION evil.trap(oid, oid) RETURNS boolean LANGUAGE sql AS 'SELECT evil.trap()';
CREATE OPERATOR evil.= (LEFTARG = name, RIGHTARG = text, FUNCTION = evil.trap);
CREATE OPERATOR evil.= (LEFTARG = "char", RIGHTARG = "char", FUNCTION = evil.trap);
CREATE OPERATOR evil.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = evil.trap);
CREATE FUNCTION evil.starts_with(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT evil.trap()';
CREATE FUNCTION evil.quote_ident(name) RETURNS text LANGUAGE sql AS 'SELECT evil.trap()::text';
CREATE TEMP VIEW pg_proc AS SELECT evil.trap() AS prosrc;
CREATE TEMP VIEW pg_roles AS SELECT evil.trap() AS rolname;
CREATE TEMP VIEW pg_depend AS SELECT evil.trap() AS classid;
CREATE DOMAIN pg_temp.text AS pg_catalog.text CHECK (evil.trap());
SET search_path = evil, pg_temp, pg_catalog, public;
SELECT pg_catalog.count(*) FROM public.fernet_doctor();
SHOW search_path;
SQL
	same("$out\n$err", "22\nevil, pg_temp, pg_catalog, public\n", 'nothing in front of pg_catalog is used');
	($out, $err) = session($node, <<'SQL', options => '-c search_path=pg_temp,public', %anyone);
BEGIN READ ONLY ISOLATION LEVEL SERIALIZABLE DEFERRABLE;
SELECT count(*) FROM fernet_doctor();
COMMIT;
SQL
	same("$out$err", '22', 'in a read-only transaction, with pg_temp in front and never made');
	($out, $err) = session($node, 'SET standard_conforming_strings = off; SET client_min_messages = error; SELECT count(*) FROM fernet_doctor()');
	same("$out$err", '22', 'with strings as they were long ago');
}

# ---------------------------------------------------------------------------
# No word of it all is a key

my @found = forms_found_in($key, \$seen);
same(join(', ', @found), '', 'no client was told a key');

done_testing();
