--
-- Whatever a session has set, values come out as they went in, and what cannot work there
-- says so
--
-- In a database of its own, dropped at the end, for the extension is installed again here.
SET client_min_messages = warning;
\set database :DBNAME
\set old 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set keys 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=,a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
CREATE ROLE regress_fernet_owner;
CREATE ROLE regress_fernet_nobody NOINHERIT;
CREATE DATABASE regress_fernet_environment TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C';
\c regress_fernet_environment
SET client_min_messages = warning;
CREATE EXTENSION pg_fernet;
LOAD 'pg_fernet';
\pset format unaligned
\pset footer off
CREATE TABLE secrets (id integer, token text, raw bytea, plain varchar(300));

-- Values are encrypted, counted, rotated, adopted and opened; each count is to be 40. The
-- plaintexts have quotes, backslashes and letters of several bytes.
CREATE FUNCTION plaintext(id integer) RETURNS text LANGUAGE sql
	RETURN concat('secret ', id, chr(39), chr(92), chr(92), '000', chr(92), chr(39), chr(233), chr(8364));
SELECT $$
TRUNCATE secrets;
SET fernet.key = :'old';
INSERT INTO secrets SELECT i, t, t::bytea, plaintext(i)
	FROM generate_series(1, 40) AS i, fernet_encrypt(plaintext(i), make_timestamptz(2024, 1, 1, 0, 0, 0, 'UTC')) AS t;
SET fernet.key = :'keys';
CALL fernet_rotate_column('secrets', 'token', batch_rows => 7, pause => '1 us');
SELECT rotated FROM fernet_rotate_batch('secrets', 'raw');
CALL fernet_rotate_column('secrets', 'plain', on_plaintext => 'encrypt');
SELECT count(*) FILTER (WHERE fernet_decrypt(token) = plaintext(id)) AS token,
	count(*) FILTER (WHERE fernet_decrypt(raw) = plaintext(id)) AS raw,
	count(*) FILTER (WHERE fernet_decrypt(plain) = plaintext(id)) AS adopted,
	count(*) FILTER (WHERE fernet_decrypt_bytea(raw) = convert_to(plaintext(id), 'UTF8')) AS bytes,
	count(*) FILTER (WHERE fernet_is_token(raw) AND fernet_verify(plain, ttl => make_interval(hours => 1))) AS verified,
	count(*) FILTER (WHERE extract(epoch FROM fernet_timestamp(raw)) = 1704067200) AS timestamp
FROM secrets;
SELECT c AS column, status, tokens, extract(epoch FROM oldest) = 1704067200 AS right_time
	FROM unnest(ARRAY['token', 'raw']) AS c, fernet_census('secrets', c);
SELECT fernet_assert_rotated('secrets', 'token') IS NOT NULL AND (SELECT count(*) FROM fernet_doctor()) > 5 AS silent;
SELECT relation, operation, state, rotated, failed, finished - started < make_interval(mins => 5) AS right_times
	FROM fernet_rotation ORDER BY id DESC LIMIT 2;
$$ AS everything \gset

-- literals, and how values are printed
SET standard_conforming_strings = on;
DO $$
BEGIN
	SET standard_conforming_strings = off;
EXCEPTION WHEN feature_not_supported THEN
	-- from PostgreSQL 19 on
END
$$;
DO $$
BEGIN
	SET escape_string_warning = on;
EXCEPTION WHEN undefined_object THEN
	-- from PostgreSQL 19 on
END
$$;
SET backslash_quote = off;
SET bytea_output = 'escape';
SET quote_all_identifiers = on;
SET transform_null_equals = on;
SET array_nulls = off;
SET xmloption = document;
SET xmlbinary = hex;
SET extra_float_digits = -15;
:everything
RESET ALL;

