--
-- Keys: what one looks like, lists of several, and what is wrong with a bad one
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
RESET client_min_messages;
LOAD 'pg_fernet';
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';

-- a new key is the URL-safe base64 of 32 bytes, and another one each time
SELECT key ~ '^[-_A-Za-z0-9]{42}[AEIMQUYcgkosw048]=$' AS looks_like_a_key,
	length(decode(translate(key, '-_', '+/'), 'base64')) AS bytes
FROM fernet_generate_key() AS key;
SELECT count(DISTINCT fernet_generate_key()) FROM generate_series(1, 1000);
-- and can be used
SELECT set_config('fernet.key', fernet_generate_key(), false);
SELECT fernet_decrypt(fernet_encrypt('hi'));

-- test keys: the base64 of 'key A of pg_fernet regress tests', B and C
\set a 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set b 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set c 'a2V5IEMgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
-- the fingerprints are those that Python's hmac gives:
-- hmac.new(key, b'pg_fernet key fingerprint v1', 'sha256').hexdigest()[:16]
SELECT set_config('fernet.key', :'a' || ',' || :'b' || ',' || :'c', false);
SELECT * FROM fernet_keys();
-- with or without "=" at the end, spaces and line ends around each
SELECT set_config('fernet.key', E'\n ' || rtrim(:'c', '=') || E'\t, \r\n' || :'a' || E'\n', false);
SELECT * FROM fernet_keys();
-- no key, no row
SELECT set_config('fernet.key', '', false);
SELECT * FROM fernet_keys();

-- the first encrypts, all decrypt
SELECT set_config('fernet.key', :'a', false);
SELECT fernet_encrypt('under a', '2020-01-01 00:00:00+00') AS under_a \gset
SELECT set_config('fernet.key', :'b' || ',' || :'a', false);
SELECT fernet_encrypt('under b') AS under_b \gset
SELECT fernet_decrypt(:'under_a'), fernet_key_index(:'under_a'), fernet_decrypt(:'under_b'), fernet_key_index(:'under_b');
-- fernet_rotate re-encrypts a token with the first key, keeps its timestamp, and
-- leaves a token of the first key as it is
SELECT fernet_rotate(:'under_a') AS rotated \gset
SELECT fernet_decrypt(:'rotated'), fernet_key_index(:'rotated'), fernet_timestamp(:'rotated'),
	:'rotated' <> :'under_a' AS new, fernet_rotate(:'rotated') = :'rotated' AS kept,
	fernet_key_index(fernet_rotate(:'under_a'::bytea)) AS bytea_too;
-- of any size, large ones too
SELECT count(*) AS sizes, count(*) FILTER (WHERE fernet_decrypt(r) = repeat('x', n) AND fernet_key_index(r) = 1
	AND length(r) = length(t)) AS right
FROM (SELECT n, t, fernet_rotate(t) AS r
	FROM (SELECT n, (SELECT set_config('fernet.key', :'a', true)), fernet_encrypt(repeat('x', n)) AS t,
		(SELECT set_config('fernet.key', :'b' || ',' || :'a', true))
		FROM (SELECT generate_series(0, 100) UNION ALL SELECT generate_series(12200, 12300)) AS s(n)
		OFFSET 0) AS v OFFSET 0) AS v;
-- then the old key can be dropped
SELECT set_config('fernet.key', :'b', false);
SELECT fernet_decrypt(:'rotated'), fernet_try_decrypt(:'under_a') AS old;
SELECT fernet_rotate(:'under_a');
SELECT fernet_rotate('nonsense');

-- at most 64 keys
SELECT string_agg(encode(convert_to(format('key %s pg_fernet regress test', lpad(i::text, 5, '0')), 'UTF8'), 'base64'), ',' ORDER BY i)
		FILTER (WHERE i <= 64) AS keys_64,
	string_agg(encode(convert_to(format('key %s pg_fernet regress test', lpad(i::text, 5, '0')), 'UTF8'), 'base64'), ',' ORDER BY i)
		AS keys_65
