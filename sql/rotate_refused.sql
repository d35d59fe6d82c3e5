--
-- What cannot be rotated, and the errors of fernet_rotate_column,
-- fernet_rotate_batch and fernet_decrypt_column
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
LOAD 'pg_fernet';
\set old 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set keys 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=,a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
CREATE SCHEMA regress_fernet_targets;
SET search_path = regress_fernet_targets, public;
-- the same refusals come from the function, where they can be caught
CREATE FUNCTION batch_error(VARIADIC arguments text[]) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SELECT fernet_rotate_batch(%s)', array_to_string(arguments, ', '));
	RETURN 'none';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;

-- a table that they take
SET fernet.key = :'old';
CREATE TABLE secrets (id integer, token text, generated text GENERATED ALWAYS AS (token) STORED, gone text, words tsvector, many integer[], c char(200));
ALTER TABLE secrets DROP COLUMN gone;
INSERT INTO secrets SELECT i, fernet_encrypt('secret ' || i) FROM generate_series(1, 3) AS i;
SET fernet.key = :'keys';
SELECT batch_error($$'secrets'$$, $$'token'$$);
CALL fernet_rotate_column('secrets', 'token');

-- not in a transaction block, for the procedures commit
BEGIN;
CALL fernet_rotate_column('secrets', 'token');
\echo :SQLSTATE
ROLLBACK;
BEGIN;
\set VERBOSITY sqlstate
CALL fernet_decrypt_column('secrets', 'token', confirm => true);
\set VERBOSITY default
ROLLBACK;
-- which several statements in one string are, too
CALL fernet_rotate_column('secrets', 'token')\; CALL fernet_rotate_column('secrets', 'token');
\echo :SQLSTATE
SELECT 1 AS one\; CALL fernet_decrypt_column('secrets', 'token', confirm => true);
-- nor in a function, a DO block with an exception block, or a procedure with
-- settings of its own
CREATE FUNCTION in_function() RETURNS void LANGUAGE plpgsql AS $$
DECLARE rotated bigint; unchanged bigint; failed bigint;
BEGIN
	CALL fernet_rotate_column('secrets', 'token', rotated => rotated, unchanged => unchanged, failed => failed);
END
$$;
SELECT in_function();
\echo :SQLSTATE
DO $$
DECLARE rotated bigint; unchanged bigint; failed bigint;
BEGIN
	CALL fernet_rotate_column('secrets', 'token', rotated => rotated, unchanged => unchanged, failed => failed);
EXCEPTION WHEN SQLSTATE '2D000' THEN
	RAISE WARNING '%', SQLERRM;
END
$$;
CREATE PROCEDURE in_procedure() LANGUAGE plpgsql SET search_path = regress_fernet_targets, public AS $$
DECLARE rotated bigint; unchanged bigint; failed bigint;
BEGIN
	CALL fernet_rotate_column('secrets', 'token', rotated => rotated, unchanged => unchanged, failed => failed);
END
$$;
CALL in_procedure();
\echo :SQLSTATE

