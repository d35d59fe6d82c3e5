--
-- fernet_census and fernet_assert_rotated: may the old key be dropped?
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
RESET client_min_messages;
LOAD 'pg_fernet';
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set a 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set b 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set c 'a2V5IEMgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
CREATE SCHEMA regress_fernet_census;
SET search_path = regress_fernet_census, public;
CREATE ROLE regress_fernet_reader;
CREATE ROLE regress_fernet_nobody;
CREATE ROLE regress_fernet_owner;
GRANT USAGE ON SCHEMA regress_fernet_census TO regress_fernet_reader, regress_fernet_nobody, regress_fernet_owner;

-- keys in the order of the column, the first of which is the new one; values of
-- every kind, tokens of one day for each key
CREATE TABLE secrets (id integer GENERATED ALWAYS AS IDENTITY, token text);
SELECT set_config('fernet.key', :'a', false) \g /dev/null
INSERT INTO secrets (token) SELECT fernet_encrypt('x', '2023-01-01 00:00:00+00'::timestamptz + make_interval(days => i)) FROM generate_series(1, 30) AS i;
SELECT set_config('fernet.key', :'b', false) \g /dev/null
INSERT INTO secrets (token) SELECT fernet_encrypt('x', '2022-01-01 00:00:00+00'::timestamptz + make_interval(days => i)) FROM generate_series(1, 20) AS i;
SELECT set_config('fernet.key', :'c', false) \g /dev/null
INSERT INTO secrets (token) SELECT fernet_encrypt('x', '2021-01-01 00:00:00+00'::timestamptz + make_interval(days => i)) FROM generate_series(1, 10) AS i;
INSERT INTO secrets (token) VALUES ('a plaintext'), ('another'), (''), (left(fernet_encrypt('x'), 60)), (NULL), (NULL);
SELECT set_config('fernet.key', concat_ws(',', :'a', :'b', :'c'), false) \g /dev/null
SELECT * FROM fernet_census('secrets', 'token');
SELECT set_config('fernet.key', concat_ws(',', :'b', :'a'), false) \g /dev/null
SELECT * FROM fernet_census('secrets', 'token');
-- with a key that decrypts none
SELECT set_config('fernet.key', 'a2V5IEQgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=', false) \g /dev/null
SELECT * FROM fernet_census('secrets', 'token');
-- and without any key: the counts that need no key are still there
SELECT set_config('fernet.key', '', false) \g /dev/null
SELECT * FROM fernet_census('secrets', 'token');
-- it agrees with fernet_inspect, value by value; and adds up to count(column)
SELECT set_config('fernet.key', concat_ws(',', :'a', :'b'), false) \g /dev/null
SELECT CASE cause WHEN 'plaintext' THEN cause ELSE status END, i.key_index, i.fingerprint, count(*) AS tokens, min(created) AS oldest, max(created) AS newest
FROM secrets, fernet_inspect(token) AS i WHERE token IS NOT NULL GROUP BY 1, 2, 3
EXCEPT SELECT status, key_index, fingerprint, tokens, oldest, newest FROM fernet_census('secrets', 'token');
SELECT sum(tokens) = (SELECT count(token) FROM secrets) AS complete FROM fernet_census('secrets', 'token');

-- fernet_assert_rotated succeeds silently, or raises PF007 with the number left
DELETE FROM secrets WHERE token = '';
SELECT fernet_assert_rotated('secrets', 'token');
\echo :SQLSTATE
SELECT fernet_assert_rotated('secrets', 'token', on_plaintext => 'leave');
DELETE FROM secrets WHERE NOT fernet_is_token(token);
SELECT fernet_assert_rotated('secrets', 'token');
SET client_min_messages = warning;
SELECT set_config('fernet.key', concat_ws(',', :'a', :'b', :'c'), false) \g /dev/null
SELECT fernet_assert_rotated('secrets', 'token');
CALL fernet_rotate_column('secrets', 'token');
RESET client_min_messages;
SELECT fernet_assert_rotated('secrets', 'token') IS NOT NULL AS silent;
-- the times are those of the tokens, not of the rotation
SELECT * FROM fernet_census('secrets', 'token');
-- plaintexts may be left, what begins like a token never
INSERT INTO secrets (token) VALUES ('a plaintext'), ('fernet'), ('42');
SELECT fernet_assert_rotated('secrets', 'token');
SELECT fernet_assert_rotated('secrets', 'token', 'leave') IS NOT NULL AS silent;
INSERT INTO secrets (token) SELECT left(token, 50) FROM secrets LIMIT 1;
SELECT fernet_assert_rotated('secrets', 'token', 'leave');
DELETE FROM secrets WHERE NOT fernet_is_token(token);
-- without a key it raises an error
SELECT set_config('fernet.key', '', false) \g /dev/null
SELECT fernet_assert_rotated('secrets', 'token');
\echo :SQLSTATE
SELECT set_config('fernet.key', concat_ws(',', :'a', :'b'), false) \g /dev/null
SELECT fernet_assert_rotated('secrets', 'token', 'sometimes');
\echo :SQLSTATE
DROP TABLE secrets;

