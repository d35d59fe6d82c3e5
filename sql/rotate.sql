--
-- fernet_rotate_column: re-encrypts every token of a column with the first key, in batches
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
LOAD 'pg_fernet';
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set old 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set keys 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=,a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set other 'a2V5IEMgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
CREATE SCHEMA regress_fernet_rotate;
SET search_path = regress_fernet_rotate, public;

-- a column of each type that holds tokens, some of them NULL, with a fixed timestamp
SET fernet.key = :'old';
CREATE DOMAIN token_domain AS varchar(200) CHECK (fernet_is_token(VALUE));
CREATE DOMAIN bytes_domain AS bytea NOT NULL DEFAULT '';
CREATE TABLE secrets (id integer PRIMARY KEY, a text, b varchar(120), c bytea, d token_domain, e bytes_domain);
INSERT INTO secrets
SELECT i, t, t, t::bytea, t, coalesce(t, fernet_encrypt(''))::bytea
FROM (SELECT i, CASE WHEN i % 10 > 0 THEN fernet_encrypt('secret ' || i, '2020-01-01 00:00:00+00') END AS t
	FROM generate_series(1, 100) AS i) AS v;
SET fernet.key = :'keys';
CALL fernet_rotate_column('secrets', 'a');
CALL fernet_rotate_column('secrets', 'b');
CALL fernet_rotate_column('secrets', 'c');
CALL fernet_rotate_column('secrets', 'd');
CALL fernet_rotate_column('secrets', 'e');
-- now the first key decrypts all; plaintexts and timestamps are the same
SELECT count(*), count(a) AS tokens,
	count(*) FILTER (WHERE 1 = ALL (ARRAY[fernet_key_index(a), fernet_key_index(b), fernet_key_index(c), fernet_key_index(d), fernet_key_index(e)])) AS first_key,
	count(*) FILTER (WHERE fernet_decrypt(a) = 'secret ' || id AND fernet_decrypt(c) = 'secret ' || id) AS same,
	count(*) FILTER (WHERE fernet_timestamp(a) = '2020-01-01 00:00:00+00') AS same_time
FROM secrets;
-- a second time there is nothing to do, and no row is written
SELECT md5(string_agg(ctid || ' ' || a, ',' ORDER BY id)) AS before FROM secrets \gset
CALL fernet_rotate_column('secrets', 'a');
SELECT md5(string_agg(ctid || ' ' || a, ',' ORDER BY id)) = :'before' AS same FROM secrets;
-- what the application wrote meanwhile with the old key is rotated
SET fernet.key = :'old';
UPDATE secrets SET a = fernet_encrypt('changed') WHERE id IN (10, 11);
INSERT INTO secrets (id, a) VALUES (101, fernet_encrypt('new'));
SET fernet.key = :'keys';
CALL fernet_rotate_column('secrets', 'a');
-- it reports its work
SET fernet.key = :'old';
UPDATE secrets SET a = fernet_encrypt('changed') WHERE id <= 3;
SET fernet.key = :'keys';
\set VERBOSITY terse
SET client_min_messages = notice;
CALL fernet_rotate_column('secrets', 'a');
SET client_min_messages = warning;
\set VERBOSITY default
DROP TABLE secrets;

-- several pages, dead rows and empty pages between, batches of few rows
SET fernet.key = :'old';
CREATE TABLE pages (id integer, token text);
INSERT INTO pages SELECT i, fernet_encrypt('secret ' || i) FROM generate_series(1, 1000) AS i;
DELETE FROM pages WHERE id BETWEEN 301 AND 600;
SET fernet.key = :'keys';
CALL fernet_rotate_column('pages', 'token', 10);
SELECT count(*), count(*) FILTER (WHERE fernet_key_index(token) = 1 AND fernet_decrypt(token) = 'secret ' || id) AS right FROM pages;
CALL fernet_rotate_column('pages', 'token', batch_rows => 1);
-- an empty table
TRUNCATE pages;
CALL fernet_rotate_column('pages', 'token');
DROP TABLE pages;