-- dates and times, with a zone that PostgreSQL knows only as a rule
SET client_min_messages = warning;
SET timezone = '<x y>+15';
SET datestyle = 'SQL, DMY';
SET intervalstyle = 'sql_standard';
SET timezone_abbreviations = 'India';
SET lc_messages = 'C';
SET lc_monetary = 'C';
SET lc_numeric = 'C';
SET lc_time = 'C';
:everything
SET timezone = '-167';
SET intervalstyle = 'iso_8601';
SELECT fernet_timestamp(fernet_encrypt('x', at => t)) = t AS same, extract(epoch FROM t)
FROM unnest(ARRAY['1970-01-01 00:00:00+00', '2038-01-19 03:14:08+00', '4713-01-01 00:00:00-15', '294276-12-31 23:59:59+15']::timestamptz[]) AS t;
-- what a day is depends on the zone, where clocks change
SET timezone = 'Europe/Berlin';
SELECT fernet_verify(t, ttl => '1 day', at => '2024-03-31 12:30:00+02') AS a_day, fernet_verify(t, ttl => '24 hours', at => '2024-03-31 12:30:00+02') AS hours
FROM fernet_encrypt('x', at => '2024-03-30 12:00:00+01') AS t;
SET timezone = 'UTC';
SELECT fernet_verify(t, ttl => '1 day', at => '2024-03-31 12:30:00+02') AS a_day, fernet_verify(t, ttl => '24 hours', at => '2024-03-31 12:30:00+02') AS hours
FROM fernet_encrypt('x', at => '2024-03-30 12:00:00+01') AS t;
RESET ALL;

-- planner, memory and storage
SET client_min_messages = warning;
CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler;
SET default_table_access_method = heap2;
DO $$
BEGIN
	SET default_toast_compression = lz4;
EXCEPTION WHEN invalid_parameter_value THEN
	-- the server was built without it
END
$$;
CREATE TABLE other (LIKE secrets);
SET fernet.key = :'old';
INSERT INTO other SELECT 1, fernet_encrypt(repeat('long', 10000)), '', '';
SET enable_seqscan = off;
SET enable_tidscan = off;
SET enable_indexscan = off;
SET enable_indexonlyscan = off;
SET enable_bitmapscan = off;
SET enable_sort = off;
SET enable_hashagg = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_nestloop = off;
SET enable_material = off;
SET work_mem = '64kB';
SET maintenance_work_mem = '1MB';
SET temp_buffers = '800kB';
SET max_stack_depth = '100kB';
SET hash_mem_multiplier = 1;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET plan_cache_mode = force_generic_plan;
:everything
SET fernet.key = :'keys';
CALL fernet_rotate_column('other', 'token');
DROP TABLE other;
DROP TABLE secrets;
CREATE TABLE secrets (id integer, token text, raw bytea, plain varchar(300));
:everything
SELECT amname FROM pg_class JOIN pg_am ON pg_am.oid = relam WHERE pg_class.oid = 'secrets'::regclass;
RESET ALL;

-- read-only: what writes nothing works
SET client_min_messages = warning;
SET fernet.key = :'old';
TRUNCATE secrets;
INSERT INTO secrets SELECT i, t, t::bytea, '' FROM generate_series(1, 40) AS i, fernet_encrypt(plaintext(i)) AS t;
SET fernet.key = :'keys';
SELECT max(id) AS last FROM fernet_rotation \gset
SET default_transaction_read_only = on;
SELECT count(*) FILTER (WHERE fernet_decrypt(token) = plaintext(id)) AS opened,
	count(*) FILTER (WHERE fernet_key_index(fernet_rotate(raw)) = 1) AS rotated FROM secrets;
SELECT status, tokens FROM fernet_census('secrets', 'token');
SELECT fernet_assert_rotated('secrets', 'token');
SELECT count(*) > 5 AS doctor FROM fernet_doctor();
CALL fernet_rotate_column('secrets', 'token', dry_run => true);
CALL fernet_rotate_column('secrets', 'token', dry_run => true, slice => 1, slices => 2);
-- what writes says why not, and writes nothing
CALL fernet_rotate_column('secrets', 'token');
\echo :SQLSTATE
SELECT * FROM fernet_rotate_batch('secrets', 'token');
\echo :SQLSTATE
CALL fernet_decrypt_column('secrets', 'token', confirm => true);
\echo :SQLSTATE
CALL fernet_rotate_column('secrets', 'plain', on_plaintext => 'encrypt');
\echo :SQLSTATE
SHOW default_transaction_read_only;
SELECT status, tokens FROM fernet_census('secrets', 'token');
SELECT count(*) AS jobs FROM fernet_rotation WHERE id > :last;
-- a transaction of its own may be read-only, too
SET default_transaction_read_only = off;
BEGIN READ ONLY;
SELECT * FROM fernet_rotate_batch('secrets', 'token');
ROLLBACK;
RESET ALL;

