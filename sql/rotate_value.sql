--
-- fernet_rotate_value: the tokens in a value of any type, where they stand
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
RESET client_min_messages;
LOAD 'pg_fernet';
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set VERBOSITY terse
\set old 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8='
\set new 'Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA='
\set other 'MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE='

SET fernet.key = :'other';
SELECT fernet_encrypt('secret'::text, '2020-01-01 UTC'::timestamptz) AS stranger \gset
SET fernet.key = :'new';
SELECT fernet_encrypt('secret'::text, '2020-01-01 UTC'::timestamptz) AS done \gset
SET fernet.key = :'old';
SELECT fernet_encrypt('secret'::text, '2020-01-01 UTC'::timestamptz) AS token,
	fernet_encrypt('second'::text, '2021-01-01 UTC'::timestamptz) AS second \gset
SELECT fernet_encrypt(:'token', '2022-01-01 UTC'::timestamptz) AS nested,
	fernet_encrypt('like ' || :'stranger') AS quoting, fernet_encrypt('like ' || left(:'token', 80)) AS remnant \gset
SELECT set_config('fernet.key', :'new' || ',' || :'old', false) \g /dev/null
SET regress.new = :'new';

-- shown is a value with T for its tokens that the first key decrypts, O for
-- those of the second, and ? for others. What is around them shows as it is.
CREATE FUNCTION shown(value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	token text;
BEGIN
	FOR token IN SELECT m[1] FROM regexp_matches(value, '(gAAAAA[A-Za-z0-9_-]{92,}={0,2})', 'g') AS m LOOP
		value := replace(value, token, CASE fernet_key_index(token) WHEN 1 THEN 'T' WHEN 2 THEN 'O' ELSE '?' END);
	END LOOP;
	RETURN value;
END $$;

-- A value that is a token comes out as from fernet_rotate,
SELECT fernet_decrypt(rotated), fernet_timestamp(rotated), fernet_key_index(rotated),
		fernet_rotate_value(rotated) = rotated AS again
	FROM fernet_rotate_value(:'token'::text) AS rotated;
SELECT shown(fernet_rotate_value(rtrim(:'token', '=') || E'\n')) AS like_fernet_rotate;
SELECT fernet_rotate_value(:'done'::text) = :'done' AS unchanged;
SELECT pg_typeof(rotated), fernet_decrypt(rotated) FROM fernet_rotate_value(:'token'::bytea) AS rotated;
SELECT pg_typeof(rotated), fernet_decrypt(rotated) FROM fernet_rotate_value(:'token'::varchar(200)) AS rotated;
SELECT pg_typeof(rotated), fernet_decrypt(rotated::text) FROM fernet_rotate_value(:'token'::char(200)) AS rotated;
-- and one that holds tokens changes nowhere else.
SELECT shown(fernet_rotate_value('v1:' || :'token')),
	shown(fernet_rotate_value('{"a" : "' || rtrim(:'token', '=') || '" , "b": [1.0,"' || :'second' || E'"]}\n'))
		AS text,
	shown(fernet_rotate_value(('{"a" : "' || :'token' || '" , "a": 1.00}')::json)::text) AS json,
	shown(fernet_rotate_value(('{"z": 1.00, "a": ["' || :'token' || '", null, true, {}], "b": "' || :'second' || '"}')::jsonb)::text)
		AS jsonb;
SELECT encode(fernet_rotate_value('\xff00'::bytea || :'token'::bytea || '\x00fe'::bytea), 'escape')
		LIKE '\\377\\000gAAAAA%==\\000\\376' AS around_it;
SELECT shown(convert_from(decode(substring(fernet_rotate_value('Basic ' || encode(:'token'::bytea, 'base64')) FROM 7), 'base64'), 'UTF8'))
	AS in_base64;
SELECT fernet_decrypt(fernet_decrypt(fernet_rotate_value('["' || :'nested' || '"]'::text)::jsonb ->> 0)) AS in_a_token;

SELECT fernet_key_index((fernet_rotate_value(ARRAY[:'remnant']))[1]), fernet_key_index(fernet_rotate_value(:'remnant'::text));

-- jsonb of every shape; a token as the key of an object, where keys are sorted
SELECT shown(fernet_rotate_value(v::jsonb)::text) FROM (VALUES
	(1, to_jsonb(:'token'::text)),
	(2, jsonb_build_array(:'token')),
	(3, jsonb_build_object('k', :'token')),
	(4, jsonb_build_object('a', jsonb_build_array(1, jsonb_build_object('b', :'token', 'c', '[]'::jsonb), 'x'))),
	(5, '[]'), (6, '{}'), (7, 'null'), (8, '"gAAAAA"'), (9, '[[[[]]], {"a": {}}]')) AS v (n, v) ORDER BY n;
SELECT count(*) AS keys, count(*) FILTER (WHERE value -> k = to_jsonb(n)) AS found,
		string_agg(DISTINCT shown(k), ' ' ORDER BY shown(k)) AS shown, bool_and(value = value::text::jsonb) AS sorted
	FROM (SELECT fernet_rotate_value(jsonb_object_agg(k, n)) AS value
			FROM (SELECT fernet_encrypt('k' || n, '2020-01-01 UTC') AS k, n FROM generate_series(1, 50) AS n
				UNION ALL SELECT :'token', 51 UNION ALL SELECT :'second', 52 UNION ALL SELECT 'k', 53) AS pairs) AS document,
		jsonb_each(value) AS pair (k, n);
-- arrays: bounds, dimensions and NULLs stay.
SELECT shown(fernet_rotate_value(ARRAY[:'token', NULL, '', 'x,"y'])::text) AS nulls,
	shown(fernet_rotate_value(('[3:4][-1:0]={{a,b},{c,' || :'token' || '}}')::text[])::text) AS dimensions,
	fernet_rotate_value('{}'::text[]) AS empty, fernet_rotate_value(ARRAY[1, 2]) AS integers,
	shown(fernet_rotate_value(ARRAY[jsonb_build_array(:'token'), 'null'])::text) AS documents;
SET array_nulls = off;
SELECT shown(fernet_rotate_value(ARRAY[:'token', NULL])::text);
RESET array_nulls;
-- Floats and times in rows stay exactly what they are.
CREATE TYPE connection AS (name text, secret varchar(200), ratio float8, at timestamptz, nothing int, tags text[]);
SET extra_float_digits = 0;
SET datestyle = 'SQL, DMY';
SELECT (r).ratio = 0.1::float8 + 0.2 AS same_float, (r).at = '2020-02-01 00:00:00.123456Z' AS same_time, shown((r).secret), shown((r).tags[2]), (r).nothing
	FROM fernet_rotate_value(ROW('c', :'token', 0.1::float8 + 0.2, '2020-02-01 00:00:00.123456Z', NULL, ARRAY['x', :'second'])::connection) AS r
	OFFSET 0;
RESET extra_float_digits;
RESET datestyle;
SELECT shown(fernet_rotate_value(ROW(1, :'token'::text, NULL))::text) AS record,
	shown(fernet_rotate_value(ARRAY[ROW('a', :'token', 1, NULL, NULL, NULL)::connection, NULL])::text) AS rows;
ALTER TYPE connection DROP ATTRIBUTE name;
ALTER TYPE connection ADD ATTRIBUTE more jsonb;
SELECT shown(fernet_rotate_value(ROW(:'token', 1, NULL, NULL, NULL, jsonb_build_array(:'second'))::connection)::text);
-- a field that is compressed in the row
CREATE TABLE compressed (value text);
ALTER TABLE compressed ALTER value SET STORAGE MAIN;
INSERT INTO compressed VALUES (repeat('x ', 3000) || :'token');
SELECT length((r).value), shown(substr((r).value, 6001)) FROM (SELECT fernet_rotate_value(compressed) AS r FROM compressed) AS rows;
-- ranges
CREATE TYPE textrange AS RANGE (subtype = text, collation = "C");
SELECT shown(fernet_rotate_value(textrange('a', :'token', '[]'))::text),
	shown(fernet_rotate_value(textrange(NULL, :'token'))::text), fernet_rotate_value('empty'::textrange),
	shown(fernet_rotate_value(textmultirange(textrange('a', 'b'), textrange('g', :'token'), textrange('z', NULL)))::text),
	fernet_rotate_value(int4range(1, 2)), fernet_rotate_value('{[2020-01-01,2020-01-02)}'::datemultirange);
-- If their order is another one with the new tokens, that is an error: nothing
-- is lost. One in two is so.
DO $$
DECLARE
	token text := fernet_encrypt('bound');
BEGIN
	PERFORM set_config('fernet.key', fernet_generate_key() || ',' || current_setting('regress.new'), true);
	FOR n IN 1 .. 200 LOOP
		PERFORM fernet_rotate_value(textmultirange(textrange('a', token), textrange(token || ' ', 'z')));
	END LOOP;
EXCEPTION WHEN data_exception THEN
	RAISE INFO '%', SQLERRM;
END $$;
DO $$
DECLARE
	token text := fernet_encrypt('bound');
BEGIN
	PERFORM set_config('fernet.key', fernet_generate_key() || ',' || current_setting('regress.new'), true);
	FOR n IN 1 .. 200 LOOP
		PERFORM fernet_rotate_value(textrange(token, token, '[]'));
	END LOOP;
EXCEPTION WHEN data_exception THEN
	RAISE INFO '%', SQLERRM;
END $$;
-- domains, at each level
CREATE DOMAIN secret AS text CHECK (value LIKE 'gAAAAA%' AND length(value) < 150);
CREATE DOMAIN secrets AS secret[] CHECK (cardinality(value) < 3);
CREATE DOMAIN old_only AS text CHECK (fernet_key_index(value) > 1);
CREATE DOMAIN documents AS jsonb CHECK (NOT value ? 'no');
SELECT pg_typeof(v), shown(v) FROM fernet_rotate_value(:'token'::secret) AS v;
SELECT pg_typeof(v), shown(v::text) FROM fernet_rotate_value(ARRAY[:'token', :'second']::secrets) AS v;
SELECT pg_typeof(v), shown(v::text) FROM fernet_rotate_value(jsonb_build_object('a', :'token')::documents) AS v;
SELECT fernet_rotate_value(:'token'::old_only);
SELECT fernet_rotate_value(ARRAY[:'token'::old_only]);
SELECT fernet_rotate_value(ROW(ARRAY[:'token'::old_only]));
-- A check that takes the key away does no harm.
CREATE FUNCTION takes_key(value text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	IF current_setting('regress.takes', true) = 'on' THEN
		PERFORM set_config('fernet.key', '', false);
	END IF;
	RETURN true;
END $$;
CREATE DOMAIN taking AS text CHECK (takes_key(value));
CREATE TABLE taken AS SELECT ARRAY['v1:' || :'token', 'v2:' || :'second']::taking[] AS value;
SET regress.takes = on;
BEGIN;
SELECT cardinality(fernet_rotate_value(value)) FROM taken;
SELECT fernet_rotate_value('x'::text);
ROLLBACK;
RESET regress.takes;
SELECT shown(fernet_rotate_value(value)::text) FROM taken;
-- NULL, and what has no token
SELECT fernet_rotate_value(NULL::text) IS NULL AS null, fernet_rotate_value(''::text) = '' AS empty,
	fernet_rotate_value('plaintext'::text), fernet_rotate_value(1), fernet_rotate_value(now()) = now() AS time,
	fernet_rotate_value(1.50), fernet_rotate_value('x'::name), fernet_rotate_value('\x'::bytea);
-- Large values, compressed and not
CREATE TABLE large (id int, plain text, document jsonb, list text[]);
INSERT INTO large SELECT 1, s || :'token' || s, jsonb_build_object('a', s, 'b', :'token', 'c', s), ARRAY[s, :'token', s]
	FROM (SELECT repeat('Words, words. ', 100000) AS s) AS s;
INSERT INTO large SELECT 2, s || :'token', jsonb_build_object('a', s, 'b', :'token'), ARRAY[s, :'token']
	FROM (SELECT string_agg(md5(n::text), ' ') AS s FROM generate_series(1, 60000) AS n) AS s;
CREATE TABLE rotated AS SELECT id, fernet_rotate_value(plain) AS plain, fernet_rotate_value(document) AS document,
	fernet_rotate_value(list) AS list FROM large;
SELECT id, md5(shown(r.plain)) = md5(replace(l.plain, :'token', 'T')), r.document - 'b' = l.document - 'b',
		shown(r.document ->> 'b'), array_remove(r.list, r.list[2]) = array_remove(l.list, :'token'), shown(r.list[2])
	FROM large AS l JOIN rotated AS r USING (id) ORDER BY id;
DROP TABLE large, rotated;
-- What cannot be rotated is an error.
\set VERBOSITY default
SELECT fernet_rotate_value(jsonb_build_array(:'token', :'stranger'));
SELECT fernet_rotate_value(:'stranger'::text);
SELECT fernet_rotate_value(:'quoting'::text);
SELECT fernet_rotate_value(ARRAY[:'quoting']);
SELECT fernet_rotate_value(ARRAY[left(:'token', 80)]);
SELECT fernet_rotate_value('"fernet:' || left(:'token', 80) || '"');
SELECT fernet_rotate_value(repeat('gAAAAA', 500000));
-- The same in many leaves: they share what a value may cost.
SELECT fernet_rotate_value(array_fill(repeat('gAAAAA', 2000), ARRAY[100]));
SELECT fernet_rotate_value(to_tsvector('simple', :'token'));
SELECT fernet_rotate_value(ROW(:'token'::text, to_tsvector('simple', 'x')));
SELECT fernet_rotate_value('untyped');
SET fernet.key = '';
SELECT fernet_rotate_value(1);
SET client_min_messages = warning;
DROP DOMAIN old_only, taking CASCADE;
DROP FUNCTION shown, takes_key;
