--
-- Installing, updating, dropping and moving the extension, and what is in it
--
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_fernet;
-- from the first release to the newest
CREATE EXTENSION pg_fernet VERSION '1.0.0';
ALTER EXTENSION pg_fernet UPDATE;
SELECT extversion AS updated FROM pg_extension WHERE extname = 'pg_fernet' \gset
-- which is what CREATE EXTENSION installs
DROP EXTENSION pg_fernet;
CREATE EXTENSION pg_fernet;
RESET client_min_messages;
SELECT extversion = :'updated' AS newest, extrelocatable FROM pg_extension WHERE extname = 'pg_fernet';

-- what it holds
CREATE VIEW regress_fernet_members AS
SELECT p.*, d.refobjid
FROM pg_depend AS d JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
	AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_fernet');
\pset format unaligned
SELECT format(E'%s(%s)\n\t%s', proname, pg_get_function_arguments(oid), 'returns ' || pg_get_function_result(oid)) AS members
FROM regress_fernet_members ORDER BY proname COLLATE "C", pg_get_function_arguments(oid) COLLATE "C";
\pset format aligned
-- only is_token is immutable; what uses the key is parallel restricted; nothing is
-- leakproof
SELECT proname, string_agg(DISTINCT CASE provolatile WHEN 'v' THEN 'volatile' WHEN 's' THEN 'stable' ELSE 'immutable' END, ' and ') AS volatility,
	string_agg(DISTINCT CASE proparallel WHEN 's' THEN 'safe' WHEN 'r' THEN 'restricted' ELSE 'unsafe' END, ' and ') AS parallel,
	bool_or(proleakproof) AS leakproof, bool_or(prosecdef) AS security_definer
FROM regress_fernet_members GROUP BY proname ORDER BY proname COLLATE "C";
-- all is in C, in this library, and for everybody, but for one
SELECT count(*) > 0 AS some, count(*) FILTER (WHERE prolang <> (SELECT oid FROM pg_language WHERE lanname = 'c')) AS not_c,
	count(*) FILTER (WHERE probin <> '$libdir/pg_fernet') AS other_library,
	count(*) FILTER (WHERE proacl IS NOT NULL) AS with_privileges
FROM regress_fernet_members;
-- all is commented, but for row and array types, which nobody made
WITH extension AS (
	SELECT oid FROM pg_extension WHERE extname = 'pg_fernet'),
member AS (
	SELECT d.classid, d.objid FROM pg_depend AS d
	WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = (SELECT oid FROM extension) AND d.deptype = 'e'
	UNION ALL SELECT 'pg_extension'::regclass, oid FROM extension),
object AS (
	SELECT classid, objid, 0 AS objsubid FROM member
	UNION ALL SELECT m.classid, m.objid, a.attnum FROM member AS m
		JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid AND c.relkind <> 'S'
		JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
	UNION ALL SELECT 'pg_policy'::regclass, p.oid, 0 FROM member AS m
		JOIN pg_policy AS p ON m.classid = 'pg_class'::regclass AND p.polrelid = m.objid)
SELECT count(*) > 80 AS many,
	string_agg(pg_describe_object(o.classid, o.objid, o.objsubid), ', ') FILTER (WHERE d.description IS NULL) AS without_comment
FROM object AS o LEFT JOIN pg_description AS d ON d.classoid = o.classid AND d.objoid = o.objid AND d.objsubid = o.objsubid
WHERE NOT EXISTS (SELECT FROM pg_type AS t
	WHERE o.classid = 'pg_type'::regclass AND t.oid = o.objid AND (t.typtype = 'c' OR t.typcategory = 'A'));
SELECT obj_description(oid, 'pg_extension') FROM pg_extension WHERE extname = 'pg_fernet';
DROP VIEW regress_fernet_members;

-- what a script begins with: is the library at least as new as the script?
CREATE FUNCTION regress_fernet_require(version text) RETURNS void
	LANGUAGE c STRICT AS '$libdir/pg_fernet', 'fernet_require_library';
SELECT regress_fernet_require(version) FROM unnest(ARRAY['0.0.0', '0.9.10', '1.0.0']) AS version;
\set VERBOSITY terse
SELECT regress_fernet_require('999.0.0');
SELECT regress_fernet_require('1.0');
SELECT regress_fernet_require('1.0.0.0');
SELECT regress_fernet_require('1.0.0-beta');
SELECT regress_fernet_require('-1.0.0');
SELECT regress_fernet_require('');
\set VERBOSITY default
DROP FUNCTION regress_fernet_require(text);

-- dropped and created again, the key stays, for it is the session's
SELECT set_config('fernet.key', 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=', false);
SELECT fernet_encrypt('before') AS token \gset
DROP EXTENSION pg_fernet;
SHOW fernet.key;
CREATE EXTENSION pg_fernet;
SELECT fernet_decrypt(:'token'), fernet_decrypt(fernet_encrypt('after'));

-- in another schema
CREATE SCHEMA regress_fernet_schema;
ALTER EXTENSION pg_fernet SET SCHEMA regress_fernet_schema;
CREATE TABLE regress_fernet_upgrade AS SELECT :'token'::text AS token;
\set VERBOSITY sqlstate
SELECT fernet_decrypt(:'token');
\set VERBOSITY default
SELECT regress_fernet_schema.fernet_decrypt(:'token');
SET client_min_messages = warning;
CALL regress_fernet_schema.fernet_rotate_column('regress_fernet_upgrade', 'token');
RESET client_min_messages;
SELECT * FROM regress_fernet_schema.fernet_rotate_batch('regress_fernet_upgrade', 'token');
ALTER EXTENSION pg_fernet SET SCHEMA public;
SELECT fernet_decrypt(token) FROM regress_fernet_upgrade;
DROP TABLE regress_fernet_upgrade;
DROP SCHEMA regress_fernet_schema;

-- created in a schema of choice
DROP EXTENSION pg_fernet;
CREATE SCHEMA regress_fernet_schema;
CREATE EXTENSION pg_fernet SCHEMA regress_fernet_schema;
SELECT regress_fernet_schema.fernet_decrypt(:'token');
\set VERBOSITY terse
DROP SCHEMA regress_fernet_schema;
\set VERBOSITY default
DROP EXTENSION pg_fernet;
DROP SCHEMA regress_fernet_schema;