FROM generate_series(1, 65) AS i \gset
SELECT set_config('fernet.key', :'keys_64', false);
SELECT count(*), count(DISTINCT fingerprint), max(key_index) FROM fernet_keys();
SELECT fernet_key_index(fernet_encrypt('x'));
SELECT set_config('fernet.key', :'keys_65', false);

-- every kind of bad key, and its error
CREATE FUNCTION pg_temp.set_key(key text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	detail text;
	hint text;
BEGIN
	RETURN set_config('fernet.key', key, false);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(E'\n', SQLSTATE || ' ' || message, nullif(detail, ''), nullif(hint, ''));
END
$$;
SELECT what, pg_temp.set_key(key)
FROM (VALUES
	(1, 'too short', left(:'a', 42)),
	(2, 'too long', :'a' || 'A'),
	(3, 'a password', 'correct horse battery staple'),
	(4, 'quoted', '"' || :'a' || '"'),
	(5, 'hex', encode('key A of pg_fernet regress tests', 'hex')),
	(6, 'base64 twice', encode(convert_to(:'a', 'UTF8'), 'base64')),
	(7, 'base64 twice, with a line end', encode(convert_to(:'a' || E'\n', 'UTF8'), 'base64')),
	(8, 'standard alphabet, +', '+//++//++//++//++//++//++//++//++//++//++/8='),
	(9, 'standard alphabet, /', '-_/--__--__--__--__--__--__--__--__--__--_8='),
	(10, 'URL-safe alphabet', '-__--__--__--__--__--__--__--__--__--__--_8='),
	(11, 'bad character', overlay(:'a' PLACING '!' FROM 11)),
	(12, 'space inside', overlay(:'a' PLACING ' ' FROM 20)),
	(13, 'non-ASCII', overlay(:'a' PLACING 'ü' FROM 11 FOR 2)),
	(14, 'trailing bits', left(:'a', 42) || 't='),
	(15, 'only a comma', ','),
	(16, 'only space', ' '),
	(17, 'comma at the end', :'a' || ','),
	(18, 'comma at the start', ',' || :'a'),
	(19, 'two commas', :'a' || ', ,' || :'b'),
	(20, 'a semicolon', :'a' || ';' || :'b'),
	(21, 'the second is bad', :'a' || ',' || left(:'b', 40) || ',' || :'c'),
	(22, 'the third is hex', :'a' || ',' || :'b' || ',' || encode('key C of pg_fernet regress tests', 'hex')),
	(23, 'the second is masked', :'a' || ',********'),
	(24, 'twice the same', :'a' || ',' || :'b' || ',' || :'a'),
	(25, 'twice the same, padded and not', :'a' || ',' || rtrim(:'a', '=')),
	(26, 'the mask', '********')
) AS v(n, what, key) ORDER BY n;
-- a refused key leaves the current key: the last that was accepted above
SELECT count(*) FROM fernet_keys();

-- two keys with the same signing half, as keys made out of words may have: the
-- HMAC fits both, and MultiFernet lets the padding decide
\set first 'c2FtZSBzaWduIGhhbGYuLmZpcnN0IGVuY3J5cHRpb24='
\set other 'c2FtZSBzaWduIGhhbGYuLm90aGVyIGVuY3J5cHRpb24='
-- (by Python's cryptography: with another IV, one in 256 has a padding that
-- is right with both)
\set token 'gAAAAAAAAAAAKg2nxE3s75rp9nxOpP6salIUkikryP0q6j0jlI2LVUQJ798EqHgyQFjxMr62loGTWEUbvlxUkGBLLXS8u2x1iQ=='
SELECT set_config('fernet.key', :'first' || ',' || :'other', false);
SELECT fernet_decrypt(:'token'), fernet_key_index(:'token'),
	fernet_decrypt(fernet_rotate(:'token')),
	fernet_key_index(fernet_rotate(:'token')) AS rotated_to;