-- not what is no table
CREATE VIEW a_view AS SELECT * FROM secrets;
CREATE MATERIALIZED VIEW a_matview AS SELECT * FROM secrets;
CREATE FOREIGN DATA WRAPPER regress_fernet_wrapper;
CREATE SERVER regress_fernet_server FOREIGN DATA WRAPPER regress_fernet_wrapper;
CREATE FOREIGN TABLE a_foreign_table (id integer, token text) SERVER regress_fernet_server;
CREATE INDEX an_index ON secrets (id, token);
CREATE SEQUENCE a_sequence;
CREATE TYPE a_type AS (id integer, token text);
CALL fernet_rotate_column('a_view', 'token');
\echo :SQLSTATE
CALL fernet_rotate_column('a_matview', 'token');
CALL fernet_rotate_column('a_foreign_table', 'token');
CALL fernet_rotate_column('an_index', 'token');
CALL fernet_rotate_column('a_sequence', 'last_value');
CALL fernet_rotate_column('a_type', 'token');
CALL fernet_decrypt_column('a_view', 'token', confirm => true);
-- nor a partitioned table of which one partition is no table, or by a batch
CREATE TABLE partitioned (id integer, token text) PARTITION BY LIST (id);
CREATE TABLE partition_1 PARTITION OF partitioned FOR VALUES IN (1);
SELECT relation, batch_error(quote_literal(relation), $$'token'$$) FROM unnest(ARRAY['a_view', 'partitioned', 'partition_1']) AS relation;
CALL fernet_rotate_column('partitioned', 'token');
CREATE FOREIGN TABLE partition_2 PARTITION OF partitioned FOR VALUES IN (2) SERVER regress_fernet_server;
CALL fernet_rotate_column('partitioned', 'token');
\echo :SQLSTATE
-- nor a catalog of the server, which a superuser may update
BEGIN;
SELECT * FROM fernet_rotate_batch('pg_catalog.pg_shdescription', 'description');
ROLLBACK;
CALL fernet_rotate_column('pg_catalog.pg_shdescription', 'description', dry_run => true);
\echo :SQLSTATE
-- nor what is not there
CALL fernet_rotate_column('no_such_table', 'token');
\echo :SQLSTATE
CALL fernet_rotate_column(4294967295::oid, 'token');
\echo :SQLSTATE
CALL fernet_rotate_column(0::oid, 'token');

-- not a column that cannot hold tokens
CALL fernet_rotate_column('secrets', 'missing');
\echo :SQLSTATE
CALL fernet_rotate_column('secrets', 'ctid');
\echo :SQLSTATE
CALL fernet_rotate_column('secrets', 'id');
\echo :SQLSTATE
CALL fernet_rotate_column('secrets', 'generated');
\echo :SQLSTATE
CALL fernet_decrypt_column('secrets', 'generated', confirm => true);
SELECT name, batch_error($$'secrets'$$, quote_literal(name))
FROM unnest(ARRAY['gone', '........pg.dropped.4........', 'tableoid', 'Token', '', 'words', 'many', 'c']) AS name;

-- not where row security hides rows from the caller
CREATE ROLE regress_fernet_one;
CREATE ROLE regress_fernet_two;
GRANT USAGE ON SCHEMA regress_fernet_targets TO regress_fernet_one, regress_fernet_two;
CREATE TABLE guarded AS SELECT * FROM secrets;
GRANT SELECT, UPDATE ON guarded TO regress_fernet_two;
ALTER TABLE guarded OWNER TO regress_fernet_one;
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
SET ROLE regress_fernet_two;
CALL fernet_rotate_column('guarded', 'token');
SET ROLE regress_fernet_one;
CALL fernet_rotate_column('guarded', 'token');
-- from the owner, too
ALTER TABLE guarded FORCE ROW LEVEL SECURITY;
CALL fernet_rotate_column('guarded', 'token');
\echo :SQLSTATE
RESET ROLE;
CALL fernet_rotate_column('guarded', 'token');

-- not where nothing can be written
SET default_transaction_read_only = on;
CALL fernet_rotate_column('secrets', 'token');
\echo :SQLSTATE
SELECT batch_error($$'secrets'$$, $$'token'$$);
RESET default_transaction_read_only;

-- not without a key: a key of SET LOCAL is gone
RESET fernet.key;
CALL fernet_rotate_column('secrets', 'token');
\echo :SQLSTATE
BEGIN;
SET LOCAL fernet.key = :'keys';
COMMIT;
\set VERBOSITY terse
CALL fernet_rotate_column('secrets', 'token');
CALL fernet_decrypt_column('secrets', 'token', confirm => true);
\set VERBOSITY default
SELECT batch_error($$'secrets'$$, $$'token'$$);

-- no refusal has left a lock behind, or changed anything
SELECT count(*) AS locks FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory';
SET fernet.key = :'keys';
SELECT id, fernet_key_index(token), fernet_decrypt(token) FROM secrets ORDER BY id;

SET search_path TO DEFAULT;
DROP SCHEMA regress_fernet_targets CASCADE;
DROP FOREIGN DATA WRAPPER regress_fernet_wrapper CASCADE;
DROP ROLE regress_fernet_one, regress_fernet_two;
