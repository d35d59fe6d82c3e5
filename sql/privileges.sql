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
SELECT set_config('fernet.key', :'old_key', false);
CREATE SCHEMA regress_fernet_schema AUTHORIZATION regress_fernet_owner;
CREATE TABLE regress_fernet_schema.secrets (id integer, token text);
ALTER TABLE regress_fernet_schema.secrets OWNER TO regress_fernet_owner;
INSERT INTO regress_fernet_schema.secrets SELECT i, fernet_encrypt('secret ' || i) FROM generate_series(1, 3) AS i;
SELECT set_config('fernet.key', :'key' || ',' || :'old_key', false);

-- without any privilege on it
GRANT USAGE ON SCHEMA regress_fernet_schema TO regress_fernet_user;
SET ROLE regress_fernet_user;
CALL fernet_rotate_column('regress_fernet_schema.secrets', 'token');
\echo :SQLSTATE
-- with SELECT alone
RESET ROLE;
GRANT SELECT ON regress_fernet_schema.secrets TO regress_fernet_user;
SET ROLE regress_fernet_user;
CALL fernet_rotate_column('regress_fernet_schema.secrets', 'token');
\echo :SQLSTATE
-- with UPDATE on another column
RESET ROLE;
GRANT UPDATE (id) ON regress_fernet_schema.secrets TO regress_fernet_user;
SET ROLE regress_fernet_user;
CALL fernet_rotate_column('regress_fernet_schema.secrets', 'token');
-- with UPDATE alone
RESET ROLE;
REVOKE ALL ON regress_fernet_schema.secrets FROM regress_fernet_user;
REVOKE UPDATE (id) ON regress_fernet_schema.secrets FROM regress_fernet_user;
GRANT UPDATE ON regress_fernet_schema.secrets TO regress_fernet_user;
SET ROLE regress_fernet_user;
CALL fernet_rotate_column('regress_fernet_schema.secrets', 'token');
-- with SELECT and UPDATE on the column alone: rows are found by their ctid, which is
-- for those who may read the table
RESET ROLE;
REVOKE ALL ON regress_fernet_schema.secrets FROM regress_fernet_user;
GRANT SELECT (token), UPDATE (token) ON regress_fernet_schema.secrets TO regress_fernet_user;
SET ROLE regress_fernet_user;
\set VERBOSITY terse
CALL fernet_rotate_column('regress_fernet_schema.secrets', 'token');
\set VERBOSITY default
-- with SELECT on the table and UPDATE on the column
RESET ROLE;
REVOKE ALL ON regress_fernet_schema.secrets FROM regress_fernet_user;
GRANT SELECT, UPDATE (token) ON regress_fernet_schema.secrets TO regress_fernet_user;
SET ROLE regress_fernet_user;
CALL fernet_rotate_column('regress_fernet_schema.secrets', 'token');
CALL fernet_rotate_column('regress_fernet_schema.secrets', 'id');
-- nobody's rows were touched by those who may not
RESET ROLE;
SELECT id, fernet_key_index(token), fernet_decrypt(token) FROM regress_fernet_schema.secrets ORDER BY id;

-- row security that would hide rows
UPDATE regress_fernet_schema.secrets SET token = fernet_encrypt('secret ' || id);
ALTER TABLE regress_fernet_schema.secrets ENABLE ROW LEVEL SECURITY;
CREATE POLICY a_few ON regress_fernet_schema.secrets USING (id < 3);
SET ROLE regress_fernet_user;
CALL fernet_rotate_column('regress_fernet_schema.secrets', 'token');
\echo :SQLSTATE
-- its owner sees every row, unless it is forced
SET ROLE regress_fernet_owner;
CALL fernet_rotate_column('regress_fernet_schema.secrets', 'token');
ALTER TABLE regress_fernet_schema.secrets FORCE ROW LEVEL SECURITY;
CALL fernet_rotate_column('regress_fernet_schema.secrets', 'token');
RESET ROLE;
CALL fernet_rotate_column('regress_fernet_schema.secrets', 'token');

-- the procedure can be kept from a role
REVOKE EXECUTE ON PROCEDURE fernet_rotate_column FROM PUBLIC;
SET ROLE regress_fernet_user;
CALL fernet_rotate_column('regress_fernet_schema.secrets', 'token');
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
DROP DATABASE regress_fernet_privileges;
DROP SCHEMA regress_fernet_schema CASCADE;
DROP ROLE regress_fernet_user;
DROP ROLE regress_fernet_owner;
