--
-- Blind indexes, and the setting fernet.index_key
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
RESET client_min_messages;
LOAD 'pg_fernet';
\pset null '(null)'
CREATE SCHEMA regress_fernet_blind_index;
SET search_path = regress_fernet_blind_index, public;
\set a 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set b 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='

--
-- The setting has the custody of fernet.key; its own test, settings, says what that is
--
SELECT fernet_blind_index('alice', 'user.email');
\echo :SQLSTATE
SELECT fernet_blind_indexes('alice', 'user.email');
SELECT * FROM fernet_index_keys();
SET fernet.index_key = :'a';
SHOW fernet.index_key;
SELECT current_setting('fernet.index_key') AS index_key, current_setting('fernet.key') AS key;
SELECT count(*) FROM pg_settings WHERE name LIKE 'fernet.%key';
SELECT set_config('fernet.index_key', :'b' || ',' || :'a', false);
SELECT * FROM fernet_index_keys();
-- one setting is not the other
SELECT * FROM fernet_keys();
SELECT fernet_encrypt('no key for it');
SELECT set_config('fernet.key', :'a', false);
SET fernet.index_key = '';
SELECT fernet_blind_index('no key for it', '');
SELECT key_index, fingerprint FROM fernet_keys();
RESET fernet.key;
-- values that come back: savepoints, transactions, RESET, functions
SET fernet.index_key = :'a';
BEGIN;
SAVEPOINT one;
SET LOCAL fernet.index_key = :'b';
SET LOCAL fernet.key = :'a';
SELECT fingerprint FROM fernet_index_keys();
ROLLBACK TO one;
SELECT fingerprint FROM fernet_index_keys();
SELECT count(*) FROM fernet_keys();
SET LOCAL fernet.index_key = :'b';
COMMIT;
SELECT fingerprint FROM fernet_index_keys();
CREATE FUNCTION without_key() RETURNS bigint LANGUAGE sql SET fernet.index_key = '' AS 'SELECT count(*) FROM fernet_index_keys()';
SELECT without_key(), (SELECT count(*) FROM fernet_index_keys()) AS after_it;
DISCARD ALL;
SET search_path = regress_fernet_blind_index, public;
SELECT count(*) FROM fernet_index_keys();
-- refused: what is no key, and every value that the server would store
\set VERBOSITY terse
SET fernet.index_key = 'nonsense';
SET fernet.index_key = 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=,a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=';
SET fernet.index_key = '********';
ALTER DATABASE :"DBNAME" SET fernet.index_key = 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=';
ALTER ROLE CURRENT_USER SET fernet.index_key = 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=';
ALTER SYSTEM SET fernet.index_key = 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=';
ALTER FUNCTION without_key() SET fernet.index_key = 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=';
SET fernet.index_key = :'a';
ALTER FUNCTION without_key() SET fernet.index_key FROM CURRENT;
\set VERBOSITY default
SELECT count(*) FROM pg_db_role_setting WHERE setconfig::text LIKE '%fernet.%';
-- each setting has its own values, and each key gives its own index, whatever came before
DO $$
BEGIN
	FOR i IN 1 .. 500 LOOP
		PERFORM set_config('fernet.index_key', fernet_generate_key(), i % 2 = 0), set_config('fernet.key', fernet_generate_key(), i % 3 = 0);
		IF fernet_decrypt(fernet_encrypt('x')) <> 'x' OR fernet_blind_index('x', '') <> (fernet_blind_indexes('x', ''))[1] THEN
			RAISE EXCEPTION 'wrong at %', i;
		END IF;
	END LOOP;
END
$$;
RESET fernet.key;

