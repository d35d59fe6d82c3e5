--
-- fernet_rotate_column: every token of a column under the first key, in batches
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
RESET client_min_messages;
LOAD 'pg_fernet';
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set old 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set keys 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=,a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set other 'a2V5IEMgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
CREATE SCHEMA regress_fernet_rotate;
SET search_path = regress_fernet_rotate, public;

-- a column of each type that holds tokens, some of them NULL, with a fixed timestamp
SELECT set_config('fernet.key', :'old', false);
CREATE DOMAIN token_domain AS varchar(200) CHECK (fernet_is_token(VALUE));
CREATE DOMAIN bytes_domain AS bytea NOT NULL DEFAULT '';
CREATE TABLE secrets (id integer PRIMARY KEY, a text, b varchar(120), c bytea, d token_domain, e bytes_domain);
INSERT INTO secrets
SELECT i, t, t, t::bytea, t, coalesce(t, fernet_encrypt(''))::bytea
FROM (SELECT i, CASE WHEN i % 10 > 0 THEN fernet_encrypt('secret ' || i, '2020-01-01 00:00:00+00') END AS t
	FROM generate_series(1, 100) AS i) AS v;
SELECT set_config('fernet.key', :'keys', false);
CALL fernet_rotate_column('secrets', 'a');
CALL fernet_rotate_column('secrets', 'b');
CALL fernet_rotate_column('secrets', 'c');
CALL fernet_rotate_column('secrets', 'd');
CALL fernet_rotate_column('secrets', 'e');
-- now the first key opens all, to the same plaintext and timestamp
SELECT count(*), count(a) AS tokens,
	count(*) FILTER (WHERE 1 = ALL (ARRAY[fernet_key_index(a), fernet_key_index(b), fernet_key_index(c), fernet_key_index(d), fernet_key_index(e)])) AS first_key,
	count(*) FILTER (WHERE fernet_decrypt(a) = 'secret ' || id AND fernet_decrypt(c) = 'secret ' || id) AS same,
	count(*) FILTER (WHERE fernet_timestamp(a) = '2020-01-01 00:00:00+00') AS same_time
FROM secrets;
-- a second time there is nothing to do
CALL fernet_rotate_column('secrets', 'a');
-- what the application wrote meanwhile with the old key is rotated
SELECT set_config('fernet.key', :'old', false);
UPDATE secrets SET a = fernet_encrypt('changed') WHERE id IN (10, 11);
INSERT INTO secrets (id, a) VALUES (101, fernet_encrypt('new'));
SELECT set_config('fernet.key', :'keys', false);
CALL fernet_rotate_column('secrets', 'a');
DROP TABLE secrets;

-- several pages, dead rows and empty pages between, batches of few rows
SELECT set_config('fernet.key', :'old', false);
CREATE TABLE pages (id integer, token text);
INSERT INTO pages SELECT i, fernet_encrypt('secret ' || i) FROM generate_series(1, 1000) AS i;
DELETE FROM pages WHERE id BETWEEN 301 AND 600;
SELECT set_config('fernet.key', :'keys', false);
CALL fernet_rotate_column('pages', 'token', 10);
SELECT count(*), count(*) FILTER (WHERE fernet_key_index(token) = 1 AND fernet_decrypt(token) = 'secret ' || id) AS right FROM pages;
CALL fernet_rotate_column('pages', 'token', batch_rows => 1);
-- large values, out of line
SELECT set_config('fernet.key', :'old', false);
UPDATE pages SET token = fernet_encrypt(repeat('large ', 3000)) WHERE id <= 20;
SELECT set_config('fernet.key', :'keys', false);
CALL fernet_rotate_column('pages', 'token');
SELECT count(*) FILTER (WHERE fernet_decrypt(token) = repeat('large ', 3000)) AS large FROM pages WHERE fernet_key_index(token) = 1;
-- an empty table
TRUNCATE pages;
CALL fernet_rotate_column('pages', 'token');
DROP TABLE pages;

-- values that cannot be rotated are left as they are, each with a warning; the end
-- is PF007
SELECT set_config('fernet.key', :'other', false);
CREATE TABLE failing (id integer, token text);
INSERT INTO failing VALUES (1, fernet_encrypt('under another key')), (2, 'a plaintext'), (3, '');
SELECT set_config('fernet.key', :'keys', false);
CALL fernet_rotate_column('failing', 'token');
\echo :SQLSTATE
-- the others are rotated, and stay so
SELECT set_config('fernet.key', :'old', false);
INSERT INTO failing SELECT i, fernet_encrypt('secret') FROM generate_series(4, 6) AS i;
SELECT set_config('fernet.key', :'keys', false);
SET client_min_messages = error;
CALL fernet_rotate_column('failing', 'token');
RESET client_min_messages;
SELECT id, fernet_key_index(token), fernet_is_token(token) FROM failing ORDER BY id;
-- of many, 20 are named
TRUNCATE failing;
INSERT INTO failing SELECT i, 'a plaintext' FROM generate_series(1, 30) AS i;
\set VERBOSITY terse
CALL fernet_rotate_column('failing', 'token');
\set VERBOSITY default
DROP TABLE failing;

