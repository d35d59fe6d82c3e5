--
-- Nothing that a search_path finds first is ever called in place of PostgreSQL's own
--
-- An attacker who may create objects in some schema makes one of the same name for
-- every function, operator, type and table of PostgreSQL and of pg_fernet. Each raises
-- an error and leaves a mark that no rollback takes back. All this is in databases of its
-- own, dropped at the end.
SET client_min_messages = warning;
\set database :DBNAME
\set old 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set keys 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=,a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
CREATE ROLE regress_fernet_attacker;
CREATE ROLE regress_fernet_user;

-- The attacker's work, in a schema "hostile", by a role of few rights.
SELECT $$
CREATE SEQUENCE hostile.mark;
GRANT ALL ON SEQUENCE hostile.mark TO PUBLIC;
CREATE FUNCTION hostile.alarm() RETURNS text LANGUAGE plpgsql AS $alarm$
BEGIN
	PERFORM pg_catalog.nextval('hostile.mark'::pg_catalog.regclass);
	RAISE EXCEPTION 'a hostile object was used';
END
$alarm$;
CREATE FUNCTION hostile.attack(schema text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $attack$
DECLARE
	body constant text := 'LANGUAGE plpgsql AS ''BEGIN PERFORM hostile.alarm(); END''';
	item record;
BEGIN
	-- Operators, those that PostgreSQL has, and those between types of which it has none.
	FOR item IN
		SELECT oprname AS operator, oprleft::regtype AS l, oprright::regtype AS r, oprresult::regtype AS result
		FROM pg_operator WHERE oprnamespace = 'pg_catalog'::regnamespace AND oprkind = 'b'
		UNION
		SELECT name, l, r, CASE WHEN name ~ '[<>=~]' THEN 'boolean'::regtype ELSE l END
		FROM unnest(ARRAY['=', '<>', '<', '>', '<=', '>=', '+', '-', '*', '/', '||', '~~', '~*']) AS name,
			unnest(ARRAY['bigint', 'integer', 'smallint', 'float8', 'numeric', 'oid', 'text', 'name', 'interval', 'timestamptz']::regtype[]) AS l,
			unnest(ARRAY['bigint', 'integer', 'smallint', 'float8', 'numeric', 'oid', 'text', 'name', 'interval', 'timestamptz']::regtype[]) AS r
		WHERE NOT EXISTS (SELECT FROM pg_operator WHERE (oprname, oprleft, oprright, oprnamespace) = (name, l, r, 'pg_catalog'::regnamespace))
	LOOP
		BEGIN
			EXECUTE format('CREATE FUNCTION %I.%I(%s, %s) RETURNS %s ' || body,
				schema, 'operator ' || item.operator, item.l, item.r, item.result);
			EXECUTE format('CREATE OPERATOR %I.%s (FUNCTION = %I.%I, LEFTARG = %s, RIGHTARG = %s)',
				schema, item.operator, schema, 'operator ' || item.operator, item.l, item.r);
		EXCEPTION WHEN feature_not_supported OR invalid_function_definition THEN
			-- of a pseudo-type
		END;
	END LOOP;
	-- Functions, of PostgreSQL and of pg_fernet; an aggregate's name as a function.
	FOR item IN
		SELECT proname, pg_get_function_identity_arguments(oid) AS arguments,
			CASE WHEN proretset THEN 'SETOF ' ELSE '' END || prorettype::regtype AS result
		FROM pg_proc WHERE pronamespace IN ('pg_catalog'::regnamespace, 'elsewhere'::regnamespace)
	LOOP
		BEGIN
			EXECUTE format('CREATE FUNCTION %I.%I(%s) RETURNS %s ' || body, schema, item.proname, item.arguments,
				CASE item.result WHEN 'void' THEN 'text' ELSE item.result END);
		EXCEPTION WHEN feature_not_supported OR invalid_function_definition OR duplicate_function
			OR syntax_error OR undefined_object THEN
			-- of a pseudo-type, or as the one before
		END;
	END LOOP;
	EXECUTE format('CREATE FUNCTION %I.count(anyelement) RETURNS bigint ' || body, schema);
	-- Tables and views.
	FOR item IN
		SELECT DISTINCT relname FROM pg_class
		WHERE relkind IN ('r', 'v') AND relnamespace IN ('pg_catalog'::regnamespace, 'elsewhere'::regnamespace)
	LOOP
		EXECUTE format('CREATE VIEW %I.%I AS SELECT hostile.alarm() AS alarm', schema, item.relname);
	END LOOP;
	-- Types whose values none can be, and a cast from one of them to another.
	FOR item IN
		SELECT typname FROM pg_type
		WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype = 'b' AND typelem = 0
	LOOP
		EXECUTE format('CREATE DOMAIN %I.%I AS pg_catalog.%I CHECK (hostile.alarm() IS NULL)',
			schema, item.typname, item.typname);
	END LOOP;
	EXECUTE format('CREATE TYPE %I.number AS (number integer)', schema);
	EXECUTE format('CREATE FUNCTION %I.cast(%I.number) RETURNS bigint ' || body, schema, schema);
	EXECUTE format('CREATE CAST (%I.number AS bigint) WITH FUNCTION %I.cast(%I.number) AS IMPLICIT',
		schema, schema, schema);
END
$attack$;
$$ AS prepare_attack \gset

-- All that pg_fernet has, called where the attacker's objects are found first; hence what
-- is not ours is qualified. :home is the extension's schema.
SELECT $$
SELECT relation, state, share, rate, time_left FROM :home.fernet_rotation_progress;
SET fernet.key = :'old';
CREATE TABLE data.secrets (id integer, token pg_catalog.text, raw pg_catalog.bytea);
INSERT INTO data.secrets SELECT i, t, pg_catalog.convert_to(t, 'UTF8')
	FROM pg_catalog.generate_series(1, 100) AS i,
		:home.fernet_encrypt(pg_catalog.concat('secret ', i), at => '2024-01-01 00:00:00+00') AS t;
SET fernet.key = :'keys';
SELECT * FROM :home.fernet_keys();
SELECT :home.fernet_decrypt(token), :home.fernet_decrypt(raw, at => '2024-01-01 00:00:30+00', ttl => '1 min') AS with_ttl,
	:home.fernet_decrypt_bytea(raw) AS decrypt_bytea, :home.fernet_try_decrypt(token) AS try_decrypt,
	:home.fernet_try_decrypt_bytea(token) AS try_decrypt_bytea, :home.fernet_verify(token) AS verify,
	:home.fernet_timestamp(raw) AS timestamp, :home.fernet_key_index(:home.fernet_rotate(token)) AS key_index,
	:home.fernet_is_token(:home.fernet_generate_key()) AS is_token
FROM data.secrets WHERE id OPERATOR(pg_catalog.=) 7;
SELECT i.* FROM data.secrets, :home.fernet_inspect(token) AS i WHERE id OPERATOR(pg_catalog.=) 7;
SELECT * FROM :home.fernet_census('data.secrets', 'token');
SELECT :home.fernet_assert_rotated('data.secrets', 'token');
CALL :home.fernet_rotate_column('data.secrets', 'token', dry_run => true);
CALL :home.fernet_rotate_column('data.secrets', 'token', batch_rows => 20, pause => '1 us');
SELECT * FROM :home.fernet_rotate_batch('data.secrets', 'raw');
SELECT :home.fernet_assert_rotated('data.secrets', 'token') IS NOT NULL AS silent;
CALL :home.fernet_decrypt_column('data.secrets', 'token', confirm => true);
SELECT token FROM data.secrets WHERE id OPERATOR(pg_catalog.=) 7;
CALL :home.fernet_rotate_column('data.secrets', 'token', on_plaintext => 'encrypt');
SELECT status, key_index, tokens FROM :home.fernet_census('data.secrets', 'token');
SELECT relation, columns, operation, state, rotated, unchanged, failed FROM :home.fernet_rotation ORDER BY id;
SELECT pg_catalog.count(s.*) OPERATOR(pg_catalog.>=) 0 AS counters FROM :home.pg_stat_fernet AS s;
SELECT pg_catalog.count(DISTINCT item) AS items FROM :home.fernet_doctor();
SELECT :home.fernet_stat_reset();
DROP TABLE data.secrets;
$$ AS everything \gset
CREATE DATABASE regress_fernet_path TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C';
CREATE DATABASE regress_fernet_path_2 TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C';
\c regress_fernet_path
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
LOAD 'pg_fernet';
CREATE SCHEMA hostile AUTHORIZATION regress_fernet_attacker;
CREATE SCHEMA home;
CREATE SCHEMA elsewhere;
CREATE SCHEMA data;
GRANT ALL ON SCHEMA home, elsewhere TO regress_fernet_attacker;
GRANT ALL ON SCHEMA data TO regress_fernet_user;

-- the names of all that the extension has are taken in one schema, and not in the one
-- where it will be, but that the attacker was there before it
CREATE EXTENSION pg_fernet SCHEMA elsewhere;
SET ROLE regress_fernet_attacker;
:prepare_attack
SELECT hostile.attack('hostile');
RESET ROLE;
DROP EXTENSION pg_fernet;
SET ROLE regress_fernet_attacker;
SELECT hostile.attack('home');
GRANT USAGE ON SCHEMA hostile TO PUBLIC;
RESET ROLE;
SELECT count(*) > 500 AS operators FROM pg_operator WHERE oprnamespace = 'hostile'::regnamespace;
SELECT count(*) > 2000 AS functions FROM pg_proc WHERE pronamespace = 'hostile'::regnamespace;

-- each of them gives the alarm
SET search_path = hostile, pg_catalog, home;
\set VERBOSITY terse
SELECT 1 = 1;
SELECT count(*) FROM (VALUES (1)) AS v;
SELECT * FROM pg_roles;
SELECT 'x'::text;
SELECT last_value, is_called FROM hostile.mark;
SELECT pg_catalog.setval('hostile.mark', 1, false);

-- installed there; then used by a superuser
CREATE EXTENSION pg_fernet SCHEMA home;
GRANT USAGE ON SCHEMA home TO regress_fernet_user;
\set home home
:everything

-- and by an ordinary role, in whose session the names of tables are taken by temporary
-- views, too, which are found before anything else
SET SESSION AUTHORIZATION regress_fernet_user;
CREATE TEMPORARY VIEW pg_class AS SELECT hostile.alarm() AS alarm;
CREATE TEMPORARY VIEW pg_roles AS SELECT hostile.alarm() AS alarm;
CREATE TEMPORARY VIEW pg_locks AS SELECT hostile.alarm() AS alarm;
CREATE TEMPORARY VIEW pg_database AS SELECT hostile.alarm() AS alarm;
CREATE TEMPORARY VIEW pg_extension AS SELECT hostile.alarm() AS alarm;
CREATE TEMPORARY VIEW fernet_ledger AS SELECT hostile.alarm() AS alarm;
CREATE TEMPORARY VIEW fernet_rotation AS SELECT hostile.alarm() AS alarm;
SELECT * FROM pg_roles;
SELECT pg_catalog.setval('hostile.mark', 1, false);
:everything
RESET SESSION AUTHORIZATION;
SELECT is_called AS hostile_object_used FROM hostile.mark;

-- in another schema
ALTER EXTENSION pg_fernet SET SCHEMA elsewhere;
GRANT USAGE ON SCHEMA elsewhere TO regress_fernet_user;
SET search_path = hostile, pg_catalog, elsewhere;
\set home elsewhere
SET SESSION AUTHORIZATION regress_fernet_user;
:everything
RESET SESSION AUTHORIZATION;
SELECT is_called AS hostile_object_used FROM hostile.mark;

-- what the extension would have to overwrite keeps it from being installed
DROP EXTENSION pg_fernet;
SET ROLE regress_fernet_attacker;
CREATE FUNCTION elsewhere.fernet_ledger_rows() RETURNS boolean
	LANGUAGE plpgsql AS 'BEGIN PERFORM hostile.alarm(); END';
RESET ROLE;
CREATE EXTENSION pg_fernet SCHEMA elsewhere;
DROP FUNCTION elsewhere.fernet_ledger_rows();
SET ROLE regress_fernet_attacker;
CREATE TABLE elsewhere.fernet_ledger (id integer);
RESET ROLE;
CREATE EXTENSION pg_fernet SCHEMA elsewhere;
DROP TABLE elsewhere.fernet_ledger;

-- created again in the same session, with its key
CREATE EXTENSION pg_fernet SCHEMA elsewhere;
GRANT USAGE ON SCHEMA elsewhere TO regress_fernet_user;
SELECT key_index FROM elsewhere.fernet_keys();
:everything
SELECT is_called AS hostile_object_used FROM hostile.mark;

-- another database: its own extension, in another schema, its own ledger, and no key
-- that was set in a session elsewhere
\c regress_fernet_path_2
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
\set VERBOSITY terse
CREATE SCHEMA data;
CREATE SCHEMA home;
SET search_path = home;
CREATE EXTENSION pg_fernet;
\set home home
SELECT * FROM fernet_keys();
SELECT count(*) FROM fernet_rotation;
:everything
\c regress_fernet_path
SELECT count(*) AS still_three FROM elsewhere.fernet_rotation;

\c :database
SET client_min_messages = warning;
DROP DATABASE regress_fernet_path WITH (FORCE);
DROP DATABASE regress_fernet_path_2 WITH (FORCE);
DROP ROLE regress_fernet_attacker, regress_fernet_user;