-- one value left among many is found wherever it is: first, last, in any page, kept
-- in its row or out of line
CREATE TABLE many (id integer PRIMARY KEY, token text);
INSERT INTO many SELECT i, fernet_encrypt(i::text) FROM generate_series(1, 3000) AS i;
SELECT set_config('fernet.key', :'b', false) \g /dev/null
CREATE TEMPORARY TABLE old AS SELECT fernet_encrypt('x') AS token, fernet_encrypt(string_agg(md5(i::text), '')) AS large FROM generate_series(1, 1000) AS i;
SELECT set_config('fernet.key', concat_ws(',', :'a', :'b'), false) \g /dev/null
SELECT fernet_assert_rotated('many', 'token') IS NOT NULL AS silent;
CREATE FUNCTION pg_temp.notices_one(place integer, value text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	before text = (SELECT token FROM many WHERE id = place);
	noticed boolean = false;
BEGIN
	UPDATE many SET token = value WHERE id = place;
	BEGIN
		PERFORM fernet_assert_rotated('many', 'token');
	EXCEPTION WHEN SQLSTATE 'PF007' THEN
		noticed := SQLERRM LIKE '1 of 3000 values in %';
	END;
	UPDATE many SET token = before WHERE id = place;
	RETURN noticed;
END
$$;
SELECT count(*) AS tried, count(*) FILTER (WHERE pg_temp.notices_one(place, old.token)) AS noticed,
	count(*) FILTER (WHERE pg_temp.notices_one(place, large)) AS large,
	count(*) FILTER (WHERE pg_temp.notices_one(place, 'plain')) AS plaintext
FROM old, unnest(ARRAY[1, 2, 56, 57, 1500, 2999, 3000]) AS place;
SELECT fernet_assert_rotated('many', 'token') IS NOT NULL AS silent;
-- what is deleted or rolled back does not count
BEGIN;
UPDATE many SET token = (SELECT token FROM old) WHERE id = 7;
SELECT status, tokens FROM fernet_census('many', 'token');
DELETE FROM many WHERE id = 7;
SELECT status, tokens FROM fernet_census('many', 'token');
ROLLBACK;
SELECT status, tokens FROM fernet_census('many', 'token');
-- it writes nothing, so it works in a read-only transaction
BEGIN READ ONLY;
SELECT status, tokens FROM fernet_census('many', 'token');
SELECT fernet_assert_rotated('many', 'token') IS NOT NULL AS silent;
COMMIT;
DROP TABLE many;

-- partitions, with columns in another order; and tables that inherit
CREATE TABLE parted (id integer, token text) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (100);
CREATE TABLE parted_2 (token text, dropped integer, id integer);
ALTER TABLE parted_2 DROP COLUMN dropped;
ALTER TABLE parted ATTACH PARTITION parted_2 FOR VALUES FROM (100) TO (200);
CREATE TABLE parted_3 PARTITION OF parted FOR VALUES FROM (200) TO (300) PARTITION BY LIST (id);
CREATE TABLE parted_3_default PARTITION OF parted_3 DEFAULT;
INSERT INTO parted SELECT i, fernet_encrypt(i::text, '2023-01-01 00:00:00+00') FROM generate_series(0, 290, 10) AS i;
SELECT fernet_assert_rotated('parted', 'token') IS NOT NULL AS silent;
SELECT set_config('fernet.key', :'b', false) \g /dev/null
INSERT INTO parted VALUES (299, fernet_encrypt('x', '2022-01-01 00:00:00+00'));
SELECT set_config('fernet.key', concat_ws(',', :'a', :'b'), false) \g /dev/null
SELECT status, tokens, oldest FROM fernet_census('parted', 'token');
SELECT status, tokens FROM fernet_census('parted_1', 'token');
SELECT status, tokens FROM fernet_census('parted_3', 'token');
SELECT fernet_assert_rotated('parted', 'token');
SELECT fernet_assert_rotated('parted_2', 'token') IS NOT NULL AS silent;
CREATE TABLE parent (id integer, token text);
CREATE TABLE child (more text) INHERITS (parent);
INSERT INTO parent VALUES (1, fernet_encrypt('x', '2023-01-01 00:00:00+00'));
INSERT INTO child VALUES (2, fernet_encrypt('x', '2023-01-01 00:00:00+00'), ''), (3, 'a plaintext', '');
SELECT status, tokens FROM fernet_census('parent', 'token');
SELECT status, tokens FROM fernet_census('child', 'token');
SELECT fernet_assert_rotated('parent', 'token');
DROP TABLE parted, parent, child;

-- each type that holds tokens, a domain, a generated column, an empty table
CREATE DOMAIN token_domain AS varchar(200) CHECK (fernet_is_token(VALUE));
CREATE TABLE typed (b bytea, v varchar(120), d token_domain, g text GENERATED ALWAYS AS (v || '') STORED, n integer);
SELECT count(*) AS groups FROM fernet_census('typed', 'b');
SELECT fernet_assert_rotated('typed', 'b');
SELECT fernet_assert_rotated('typed', 'b', allow_empty => true) IS NOT NULL AS silent;
INSERT INTO typed SELECT t::bytea, t, t FROM fernet_encrypt('x', '2023-01-01 00:00:00+00') AS t;
INSERT INTO typed VALUES ('\x00ff', 'a plaintext', NULL);
SELECT c AS column, status, key_index, tokens FROM unnest(ARRAY['b', 'v', 'd', 'g']) AS c, fernet_census('typed', c) ORDER BY 1, 2;
SELECT fernet_assert_rotated('typed', 'g');
SELECT fernet_census('typed', 'n');
SELECT fernet_census('typed', 'missing');
SELECT fernet_census('typed', 'ctid');
DROP TABLE typed;
-- a generated column that is not stored, where there are such, is either refused or
-- counted
DO $$
BEGIN
	IF current_setting('server_version_num')::integer < 180000 THEN
		RETURN;
	END IF;
	EXECUTE 'CREATE TABLE generated (v text, g text GENERATED ALWAYS AS (v) VIRTUAL)';
	INSERT INTO generated VALUES ('a plaintext');
	PERFORM fernet_assert_rotated('generated', 'g');
	RAISE 'overlooked';
EXCEPTION WHEN SQLSTATE 'PF007' OR feature_not_supported OR generated_always OR wrong_object_type THEN
	NULL;
END
$$;
-- only NULLs
CREATE TABLE nulls AS SELECT NULL::text AS token FROM generate_series(1, 10);
SELECT count(*) AS groups FROM fernet_census('nulls', 'token');
SELECT fernet_assert_rotated('nulls', 'token');
SELECT fernet_assert_rotated('nulls', 'token', allow_empty => true) IS NOT NULL AS silent;

-- no table
CREATE VIEW view AS SELECT * FROM nulls;
CREATE MATERIALIZED VIEW materialized AS SELECT * FROM nulls;
CREATE SEQUENCE sequence;
SELECT fernet_census('view', 'token');
\echo :SQLSTATE
SELECT fernet_census('materialized', 'token');
SELECT fernet_census('sequence', 'last_value');
SELECT fernet_assert_rotated('view', 'token');
SELECT fernet_census(0::regclass, 'token');

-- SELECT on the column is needed and is enough
CREATE TABLE owned (id integer, token text, other text);
INSERT INTO owned VALUES (1, fernet_encrypt('x', '2023-01-01 00:00:00+00'), '');
ALTER TABLE owned OWNER TO regress_fernet_owner;
GRANT SELECT (token) ON owned TO regress_fernet_reader;
SET ROLE regress_fernet_nobody;
SELECT fernet_census('regress_fernet_census.owned', 'token');
\echo :SQLSTATE
SELECT fernet_assert_rotated('regress_fernet_census.owned', 'token');
SET ROLE regress_fernet_reader;
SELECT status, tokens FROM fernet_census('owned', 'token');
SELECT fernet_assert_rotated('owned', 'token') IS NOT NULL AS silent;
SELECT fernet_census('owned', 'other');
-- row security is an error only for a role from which it would hide rows
RESET ROLE;
ALTER TABLE owned ENABLE ROW LEVEL SECURITY;
CREATE POLICY above_one ON owned USING (id > 1);
SET ROLE regress_fernet_reader;
SELECT fernet_census('owned', 'token');
\echo :SQLSTATE
SELECT fernet_assert_rotated('owned', 'token');
SET ROLE regress_fernet_owner;
SELECT status, tokens FROM fernet_census('owned', 'token');
RESET ROLE;
ALTER TABLE owned FORCE ROW LEVEL SECURITY;
SET ROLE regress_fernet_owner;
SELECT fernet_census('owned', 'token');
RESET ROLE;
SELECT status, tokens FROM fernet_census('owned', 'token');
-- the privileges on a partitioned table are those for its partitions
CREATE TABLE parted (id integer, token text) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted DEFAULT;
INSERT INTO parted VALUES (1, 'a plaintext');
GRANT SELECT ON parted TO regress_fernet_reader;
SET ROLE regress_fernet_reader;
SELECT status, tokens FROM fernet_census('parted', 'token');
SELECT fernet_census('parted_1', 'token');
RESET ROLE;

-- a search_path with operators that would do harm changes nothing
CREATE SCHEMA regress_fernet_hostile;
CREATE FUNCTION regress_fernet_hostile.no(tid, tid) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'hostile operator'; END $$;
CREATE OPERATOR regress_fernet_hostile.>= (FUNCTION = regress_fernet_hostile.no, LEFTARG = tid, RIGHTARG = tid);
SET search_path = regress_fernet_hostile, pg_catalog;
SELECT status, tokens FROM public.fernet_census('regress_fernet_census.parted', 'token');
RESET search_path;

SET client_min_messages = warning;
DROP SCHEMA regress_fernet_census, regress_fernet_hostile CASCADE;
DROP ROLE regress_fernet_reader, regress_fernet_nobody, regress_fernet_owner;
