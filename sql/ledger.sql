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
CREATE FUNCTION pg_temp.ledger(after bigint, OUT relation text, OUT columns text, OUT operation text,
	OUT slices text, OUT fingerprint text, OUT state text, OUT counts text, OUT all_pages boolean, OUT right_times boolean, OUT this_session boolean)
	RETURNS SETOF record LANGUAGE sql AS $$
	SELECT relation, columns::text, operation, slice || '/' || slices, fingerprint, state,
		format('%s rotated, %s unchanged, %s failed', rotated, unchanged, failed), done = total,
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
SELECT state, pass, total >= 10 AS several_pages, done = total AS all, rotated FROM fernet_rotation WHERE id > :last;
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
SELECT relation, state, finished FROM fernet_rotation WHERE id > :last;
SELECT state FROM fernet_ledger WHERE id > :last;
SELECT count(*) AS under_way FROM fernet_rotation_progress;
CALL fernet_rotate_column('parted', 'token');
SELECT relation, state, counts FROM pg_temp.ledger(:last);
SELECT state FROM fernet_ledger WHERE id > :last ORDER BY id;

-- ordinary roles: each sees its own rows; a member of pg_monitor sees all
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
-- A function that a role may call shows it no more, and a leaky condition sees no
-- more than the view shows.
CREATE FUNCTION leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS
	$$ BEGIN RAISE NOTICE 'seen: %', $1; RETURN true; END $$;
SET client_min_messages = notice;
SET ROLE regress_fernet_one;
SELECT relation FROM fernet_ledger_rows() WHERE id > :last;
SELECT relation FROM fernet_rotation WHERE leak(relation) AND id > :last;
RESET ROLE;
SET client_min_messages = warning;

-- Nobody writes to what lies behind the ledger, locks it or attaches anything to it,
-- not even a superuser.
\set VERBOSITY terse
INSERT INTO fernet_ledger (id) VALUES (1);
UPDATE fernet_ledger SET rotated = 0;
DELETE FROM fernet_ledger;
TRUNCATE fernet_ledger;
UPDATE fernet_rotation SET rotated = 0;
DELETE FROM fernet_rotation;
SELECT id FROM fernet_ledger FOR UPDATE;
BEGIN;
LOCK TABLE fernet_ledger IN ACCESS SHARE MODE;
ROLLBACK;
CREATE FUNCTION no_row() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER no_row BEFORE UPDATE ON fernet_ledger FOR EACH ROW EXECUTE FUNCTION no_row();
CREATE RULE no_row AS ON UPDATE TO fernet_ledger DO INSTEAD NOTHING;
CREATE POLICY no_row ON fernet_ledger USING (false);
ALTER TABLE fernet_ledger ENABLE ROW LEVEL SECURITY;
ALTER TABLE fernet_ledger ALTER rotated SET DEFAULT 1;
ALTER TABLE fernet_ledger ADD CHECK (rotated = 0);
ALTER TABLE fernet_ledger ADD COLUMN more text;
CREATE TABLE child () INHERITS (fernet_ledger);
CREATE TABLE parent (id bigint);
ALTER TABLE fernet_ledger INHERIT parent;
CREATE PUBLICATION regress_fernet_ledger FOR TABLE fernet_ledger;
\set VERBOSITY default
DROP FUNCTION no_row();
SET client_min_messages = error;
CREATE PUBLICATION regress_fernet_ledger FOR ALL TABLES;
SET client_min_messages = warning;
SELECT count(*) AS published FROM pg_publication_tables
WHERE pubname = 'regress_fernet_ledger' AND tablename ~ 'fernet_';
DROP PUBLICATION regress_fernet_ledger;

-- REFRESH and VACUUM FULL leave the rows as they are, and jobs go on.
SELECT md5(string_agg(l::text, ',' ORDER BY id)) AS all FROM fernet_ledger AS l \gset
REFRESH MATERIALIZED VIEW fernet_ledger;
SELECT md5(string_agg(l::text, ',' ORDER BY id)) = :'all' AS same FROM fernet_ledger AS l;
VACUUM (FULL, ANALYZE) fernet_ledger;
SELECT md5(string_agg(l::text, ',' ORDER BY id)) = :'all' AS same FROM fernet_ledger AS l;
SELECT max(id) AS last FROM fernet_rotation \gset
CALL fernet_rotate_column('parted', 'token');
SELECT id - :last AS next, state FROM fernet_rotation WHERE id > :last;

-- more rows than a page has
SELECT pg_relation_size('fernet_ledger') AS size \gset
DO $$
DECLARE a bigint; b bigint; c bigint;
BEGIN
	FOR i IN 1 .. 60 LOOP
		CALL fernet_rotate_column('pages', 'token', rotated => a, unchanged => b, failed => c);
	END LOOP;
END $$;
SELECT count(*), count(DISTINCT id), bool_and(state = 'done') AS done FROM fernet_rotation WHERE id > :last + 1;
SELECT pg_relation_size('fernet_ledger') > :size AS grown;

-- in a schema of another name, and called by one whose search_path does not have it
CREATE SCHEMA regress_fernet_home;
ALTER EXTENSION pg_fernet SET SCHEMA regress_fernet_home;
GRANT USAGE ON SCHEMA regress_fernet_home TO regress_fernet_one;
SET ROLE regress_fernet_one;
SET search_path = pg_catalog;
CALL regress_fernet_home.fernet_rotate_column('"regress_fernet Ledger".of_one', 'token');
SELECT relation, state, unchanged FROM regress_fernet_home.fernet_rotation ORDER BY id;
SELECT count(*) AS under_way FROM regress_fernet_home.fernet_rotation_progress;
RESET ROLE;
ALTER EXTENSION pg_fernet SET SCHEMA public;
RESET search_path;

DROP SCHEMA "regress_fernet Ledger", regress_fernet_home CASCADE;
DROP ROLE regress_fernet_one, regress_fernet_two, regress_fernet_monitor;
