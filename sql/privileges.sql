--
-- What an ordinary role may do, and what the rotation of a column asks for
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
RESET client_min_messages;
LOAD 'pg_fernet';
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set key 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set old_key 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
CREATE ROLE regress_fernet_user;
CREATE ROLE regress_fernet_owner;

-- an ordinary role sets its own key and uses every function
SET SESSION AUTHORIZATION regress_fernet_user;
SELECT set_config('fernet.key', :'key', false);
SET fernet.key = :'key';
SELECT length(fernet_generate_key()) AS generate_key, (SELECT count(*) FROM fernet_keys()) AS keys,
	fernet_decrypt(fernet_encrypt('x')) AS decrypt, fernet_decrypt_bytea(fernet_encrypt('x')) AS decrypt_bytea,
	fernet_try_decrypt('nonsense') AS try_decrypt, fernet_verify(fernet_encrypt('x')) AS verify,
	fernet_rotate(t) = t AS rotate, fernet_timestamp(t) AS timestamp, fernet_key_index(t) AS key_index,
	fernet_is_token(t) AS is_token
FROM fernet_encrypt('x', '2020-01-01 00:00:00+00') AS t;
-- but not to store it for itself
\set VERBOSITY terse
ALTER ROLE regress_fernet_user SET fernet.key = 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=';
\set VERBOSITY default
-- the key belongs to the session, whatever its role becomes
RESET SESSION AUTHORIZATION;
SELECT count(*) FROM fernet_keys();

-- a column to rotate
SET client_min_messages = warning;
SELECT set_config('fernet.key', :'old_key', false);
CREATE SCHEMA regress_fernet_schema AUTHORIZATION regress_fernet_owner;
SET search_path = regress_fernet_schema, public;
CREATE TABLE secrets (id integer, token text, other text);
ALTER TABLE secrets OWNER TO regress_fernet_owner;
INSERT INTO secrets SELECT i, fernet_encrypt('secret ' || i), fernet_encrypt('other') FROM generate_series(1, 3) AS i;
SELECT set_config('fernet.key', :'key' || ',' || :'old_key', false);

-- each of the three asks for SELECT and UPDATE, on the table or on the column
CREATE FUNCTION allow(VARIADIC privileges text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	REVOKE ALL ON secrets FROM regress_fernet_user; -- on its columns, too
	EXECUTE format('GRANT %s ON secrets TO regress_fernet_user', array_to_string(privileges, ', '));
END
$$;
GRANT USAGE ON SCHEMA regress_fernet_schema TO regress_fernet_user;
-- none at all
SET ROLE regress_fernet_user;
CALL fernet_rotate_column('secrets', 'token');
\echo :SQLSTATE
SELECT * FROM fernet_rotate_batch('secrets', 'token');
CALL fernet_decrypt_column('secrets', 'token', confirm => true);
CALL fernet_rotate_column('secrets', 'token', dry_run => true);
RESET ROLE;
-- SELECT alone, UPDATE alone, and UPDATE of another column
SELECT FROM allow('SELECT');
SET ROLE regress_fernet_user;
CALL fernet_rotate_column('secrets', 'token');
RESET ROLE;
SELECT FROM allow('UPDATE');
SET ROLE regress_fernet_user;
CALL fernet_rotate_column('secrets', 'token');
RESET ROLE;
SELECT FROM allow('SELECT', 'UPDATE (id, other)');
SET ROLE regress_fernet_user;
CALL fernet_rotate_column('secrets', 'token');
RESET ROLE;
-- nobody's rows were touched by those who may not
SELECT count(*) FILTER (WHERE fernet_key_index(token) = 1) AS rotated, count(*) FILTER (WHERE fernet_key_index(token) = 2) AS as_before FROM secrets;
-- both on the column, which is enough for that one only
SELECT FROM allow('SELECT (token)', 'UPDATE (token)');
SET ROLE regress_fernet_user;
CALL fernet_rotate_column('secrets', 'token');
SELECT * FROM fernet_rotate_batch('secrets', 'token');
CALL fernet_rotate_column('secrets', 'other');
RESET ROLE;
-- SELECT on the table and UPDATE on the column
SELECT FROM allow('SELECT', 'UPDATE (other)');
SET ROLE regress_fernet_user;
CALL fernet_rotate_column('secrets', 'other');
RESET ROLE;
SELECT id, fernet_key_index(token), fernet_decrypt(token), fernet_key_index(other) FROM secrets ORDER BY id;

-- a partitioned table asks for them on itself alone, as any UPDATE does
CREATE TABLE parts (id integer, token text) PARTITION BY LIST (id);
CREATE TABLE part_1 PARTITION OF parts DEFAULT;
INSERT INTO parts SELECT id, token FROM secrets;
GRANT SELECT, UPDATE ON parts TO regress_fernet_user;
SET ROLE regress_fernet_user;
CALL fernet_rotate_column('parts', 'token');
CALL fernet_rotate_column('part_1', 'token');
RESET ROLE;

-- row security that would hide rows
SELECT FROM allow('SELECT', 'UPDATE');
ALTER TABLE secrets ENABLE ROW LEVEL SECURITY;
CREATE POLICY a_few ON secrets USING (id < 3);
SET ROLE regress_fernet_user;
CALL fernet_rotate_column('secrets', 'token');
\echo :SQLSTATE
SELECT * FROM fernet_rotate_batch('secrets', 'token');
-- its owner sees every row, unless it is forced
SET ROLE regress_fernet_owner;
CALL fernet_rotate_column('secrets', 'token');
ALTER TABLE secrets FORCE ROW LEVEL SECURITY;
CALL fernet_rotate_column('secrets', 'token');
RESET ROLE;
-- and so do superusers and those with BYPASSRLS, even where the
-- session wants no silence
CALL fernet_rotate_column('secrets', 'token');
ALTER ROLE regress_fernet_user BYPASSRLS;
SET ROLE regress_fernet_user;
SET row_security = off;
CALL fernet_rotate_column('secrets', 'token');
RESET row_security;
RESET ROLE;
ALTER ROLE regress_fernet_user NOBYPASSRLS;

-- the procedure can be kept from a role
REVOKE EXECUTE ON PROCEDURE fernet_rotate_column FROM PUBLIC;
SET ROLE regress_fernet_user;
CALL fernet_rotate_column('secrets', 'token');
RESET ROLE;
GRANT EXECUTE ON PROCEDURE fernet_rotate_column TO PUBLIC;

-- the extension is trusted: the owner of a database installs it there, without
-- being a superuser
\set home :DBNAME
CREATE DATABASE regress_fernet_privileges OWNER regress_fernet_owner TEMPLATE template0;
\c regress_fernet_privileges
SET SESSION AUTHORIZATION regress_fernet_owner;
CREATE EXTENSION pg_fernet;
SELECT set_config('fernet.key', :'key', false) <> '' AS key_set;
SELECT fernet_decrypt(fernet_encrypt('by its owner'));
DROP EXTENSION pg_fernet;
-- another cannot
SET SESSION AUTHORIZATION DEFAULT;
SET SESSION AUTHORIZATION regress_fernet_user;
\set VERBOSITY sqlstate
CREATE EXTENSION pg_fernet;
\set VERBOSITY default
\c :home
SET client_min_messages = warning;
DROP DATABASE regress_fernet_privileges WITH (FORCE);
DROP SCHEMA regress_fernet_schema CASCADE;
DROP ROLE regress_fernet_user;
DROP ROLE regress_fernet_owner;
