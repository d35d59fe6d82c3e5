--
-- Where fernet_rotate_column refuses to run, and what it says
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
RESET client_min_messages;
LOAD 'pg_fernet';
\set old 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set keys 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=,a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
CREATE SCHEMA regress_fernet_targets;
SET search_path = regress_fernet_targets, public;

-- a table that it takes
SELECT set_config('fernet.key', :'old', false);
CREATE TABLE secrets (id integer, token text);
INSERT INTO secrets SELECT i, fernet_encrypt('secret ' || i) FROM generate_series(1, 3) AS i;
SELECT set_config('fernet.key', :'keys', false);
CALL fernet_rotate_column('secrets', 'token');

-- not in a transaction block or a function, for it commits
BEGIN;
CALL fernet_rotate_column('secrets', 'token');
\echo :SQLSTATE
ROLLBACK;
CREATE FUNCTION rotate_it(rotated bigint, unchanged bigint, failed bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	CALL fernet_rotate_column('secrets', 'token', 5000, rotated, unchanged, failed);
END
$$;
SELECT rotate_it(NULL, NULL, NULL);
\echo :SQLSTATE
-- in a DO block at top level it may commit
DO $$
DECLARE
	rotated bigint;
	unchanged bigint;
	failed bigint;
BEGIN
	CALL fernet_rotate_column('secrets', 'token', 5000, rotated, unchanged, failed);
	RAISE NOTICE 'rotated %, unchanged %, failed %', rotated, unchanged, failed;
END
$$;
-- not what is no plain table
CREATE VIEW a_view AS SELECT * FROM secrets;
CREATE MATERIALIZED VIEW a_matview AS SELECT * FROM secrets;
CREATE TABLE partitioned (id integer, token text) PARTITION BY RANGE (id);
CREATE TABLE partition_1 PARTITION OF partitioned FOR VALUES FROM (1) TO (10);
CREATE FOREIGN DATA WRAPPER regress_fernet_wrapper;
CREATE SERVER regress_fernet_server FOREIGN DATA WRAPPER regress_fernet_wrapper;
CREATE FOREIGN TABLE a_foreign_table (id integer, token text) SERVER regress_fernet_server;
CREATE INDEX an_index ON secrets (id);
CALL fernet_rotate_column('a_view', 'token');
\echo :SQLSTATE
CALL fernet_rotate_column('a_matview', 'token');
CALL fernet_rotate_column('a_foreign_table', 'token');
CALL fernet_rotate_column('an_index', 'id');
CALL fernet_rotate_column('partitioned', 'token');
-- a partition is a table
CALL fernet_rotate_column('partition_1', 'token');
-- not a column that cannot hold tokens
CREATE TABLE columns (id integer, token text, generated text GENERATED ALWAYS AS (token) STORED, gone text, json jsonb, many text[], c char(200));
ALTER TABLE columns DROP COLUMN gone;
CALL fernet_rotate_column('columns', 'missing');
\echo :SQLSTATE
CALL fernet_rotate_column('columns', 'gone');
CALL fernet_rotate_column('columns', 'ctid');
CALL fernet_rotate_column('columns', 'id');
\echo :SQLSTATE
CALL fernet_rotate_column('columns', 'json');
CALL fernet_rotate_column('columns', 'many');
CALL fernet_rotate_column('columns', 'c');
CALL fernet_rotate_column('columns', 'generated');
\echo :SQLSTATE
-- not in impossible batches
CALL fernet_rotate_column('columns', 'token', 0);
\echo :SQLSTATE
CALL fernet_rotate_column('columns', 'token', -5);
-- not without a key: one that a transaction had for itself is gone
RESET fernet.key;
CALL fernet_rotate_column('columns', 'token');
\echo :SQLSTATE
BEGIN;
SET LOCAL fernet.key = :'keys';
COMMIT;
CALL fernet_rotate_column('columns', 'token');

SET search_path TO DEFAULT;
SET client_min_messages = warning;
DROP SCHEMA regress_fernet_targets CASCADE;
DROP FOREIGN DATA WRAPPER regress_fernet_wrapper CASCADE;