-- isolation: each batch reads what is committed when it begins, and the session keeps
-- its own defaults
SET client_min_messages = warning;
SET default_transaction_isolation = 'serializable';
SET default_transaction_deferrable = on;
:everything
SHOW transaction_isolation;
SET default_transaction_read_only = on;
CALL fernet_rotate_column('secrets', 'token', dry_run => true);
SHOW transaction_isolation;
SHOW transaction_deferrable;
RESET ALL;

-- a session that applies what another server has done: ordinary triggers and foreign keys
-- rest, triggers for replicas fire, and the notice names those only
SET fernet.key = :'old';
UPDATE secrets SET token = fernet_encrypt(plaintext(id));
CREATE TABLE fired (name name);
CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO fired VALUES (TG_NAME); RETURN NULL; END';
CREATE TRIGGER of_origin AFTER UPDATE ON secrets EXECUTE FUNCTION fire();
CREATE TRIGGER of_replica AFTER UPDATE ON secrets EXECUTE FUNCTION fire();
CREATE TRIGGER of_both AFTER UPDATE ON secrets EXECUTE FUNCTION fire();
ALTER TABLE secrets ENABLE REPLICA TRIGGER of_replica;
ALTER TABLE secrets ENABLE ALWAYS TRIGGER of_both;
SET session_replication_role = replica;
SET fernet.key = :'keys';
SELECT max(id) AS last FROM fernet_rotation \gset
\set VERBOSITY terse
CALL fernet_rotate_column('secrets', 'token');
SELECT DISTINCT name FROM fired ORDER BY name;
SELECT state, rotated FROM fernet_rotation WHERE id > :last;
\set VERBOSITY default
DROP TRIGGER of_origin ON secrets;
DROP TRIGGER of_replica ON secrets;
DROP TRIGGER of_both ON secrets;
RESET ALL;

-- row security switched off: a role sees its own rows of the ledger all the same
SET client_min_messages = warning;
ALTER TABLE secrets OWNER TO regress_fernet_owner;
SET SESSION AUTHORIZATION regress_fernet_owner;
SET row_security = off;
SET fernet.key = :'old';
UPDATE secrets SET token = fernet_encrypt(plaintext(id));
SET fernet.key = :'keys';
CALL fernet_rotate_column('secrets', 'token');
SELECT status, tokens FROM fernet_census('secrets', 'token');
\set VERBOSITY terse
SELECT count(*) FROM fernet_rotation;
SELECT count(*) FROM fernet_rotation_progress;
SET row_security = on;
SELECT role, state FROM fernet_rotation;
RESET SESSION AUTHORIZATION;
RESET ALL;

-- a role with no privileges at all: not even the schema, then that only
REVOKE ALL ON SCHEMA public FROM PUBLIC;
SET SESSION AUTHORIZATION regress_fernet_nobody;
SET fernet.key = :'keys';
SELECT public.fernet_generate_key();
CALL public.fernet_rotate_column('public.secrets', 'token');
RESET SESSION AUTHORIZATION;
GRANT USAGE ON SCHEMA public TO PUBLIC;
SET SESSION AUTHORIZATION regress_fernet_nobody;
SELECT fernet_decrypt(fernet_encrypt('its own')), (SELECT count(*) FROM fernet_keys()) AS keys;
SELECT fernet_decrypt(token) FROM secrets;
SELECT fernet_census('secrets', 'token');
SELECT fernet_census('secrets', 'missing');
SELECT fernet_assert_rotated('secrets', 'token');
CALL fernet_rotate_column('secrets', 'token');
CALL fernet_rotate_column('secrets', 'token', dry_run => true);
CALL fernet_decrypt_column('secrets', 'token', confirm => true);
SELECT * FROM fernet_rotate_batch('secrets', 'token');
SELECT count(*) FROM fernet_rotation;
SELECT count(*) FROM fernet_rotation_progress;
SELECT fernet_stat_reset();
-- fernet_doctor tells it nothing of tables, values and keys
SELECT count(*) > 5 AS some, count(*) FILTER (WHERE detail ~ 'secrets|gAAAA|a2V5') AS telling FROM fernet_doctor();
RESET SESSION AUTHORIZATION;
RESET ALL;

