--
-- fernet_rotation: a row for each job on a column; and who sees it
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
LOAD 'pg_fernet';
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set old 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set keys 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=,a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set other 'a2V5IEMgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
CREATE SCHEMA "regress_fernet Ledger";
SET search_path = "regress_fernet Ledger", public;
CREATE ROLE regress_fernet_one;
CREATE ROLE regress_fernet_two;
CREATE ROLE regress_fernet_monitor IN ROLE pg_monitor;
GRANT ALL ON SCHEMA "regress_fernet Ledger" TO regress_fernet_one, regress_fernet_two;
-- rows from before, if there are any, are not ours
SELECT coalesce(max(id), 0) AS before FROM fernet_rotation \gset
CREATE FUNCTION pg_temp.ledger(after bigint, OUT relation text, OUT column_name text, OUT operation text,
	OUT slices text, OUT fingerprint text, OUT state text, OUT counts text, OUT all_pages boolean, OUT right_times boolean, OUT this_session boolean)
	RETURNS SETOF record LANGUAGE sql AS $$
	SELECT relation, column_name, operation, slice || '/' || slices, fingerprint, state,
		format('%s rotated, %s unchanged, %s failed', rotated, unchanged, failed), pages_done = pages_total,
		started <= updated AND updated <= clock_timestamp() AND updated <= finished AND finished - updated < interval '1 s',
		pid = pg_backend_pid() AND role = current_user
	FROM fernet_rotation WHERE id > after ORDER BY id
$$;

-- a rotation; the same again; with values that fail; all that a job may be
SELECT set_config('fernet.key', :'old', false) \g /dev/null
CREATE TABLE "Secrets" (id integer, "The token" text, bytes bytea);
INSERT INTO "Secrets" SELECT i, t, t::bytea FROM (SELECT i, fernet_encrypt('secret ' || i) AS t FROM generate_series(1, 40) AS i) AS v;
SELECT set_config('fernet.key', :'keys', false) \g /dev/null
CALL fernet_rotate_column('"Secrets"', 'The token');
CALL fernet_rotate_column('"Secrets"', 'The token', batch_rows => 10);
CALL fernet_rotate_column('"Secrets"', 'bytes', slice => 2, slices => 3);
CALL fernet_rotate_column('"Secrets"', 'bytes', slice => 1, slices => 3);
INSERT INTO "Secrets" VALUES (41, 'a plaintext'), (42, overlay(fernet_encrypt('x') PLACING 'AAAA' FROM 30));
SET client_min_messages = error;
CALL fernet_rotate_column('"Secrets"', 'The token');
RESET client_min_messages;
SET client_min_messages = warning;
DELETE FROM "Secrets" WHERE id = 42;
CALL fernet_rotate_column('"Secrets"', 'The token', on_plaintext => 'leave');
CALL fernet_rotate_column('"Secrets"', 'The token', on_plaintext => 'encrypt');
CALL fernet_decrypt_column('"Secrets"', 'The token', confirm => true);
SELECT * FROM pg_temp.ledger(:before);
-- pages and passes of a table of several pages
SELECT set_config('fernet.key', :'old', false) \g /dev/null
CREATE TABLE pages AS SELECT i AS id, fernet_encrypt('secret ' || i) AS token FROM generate_series(1, 1000) AS i;
SELECT set_config('fernet.key', :'keys', false) \g /dev/null
SELECT max(id) AS last FROM fernet_rotation \gset
CALL fernet_rotate_column('pages', 'token', batch_rows => 100);
SELECT state, pass, pages_total >= 10 AS several_pages, pages_done = pages_total AS all, rotated FROM fernet_rotation WHERE id > :last;
-- the ledger is its owner's, who may want no rows in it, or no changes of them
SELECT max(id) AS last FROM fernet_rotation \gset
CREATE FUNCTION no_row() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER no_row BEFORE INSERT ON fernet_rotation FOR EACH ROW EXECUTE FUNCTION no_row();
CALL fernet_rotate_column('pages', 'token', batch_rows => 100);
DROP TRIGGER no_row ON fernet_rotation;
SELECT count(*) FROM fernet_rotation WHERE id > :last;
CREATE TRIGGER no_row BEFORE UPDATE ON fernet_rotation FOR EACH ROW EXECUTE FUNCTION no_row();
CALL fernet_rotate_column('pages', 'token', batch_rows => 100);
DROP TRIGGER no_row ON fernet_rotation;
SELECT count(*), bool_and(finished IS NULL) AS unfinished FROM fernet_rotation WHERE id > :last;
DELETE FROM fernet_rotation WHERE id > :last;
-- or a trigger that waits for the commit, which must not have the caller's rights there
SELECT pg_get_userbyid(relowner) AS owner FROM pg_class WHERE oid = 'fernet_rotation'::regclass \gset
ALTER TABLE fernet_rotation OWNER TO regress_fernet_one;
SET ROLE regress_fernet_one;
CREATE TABLE seen (role name);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS
	'BEGIN INSERT INTO "regress_fernet Ledger".seen VALUES (current_user); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER see AFTER INSERT OR UPDATE ON fernet_rotation DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION see();
