--
-- What is encrypted comes back byte for byte, and what a token looks like
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
RESET client_min_messages;
-- loaded before the key is set, so that the key is never shown
LOAD 'pg_fernet';
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
-- the base64 of 'key A of pg_fernet regress tests'
\set key 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
SELECT set_config('fernet.key', :'key', false);

-- text, in either kind of column
SELECT fernet_decrypt(fernet_encrypt('xoxb-a-secret'));
SELECT fernet_decrypt(fernet_encrypt('xoxb-a-secret')::bytea);
-- bytes
SELECT fernet_decrypt_bytea(fernet_encrypt('\x00ff80'::bytea));
-- text and bytes are the same on the way
SELECT fernet_decrypt_bytea(fernet_encrypt('secret'::text)) = 'secret'::bytea AS from_text,
	fernet_decrypt(fernet_encrypt('secret'::bytea)) = 'secret' AS from_bytea;

-- non-ASCII text, by its UTF-8 form
SELECT script, fernet_decrypt(fernet_encrypt(plaintext)) = plaintext AS same,
	fernet_decrypt_bytea(fernet_encrypt(plaintext)) = convert_to(plaintext, 'UTF8') AS is_utf8
FROM (VALUES (1, 'Latin', 'Grüße'), (2, 'Chinese', '世界'), (3, 'emoji', '🔑')) AS v(n, script, plaintext) ORDER BY n;
-- NUL bytes, and every byte there is
SELECT fernet_decrypt_bytea(fernet_encrypt('\x000000'::bytea));
SELECT fernet_decrypt_bytea(fernet_encrypt(bytes)) = bytes AS same
FROM (SELECT string_agg(decode(lpad(to_hex(i), 2, '0'), 'hex'), NULL ORDER BY i) AS bytes
	FROM generate_series(0, 255) AS i) AS v;

-- sizes around the cipher's block of 16 bytes: the token has the length that the
-- format gives it, padding included, and begins with the version and the zeros
-- of the timestamp
WITH v AS MATERIALIZED (
	SELECT n, repeat('x', n) AS plaintext, fernet_encrypt(repeat('x', n)) AS token
	FROM unnest(ARRAY[0, 1, 15, 16, 17, 31, 32, 1048576]) AS n)
SELECT n, length(token) AS characters,
	length(token) = (57 + (n / 16 + 1) * 16 + 2) / 3 * 4 AS as_computed,
	token ~ '^gAAAAA[-_A-Za-z0-9]+={0,2}$' AS alphabet,
	fernet_decrypt(token) = plaintext AS same
FROM v ORDER BY n;
-- every size up to 300 bytes, and around the 12 KiB that are worked on at a time
WITH v AS MATERIALIZED (
	SELECT n, decode(repeat('7f', n), 'hex') AS plaintext
	FROM (SELECT generate_series(0, 300) UNION ALL SELECT generate_series(12200, 12300)
		UNION ALL SELECT generate_series(24500, 24600)) AS s(n))
SELECT count(*) AS sizes,
	count(*) FILTER (WHERE fernet_decrypt_bytea(fernet_encrypt(plaintext)) = plaintext) AS same
FROM v;

-- a fresh IV, so a different token, each time
SELECT count(DISTINCT fernet_encrypt('the same')) FROM generate_series(1, 1000);
SELECT count(DISTINCT substr(decode(translate(fernet_encrypt('the same'), '-_', '+/'), 'base64'), 10, 16)) AS ivs
FROM generate_series(1, 1000);

-- the timestamp is the clock's
SELECT fernet_timestamp(fernet_encrypt('x')) BETWEEN now() - interval '2 seconds' AND clock_timestamp() AS is_now;
-- or the one that is given, in whole seconds, rounded down
SELECT fernet_timestamp(fernet_encrypt('x', '2020-01-01 00:00:00.999+00')),
	fernet_timestamp(fernet_encrypt('\x78'::bytea, at => '1970-01-01 00:00:00+00')),
	fernet_timestamp(fernet_encrypt('x', '294276-12-31 23:59:59+00'));
SELECT substr(decode(translate(token, '-_', '+/'), 'base64'), 1, 9) AS version_and_timestamp
FROM fernet_encrypt('x', '2020-01-01 00:00:00+00') AS token;
-- no token has one before 1970, nor an infinite one
SELECT fernet_encrypt('x', '1969-12-31 23:59:59.999999+00');
SELECT fernet_encrypt('x', '-infinity');
SELECT fernet_encrypt('\x78'::bytea, 'infinity');

-- a token in bytea, as some applications store it, is taken by every function
SELECT fernet_decrypt(token), fernet_decrypt_bytea(token), fernet_try_decrypt(token),
	fernet_try_decrypt_bytea(token), fernet_verify(token), fernet_timestamp(token),
	fernet_key_index(token), fernet_is_token(token), fernet_rotate(token) = token AS rotate_same
FROM (SELECT fernet_encrypt('hi', '2020-01-01 00:00:00+00')::bytea) AS v(token);

-- without padding, and with white space around
WITH v AS MATERIALIZED (SELECT fernet_encrypt('hi') AS token)
SELECT token LIKE '%=' AS padded, fernet_decrypt(rtrim(token, '=')) AS unpadded,
	fernet_decrypt(E' \t\n' || token || E'\r\n\x0b\f ') AS space_around,
	fernet_decrypt(E'\n' || rtrim(token, '=') || E'\n') AS both
FROM v;

-- in tables: short, compressed and out of line
CREATE TABLE regress_fernet_roundtrip (id integer, token text, token_bytes bytea, plaintext text);
ALTER TABLE regress_fernet_roundtrip ALTER token SET STORAGE EXTERNAL;
INSERT INTO regress_fernet_roundtrip
SELECT n, token, token::bytea, plaintext
FROM (SELECT n, repeat('secret ', n) AS plaintext, fernet_encrypt(repeat('secret ', n)) AS token
	FROM unnest(ARRAY[1, 20, 2000, 20000]) AS n) AS v;
SELECT id, fernet_decrypt(token) = plaintext AS text_column,
	fernet_decrypt(token_bytes) = plaintext AS bytea_column,
	fernet_decrypt(fernet_encrypt(plaintext)) = plaintext AS from_column
FROM regress_fernet_roundtrip ORDER BY id;
DROP TABLE regress_fernet_roundtrip;