-- the encoding of the client is another than the server's
SET client_min_messages = warning;
SET client_encoding = 'LATIN1';
:everything
-- a message that it cannot hold, here the warning of a value that is no token, is not sent:
-- the job goes on, and its result can be read with the encoding of the server
CREATE TABLE U&"euro \20AC" (id integer, token text);
SET fernet.key = :'old';
INSERT INTO U&"euro \20AC" SELECT i, fernet_encrypt(plaintext(i)) FROM generate_series(1, 40) AS i;
INSERT INTO U&"euro \20AC" VALUES (0, 'no token');
SET fernet.key = :'keys';
CALL fernet_rotate_column(U&'"euro \20AC"', 'token');
\echo :SQLSTATE
SET client_encoding = 'SJIS';
SELECT fernet_decrypt(token) FROM secrets WHERE id = 1;
\echo :SQLSTATE
SELECT count(*) FILTER (WHERE fernet_decrypt(token) = plaintext(id)) AS opened FROM U&"euro \20AC" WHERE id > 0;
SET client_encoding = 'UTF8';
SELECT state FROM fernet_rotation ORDER BY id DESC LIMIT 1;
DELETE FROM U&"euro \20AC" WHERE id = 0;
CALL fernet_rotate_column(U&'"euro \20AC"', 'token');
SELECT state, count(*) FROM fernet_rotation WHERE relation ~ 'euro' GROUP BY 1 ORDER BY 1;
SET client_encoding = 'SJIS';
\encoding
SET fernet.key = 'not a key';
RESET ALL;

-- installed again under such settings, it is the same
SET client_min_messages = warning;
CREATE VIEW definitions AS
SELECT md5(string_agg(definition, ',' ORDER BY definition COLLATE "C")) AS all
FROM (
	SELECT pg_describe_object(classid, objid, 0) || CASE classid
			WHEN 'pg_proc'::regclass THEN pg_get_functiondef(objid)
			WHEN 'pg_class'::regclass THEN concat(pg_get_viewdef(objid), (
				SELECT string_agg(concat(attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid)), ',' ORDER BY attnum)
				FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE attrelid = objid AND attnum > 0))
			ELSE '' END AS definition
	FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
		AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_fernet')
) AS members;
SELECT "all" AS before FROM definitions \gset
DROP EXTENSION pg_fernet;
DO $$
BEGIN
	SET standard_conforming_strings = off;
EXCEPTION WHEN feature_not_supported THEN
END
$$;
SET backslash_quote = off;
SET quote_all_identifiers = on;
SET transform_null_equals = on;
SET check_function_bodies = off;
SET row_security = off;
SET default_table_access_method = heap2;
SET session_replication_role = replica;
SET default_transaction_isolation = 'serializable';
SET datestyle = 'SQL, DMY';
SET intervalstyle = 'sql_standard';
SET timezone = '<x y>+15';
SET client_encoding = 'SJIS';
SET search_path = public;
CREATE EXTENSION pg_fernet;
RESET ALL;
SET client_min_messages = warning;
SELECT "all" = :'before' AS same FROM definitions;
:everything
-- and where nothing may be written, it is not installed
DROP EXTENSION pg_fernet;
SET default_transaction_read_only = on;
\set VERBOSITY terse
CREATE EXTENSION pg_fernet;

\c :database
SET client_min_messages = warning;
DROP DATABASE regress_fernet_environment WITH (FORCE);
DROP ROLE regress_fernet_owner, regress_fernet_nobody;