RESET ROLE;
CALL fernet_rotate_column('pages', 'token', batch_rows => 100);
SELECT DISTINCT role FROM seen;
DROP TRIGGER see ON fernet_rotation;
ALTER TABLE fernet_rotation OWNER TO :"owner";
-- an empty table, a partitioned one
TRUNCATE pages;
CREATE TABLE parted (id integer, token text) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (10) TO (20);
SELECT set_config('fernet.key', :'old', false) \g /dev/null
INSERT INTO parted SELECT i, fernet_encrypt('x') FROM generate_series(0, 19) AS i;
SELECT set_config('fernet.key', :'keys', false) \g /dev/null
SELECT max(id) AS last FROM fernet_rotation \gset
CALL fernet_rotate_column('pages', 'token');
CALL fernet_rotate_column('parted', 'token');
SELECT relation, state, counts, all_pages, right_times FROM pg_temp.ledger(:last);

-- what writes nothing leaves no row: a dry run, a batch of one's own, a call that is
-- refused
SELECT max(id) AS last FROM fernet_rotation \gset
CALL fernet_rotate_column('parted', 'token', dry_run => true);
SELECT rotated, unchanged FROM fernet_rotate_batch('parted_1', 'token');
\set VERBOSITY sqlstate
CALL fernet_decrypt_column('parted', 'token');
CREATE VIEW view AS SELECT * FROM parted;
CALL fernet_rotate_column('view', 'token');
BEGIN;
CALL fernet_rotate_column('parted', 'token');
ROLLBACK;
SELECT set_config('fernet.key', '', false) \g /dev/null
CALL fernet_rotate_column('parted', 'token');
\set VERBOSITY default
SELECT set_config('fernet.key', :'keys', false) \g /dev/null
SELECT count(*) AS new FROM fernet_rotation WHERE id > :last;
-- when nothing runs, nothing is under way
SELECT count(*) AS under_way FROM fernet_rotation_progress;
-- the row of a job whose session is gone says so at once, and in the table when the
-- next job begins
UPDATE fernet_rotation SET state = 'running', finished = NULL, pid = 0, pass = 1, pages_done = 25, pages_total = 100, rotated = 7
WHERE id = :last;
SELECT relation, column_name, role = current_user AS own, state, share, rotated FROM fernet_rotation_progress;
SELECT state FROM fernet_rotation WHERE pid = 0;
CALL fernet_rotate_column('parted', 'token');
SELECT count(*) AS under_way FROM fernet_rotation_progress;
SELECT state, finished FROM fernet_rotation WHERE pid = 0;
-- a job that was interrupted by an error of its own
CREATE FUNCTION interrupt() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '57014'; END $$;
CREATE TRIGGER interrupt BEFORE UPDATE ON parted_1 FOR EACH ROW EXECUTE FUNCTION interrupt();
SELECT set_config('fernet.key', :'old', false) \g /dev/null
INSERT INTO parted VALUES (1, fernet_encrypt('x'));
SELECT set_config('fernet.key', :'keys', false) \g /dev/null
SELECT max(id) AS last FROM fernet_rotation \gset
\set VERBOSITY sqlstate
CALL fernet_rotate_column('parted', 'token');
\set VERBOSITY default
DROP TRIGGER interrupt ON parted_1;
CALL fernet_rotate_column('parted', 'token');
SELECT relation, state, counts FROM pg_temp.ledger(:last);