--
-- The values: HMAC-SHA256 in SQL, by the server's sha256, computes the same
--
CREATE FUNCTION padded(key bytea, pad integer) RETURNS bytea LANGUAGE sql AS $$
	SELECT string_agg(decode(lpad(to_hex(pad # CASE WHEN i < length(key) THEN get_byte(key, i) ELSE 0 END), 2, '0'), 'hex'), '' ORDER BY i)
	FROM generate_series(0, 63) AS i
$$;
CREATE FUNCTION by_hand(key text, context bytea, value bytea) RETURNS bytea LANGUAGE sql AS $$
	SELECT sha256(padded(k, 92) || sha256(padded(k, 54) || 'pg_fernet blind index v1'::bytea || '\x00'::bytea
		|| int8send(length(context)) || context || value))
	FROM decode(translate(key, '-_', '+/'), 'base64') AS k
$$;
SELECT set_config('fernet.index_key', :'a' || ',' || :'b', false);
-- Python: hmac.new(b'key A of pg_fernet regress tests', b'pg_fernet blind index v1\0'
--   + struct.pack('>Q', 10) + b'user.email' + b'alice', 'sha256').hexdigest()
SELECT fernet_blind_index('alice', 'user.email');
SELECT count(*), count(*) FILTER (WHERE fernet_blind_index(value, context) = by_hand(:'a', context::bytea, value::bytea)) AS right,
	count(*) FILTER (WHERE fernet_blind_index(value::bytea, context) = fernet_blind_index(value, context)) AS of_bytes,
	count(*) FILTER (WHERE fernet_blind_indexes(value, context)
		= ARRAY[by_hand(:'a', context::bytea, value::bytea), by_hand(:'b', context::bytea, value::bytea)]) AS of_each_key
FROM (SELECT repeat('ü', n % 7) || repeat('v', n) AS value, repeat('c', n % 20) AS context FROM generate_series(0, 199) AS n) AS v;
SELECT fernet_blind_index('\x00ff'::bytea, 'c') = by_hand(:'a', 'c', '\x00ff') AS bytes,
	fernet_blind_index('', '') = by_hand(:'a', '', '') AS empty,
	fernet_blind_index(repeat('large', 1000000), 'c') = by_hand(:'a', 'c', repeat('large', 1000000)::bytea) AS large;
-- cut to a number of bits
SELECT count(*), count(*) FILTER (WHERE fernet_blind_index('alice', 'c', bits) = substr(fernet_blind_index('alice', 'c'), 1, bits / 8)
	AND fernet_blind_indexes('alice', 'c', bits) = ARRAY[substr(by_hand(:'a', 'c', 'alice'), 1, bits / 8),
		substr(by_hand(:'b', 'c', 'alice'), 1, bits / 8)]) AS right
FROM generate_series(16, 256, 8) AS bits;
SELECT fernet_blind_index('alice', 'c', 8);
\echo :SQLSTATE
SELECT fernet_blind_index('alice', 'c', 20);
SELECT fernet_blind_index('alice', 'c', 264);
SELECT fernet_blind_indexes('alice', 'c', -16);
SELECT fernet_blind_index('alice', 'c', bits => 2147483647);
-- NULL in any argument
SELECT fernet_blind_index(NULL::text, 'c') AS value, fernet_blind_index('v', NULL) AS context, fernet_blind_index('v', 'c', NULL) AS bits,
	fernet_blind_indexes(NULL::bytea, 'c') AS indexes;
SELECT provolatile, proparallel, proleakproof, proisstrict, count(*) FROM pg_proc
WHERE proname LIKE 'fernet\_blind\_index%' AND prorettype <> 'trigger'::regtype GROUP BY 1, 2, 3, 4;

--
-- The planner uses an index on the column, for a literal and a parameter
--
CREATE TABLE users (id integer PRIMARY KEY, email_index bytea UNIQUE);
INSERT INTO users SELECT i, fernet_blind_index('user' || i, 'user.email') FROM generate_series(1, 10000) AS i;
ANALYZE users;
SET enable_bitmapscan = off;
EXPLAIN (COSTS off) SELECT id FROM users WHERE email_index = fernet_blind_index('user77', 'user.email');
EXPLAIN (COSTS off) SELECT id FROM users WHERE email_index = ANY (fernet_blind_indexes('user77', 'user.email'));
PREPARE find(text) AS SELECT id FROM users WHERE email_index = ANY (fernet_blind_indexes($1, 'user.email'));
EXPLAIN (COSTS off) EXECUTE find('user77');
EXECUTE find('user77');
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS off) EXECUTE find('user77');
EXECUTE find('user77');
RESET plan_cache_mode;
-- under a new key and the old one
SELECT set_config('fernet.index_key', :'b' || ',' || :'a', false);
SELECT id FROM users WHERE email_index = fernet_blind_index('user77', 'user.email');
SELECT id FROM users WHERE email_index = ANY (fernet_blind_indexes('user77', 'user.email'));
-- in another context there is nothing
SELECT count(*) FROM users WHERE email_index = ANY (fernet_blind_indexes('user77', 'user.name'));
RESET fernet.index_key;
SELECT id FROM users WHERE email_index = fernet_blind_index('user77', 'user.email');
SET client_min_messages = warning;
DROP SCHEMA regress_fernet_blind_index CASCADE;
