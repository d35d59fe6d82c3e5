--
-- The largest values, and many keys
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
RESET client_min_messages;
LOAD 'pg_fernet';
\set key 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
SELECT set_config('fernet.key', :'key', false);

-- 64 MiB of text there and back, and 16 MiB of bytes. The plaintexts depend on a
-- row so that the planner does not make them
SELECT length(token), fernet_is_token(token), fernet_decrypt(token) = plaintext AS same
FROM (SELECT plaintext, fernet_encrypt(plaintext) AS token
	FROM (SELECT repeat('0123456789abcdef', n) AS plaintext FROM generate_series(4194304, 4194304) AS n OFFSET 0) AS v
	OFFSET 0) AS v;
SELECT length(token), fernet_decrypt_bytea(token) = plaintext AS same
FROM (SELECT plaintext, fernet_encrypt(plaintext)::bytea AS token
	FROM (SELECT decode(repeat('00ff', n), 'hex') AS plaintext FROM generate_series(8388608, 8388608) AS n OFFSET 0) AS v
	OFFSET 0) AS v;

-- the token is a third larger than its plaintext and must fit in a value of 1 GB
SELECT length(fernet_encrypt(repeat(repeat('x', 1024), n))) FROM generate_series(786432, 786432) AS n;
\echo :SQLSTATE

-- with 64 keys, the last decrypts as the first does
SELECT string_agg(encode(convert_to(format('key %s pg_fernet regress test', lpad(i::text, 5, '0')), 'UTF8'), 'base64'), ',' ORDER BY i) AS keys
FROM generate_series(1, 63) AS i \gset
SELECT fernet_encrypt('under the last') AS token \gset
SELECT set_config('fernet.key', :'keys' || ',' || :'key', false);
SELECT fernet_decrypt(:'token'), fernet_key_index(:'token'), fernet_key_index(fernet_rotate(:'token')) AS rotated;
SELECT count(*), count(*) FILTER (WHERE fernet_decrypt(fernet_encrypt('x')) = 'x') AS right FROM generate_series(1, 1000);

-- a new key 10,000 times in a session
DO $$
BEGIN
	FOR i IN 1 .. 10000 LOOP
		PERFORM set_config('fernet.key', fernet_generate_key(), false);
		IF fernet_decrypt(fernet_encrypt('x')) <> 'x' THEN
			RAISE EXCEPTION 'wrong at %', i;
		END IF;
	END LOOP;
END
$$;
SELECT count(*) FROM fernet_keys();