-- ordinary roles: each sees its own rows, and writes none; a member of pg_monitor
-- sees all, and writes none; the extension's owner may tidy up
SELECT max(id) AS last FROM fernet_rotation \gset
SET ROLE regress_fernet_one;
CREATE TABLE of_one AS SELECT fernet_encrypt('x') AS token;
CALL fernet_rotate_column('of_one', 'token');
SET ROLE regress_fernet_two;
CREATE TABLE of_two AS SELECT fernet_encrypt('x') AS token;
CALL fernet_rotate_column('of_two', 'token');
CALL fernet_rotate_column('of_two', 'token');
SET ROLE regress_fernet_one;
SELECT relation, role, state FROM fernet_rotation WHERE id > :last ORDER BY id;
SELECT count(*) AS others FROM fernet_rotation WHERE role <> 'regress_fernet_one';
SELECT count(*) AS under_way FROM fernet_rotation_progress;
SET ROLE regress_fernet_two;
SELECT relation, role, state FROM fernet_rotation WHERE id > :last ORDER BY id;
SET ROLE regress_fernet_monitor;
SELECT relation, role, state FROM fernet_rotation WHERE id > :last ORDER BY id;
SELECT count(*) > 10 AS sees_all FROM fernet_rotation;
RESET ROLE;
SELECT relation, role, state FROM fernet_rotation WHERE id > :last ORDER BY id;
-- the progress of others is not for ordinary roles either
UPDATE fernet_rotation SET state = 'running', finished = NULL, pid = 0 WHERE id > :last;
SET ROLE regress_fernet_one;
SELECT relation, state FROM fernet_rotation_progress ORDER BY id;
SET ROLE regress_fernet_monitor;
SELECT relation, state FROM fernet_rotation_progress ORDER BY id;
RESET ROLE;
\set VERBOSITY terse
SET ROLE regress_fernet_one;
INSERT INTO fernet_rotation (relation) VALUES ('');
UPDATE fernet_rotation SET rotated = 0;
DELETE FROM fernet_rotation;
TRUNCATE fernet_rotation;
ALTER TABLE fernet_rotation DISABLE ROW LEVEL SECURITY;
DROP POLICY own_rows ON fernet_rotation;
SELECT nextval('fernet_rotation_id_seq');
UPDATE fernet_rotation_progress SET relation = '';
SET ROLE regress_fernet_monitor;
UPDATE fernet_rotation SET rotated = 0;
DELETE FROM fernet_rotation;
RESET ROLE;
\set VERBOSITY default
DELETE FROM fernet_rotation WHERE id > :before;
-- without the table's row security a role would see all: it is on
SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = 'fernet_rotation'::regclass;

-- in a schema of another name, and called by one whose search_path does not have it
CREATE SCHEMA regress_fernet_home;
ALTER EXTENSION pg_fernet SET SCHEMA regress_fernet_home;
GRANT USAGE ON SCHEMA regress_fernet_home TO regress_fernet_one;
SET ROLE regress_fernet_one;
SET search_path = pg_catalog;
CALL regress_fernet_home.fernet_rotate_column('"regress_fernet Ledger".of_one', 'token');
SELECT relation, state, unchanged FROM regress_fernet_home.fernet_rotation;
SELECT count(*) AS under_way FROM regress_fernet_home.fernet_rotation_progress;
RESET ROLE;
ALTER EXTENSION pg_fernet SET SCHEMA public;
RESET search_path;
DELETE FROM fernet_rotation WHERE id > :before;

DROP SCHEMA "regress_fernet Ledger", regress_fernet_home CASCADE;
DROP ROLE regress_fernet_one, regress_fernet_two, regress_fernet_monitor;