-- names that need quoting
SELECT set_config('fernet.key', :'old', false);
CREATE SCHEMA "regress_fernet Odd ""schema""";
CREATE TABLE "regress_fernet Odd ""schema"""."Order; DROP" ("select" integer, "a ""to'ken" text);
INSERT INTO "regress_fernet Odd ""schema"""."Order; DROP" VALUES (1, fernet_encrypt('secret'));
SELECT set_config('fernet.key', :'keys', false);
CALL fernet_rotate_column('"regress_fernet Odd ""schema"""."Order; DROP"', 'a "to''ken');
INSERT INTO "regress_fernet Odd ""schema"""."Order; DROP" VALUES (2, 'a plaintext');
CALL fernet_rotate_column('"regress_fernet Odd ""schema"""."Order; DROP"', 'a "to''ken');
SELECT "select", fernet_key_index("a ""to'ken") FROM "regress_fernet Odd ""schema"""."Order; DROP" ORDER BY 1;
\set VERBOSITY terse
DROP SCHEMA "regress_fernet Odd ""schema""" CASCADE;
\set VERBOSITY default

-- a search_path with functions, operators and types that would do harm
SELECT set_config('fernet.key', :'old', false);
CREATE TABLE secrets (id integer, token text);
INSERT INTO secrets SELECT i, fernet_encrypt('secret ' || i) FROM generate_series(1, 3) AS i;
SELECT set_config('fernet.key', :'keys', false);
CREATE SCHEMA regress_fernet_hostile;
CREATE FUNCTION regress_fernet_hostile.unnest(anyarray) RETURNS SETOF anyelement LANGUAGE plpgsql AS $$ BEGIN RAISE 'hostile unnest'; END $$;
CREATE FUNCTION regress_fernet_hostile.no(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'hostile operator'; END $$;
CREATE FUNCTION regress_fernet_hostile.no(tid, tid) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'hostile operator'; END $$;
CREATE OPERATOR regress_fernet_hostile.= (FUNCTION = regress_fernet_hostile.no, LEFTARG = text, RIGHTARG = text);
CREATE OPERATOR regress_fernet_hostile.= (FUNCTION = regress_fernet_hostile.no, LEFTARG = tid, RIGHTARG = tid);
CREATE OPERATOR regress_fernet_hostile.>= (FUNCTION = regress_fernet_hostile.no, LEFTARG = tid, RIGHTARG = tid);
CREATE OPERATOR regress_fernet_hostile.< (FUNCTION = regress_fernet_hostile.no, LEFTARG = tid, RIGHTARG = tid);
CREATE DOMAIN regress_fernet_hostile.text AS pg_catalog.text CHECK (length(VALUE) < 5);
CREATE TABLE regress_fernet_hostile.secrets (token pg_catalog.text);
SET search_path = regress_fernet_hostile, pg_catalog;
CALL public.fernet_rotate_column('regress_fernet_rotate.secrets', 'token');
SET search_path = regress_fernet_rotate, public;
\set VERBOSITY terse
DROP SCHEMA regress_fernet_hostile CASCADE;
\set VERBOSITY default

-- a column whose collation takes different tokens for equal, where there is ICU
DO $$
BEGIN
	CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
EXCEPTION WHEN OTHERS THEN
	CREATE COLLATION any_case FROM "C";
END
$$;
SELECT set_config('fernet.key', :'old', false);
CREATE TABLE collated (token text COLLATE any_case);
INSERT INTO collated SELECT fernet_encrypt('secret') FROM generate_series(1, 3);
SELECT set_config('fernet.key', :'keys', false);
CALL fernet_rotate_column('collated', 'token');

-- triggers fire, as on any UPDATE, and what they write is kept
SELECT set_config('fernet.key', :'old', false);
UPDATE secrets SET token = fernet_encrypt('secret ' || id);
SELECT set_config('fernet.key', :'keys', false);
CREATE FUNCTION note_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE NOTICE 'trigger for row %', NEW.id;
	NEW.id := NEW.id + 100;
	RETURN NEW;
END
$$;
CREATE TRIGGER note BEFORE UPDATE ON secrets FOR EACH ROW EXECUTE FUNCTION note_update();
CALL fernet_rotate_column('secrets', 'token');
SELECT id, fernet_key_index(token) FROM secrets ORDER BY id;
DROP TRIGGER note ON secrets;
-- one that refuses the update leaves the value
SELECT set_config('fernet.key', :'old', false);
UPDATE secrets SET token = fernet_encrypt('secret');
SELECT set_config('fernet.key', :'keys', false);
CREATE FUNCTION keep_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER keep BEFORE UPDATE ON secrets FOR EACH ROW WHEN (OLD.id = 101) EXECUTE FUNCTION keep_row();
CALL fernet_rotate_column('secrets', 'token');
SELECT id, fernet_key_index(token) FROM secrets ORDER BY id;
DROP TRIGGER keep ON secrets;
CALL fernet_rotate_column('secrets', 'token');

SET search_path TO DEFAULT;
SET client_min_messages = warning;
DROP SCHEMA regress_fernet_rotate CASCADE;