-- values that cannot be rotated: each has a warning, once, though there are two
-- passes, and the end is PF007
SET fernet.key = :'other';
CREATE TABLE failing (id integer, token text);
INSERT INTO failing VALUES (1, fernet_encrypt('under another key')), (2, 'a plaintext'), (3, '');
SET fernet.key = :'old';
INSERT INTO failing SELECT i, fernet_encrypt('secret ' || i, '2020-01-01 00:00:00+00') FROM generate_series(4, 6) AS i;
CREATE TEMPORARY TABLE kept AS SELECT ctid AS place, * FROM failing WHERE id <= 3;
SET fernet.key = :'keys';
CALL fernet_rotate_column('failing', 'token');
\echo :SQLSTATE
-- the others are rotated, and stay so; those that failed are as they were
SELECT id, fernet_decrypt(token), fernet_key_index(token), fernet_timestamp(token) FROM failing WHERE id > 3 ORDER BY id;
SELECT id, f.token = k.token AS same, f.ctid = k.place AS same_place FROM failing AS f JOIN kept AS k USING (id) ORDER BY id;
-- again, the same ones are left; by their SQLSTATEs
\set VERBOSITY sqlstate
CALL fernet_rotate_column('failing', 'token');
\set VERBOSITY terse
-- of many, only 20 are named in all passes together
TRUNCATE failing;
INSERT INTO failing SELECT i, 'a plaintext' FROM generate_series(1, 30) AS i;
SET fernet.key = :'old';
INSERT INTO failing SELECT i, fernet_encrypt('secret') FROM generate_series(31, 33) AS i;
SET fernet.key = :'keys';
CALL fernet_rotate_column('failing', 'token', batch_rows => 1);
\set VERBOSITY default
DROP TABLE failing, kept;

-- names that need quoting
SET fernet.key = :'old';
CREATE SCHEMA "regress_fernet Odd ""schema""";
CREATE TABLE "regress_fernet Odd ""schema"""."Order; DROP" ("select" integer, "a ""to'ken" text);
INSERT INTO "regress_fernet Odd ""schema"""."Order; DROP" VALUES (1, fernet_encrypt('secret')), (2, 'a plaintext');
SET fernet.key = :'keys';
CALL fernet_rotate_column('"regress_fernet Odd ""schema"""."Order; DROP"', 'a "to''ken');
SELECT "select", fernet_key_index("a ""to'ken") FROM "regress_fernet Odd ""schema"""."Order; DROP" ORDER BY 1;
DROP SCHEMA "regress_fernet Odd ""schema""" CASCADE;

-- a search_path with operators and types that would do harm
SET fernet.key = :'old';
CREATE TABLE secrets (id integer, token text);
INSERT INTO secrets SELECT i, fernet_encrypt('secret ' || i) FROM generate_series(1, 3) AS i;
SET fernet.key = :'keys';
CREATE SCHEMA regress_fernet_hostile;
CREATE FUNCTION regress_fernet_hostile.no(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'hostile operator'; END $$;
CREATE FUNCTION regress_fernet_hostile.no(tid, tid) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'hostile operator'; END $$;
CREATE OPERATOR regress_fernet_hostile.= (FUNCTION = regress_fernet_hostile.no, LEFTARG = text, RIGHTARG = text);
CREATE OPERATOR regress_fernet_hostile.>= (FUNCTION = regress_fernet_hostile.no, LEFTARG = tid, RIGHTARG = tid);
CREATE DOMAIN regress_fernet_hostile.text AS pg_catalog.text CHECK (length(VALUE) < 5);
CREATE TABLE regress_fernet_hostile.secrets (token pg_catalog.text);
SET search_path = regress_fernet_hostile, pg_catalog;
CALL public.fernet_rotate_column('regress_fernet_rotate.secrets', 'token');
SET search_path = regress_fernet_rotate, public;
DROP SCHEMA regress_fernet_hostile CASCADE;

-- a column whose collation treats different tokens as equal, if there is ICU
DO $$
BEGIN
	CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
EXCEPTION WHEN OTHERS THEN
	CREATE COLLATION any_case FROM "C";
END
$$;
SET fernet.key = :'old';
CREATE TABLE collated (token text COLLATE any_case);
INSERT INTO collated SELECT fernet_encrypt('secret') FROM generate_series(1, 3);
SET fernet.key = :'keys';
CALL fernet_rotate_column('collated', 'token');

SET search_path TO DEFAULT;
DROP SCHEMA regress_fernet_rotate CASCADE;
