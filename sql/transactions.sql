--
-- How long a key lasts: transactions, savepoints, functions and exceptions
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
RESET client_min_messages;
LOAD 'pg_fernet';
\set a 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set b 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set c 'a2V5IEMgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
-- which of the three test keys is the session's
CREATE FUNCTION key_in_use() RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(CASE fingerprint WHEN '95964268dbb830b9' THEN 'a' WHEN '0c0b9f8396d824a7' THEN 'b'
		WHEN 'bad9caa210092413' THEN 'c' ELSE 'unknown' END, ',' ORDER BY key_index), 'none')
	FROM fernet_keys()
$$;

SET fernet.key = :'a';
SELECT key_in_use();

-- SET LOCAL, SET and RESET in a transaction
BEGIN;
SET LOCAL fernet.key = :'b';
SELECT key_in_use();
COMMIT;
SELECT key_in_use() AS after_commit;
BEGIN;
SET fernet.key = :'b';
ROLLBACK;
SELECT key_in_use() AS after_rollback;
BEGIN;
SET fernet.key = :'b';
SET LOCAL fernet.key = :'c';
SELECT key_in_use() AS local;
COMMIT;
SELECT key_in_use() AS after_commit;
BEGIN;
RESET fernet.key;
SELECT key_in_use() AS after_reset;
ROLLBACK;
SELECT key_in_use() AS after_rollback;
-- the third argument of set_config does the same
BEGIN;
SELECT set_config('fernet.key', :'a', true), key_in_use();
SELECT key_in_use() AS still;
COMMIT;
SELECT key_in_use() AS after_commit;
-- a transaction of one statement
SELECT set_config('fernet.key', :'a', true), fernet_decrypt(fernet_encrypt('x')) = 'x' AS works;
SELECT key_in_use() AS after_it;
-- an error on the way
BEGIN;
SET LOCAL fernet.key = :'a';
SELECT fernet_decrypt('nonsense');
ROLLBACK;
SELECT key_in_use() AS after_error;

-- savepoints
BEGIN;
SET LOCAL fernet.key = :'a';
SAVEPOINT one;
SET LOCAL fernet.key = :'b';
SAVEPOINT two;
SET LOCAL fernet.key = :'c';
SELECT key_in_use() AS inner;
ROLLBACK TO two;
SELECT key_in_use() AS rolled_back;
RELEASE two;
SELECT key_in_use() AS released_after_that;
RELEASE one;
SELECT key_in_use() AS released;
SAVEPOINT three;
SET fernet.key = :'c';
ROLLBACK TO three;
SELECT key_in_use() AS rolled_back_three;
SET LOCAL fernet.key = '';
SELECT key_in_use() AS switched_off;
COMMIT;
SELECT key_in_use() AS after_commit;

-- a key is held for each level of savepoints, up to 64 in all; who goes deeper gets an
-- error, and the session goes on
SET fernet.key = :'a';
CREATE FUNCTION nest(levels integer) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('fernet.key', fernet_generate_key(), true);
	IF levels > 1 THEN
		RETURN nest(levels - 1);
	END IF;
	RETURN fernet_decrypt(fernet_encrypt('deep enough'));
EXCEPTION WHEN division_by_zero THEN
	RETURN 'impossible';
END
$$;
SELECT nest(60);
SELECT key_in_use() AS after_it;
\set VERBOSITY terse
SELECT nest(70);
\set VERBOSITY default
\echo :SQLSTATE
SELECT key_in_use() AS after_it;
SELECT nest(60);
-- levels that are over count no more
BEGIN;
SELECT count(set_config('fernet.key', :'b', true)) FROM generate_series(1, 1000);
SELECT key_in_use();
DO $$
BEGIN
	FOR i IN 1 .. 1000 LOOP
		BEGIN
			PERFORM set_config('fernet.key', fernet_generate_key(), true);
			RAISE division_by_zero;
		EXCEPTION WHEN division_by_zero THEN
			PERFORM set_config('fernet.key', fernet_generate_key(), true);
		END;
	END LOOP;
END
$$;
SELECT fernet_decrypt(fernet_encrypt('and it works'));
COMMIT;
SELECT key_in_use() AS after_commit;

--
-- Functions and exceptions
--
-- what a block sets ends with its exception, even if it said false
DO $$
BEGIN
	BEGIN
		PERFORM set_config('fernet.key', 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=', false);
		RAISE NOTICE 'in the block: %', key_in_use();
		RAISE division_by_zero;
	EXCEPTION WHEN division_by_zero THEN
		RAISE NOTICE 'after its exception: %', key_in_use();
	END;
END
$$;
SELECT key_in_use();
-- a function may switch the key off for itself
CREATE FUNCTION without_key() RETURNS text LANGUAGE plpgsql SET fernet.key = '' AS $$
BEGIN
	RETURN key_in_use();
END
$$;
SELECT without_key(), key_in_use() AS after_it;
-- and set another inside, which ends with it
CREATE FUNCTION with_key_b() RETURNS text LANGUAGE plpgsql SET fernet.key = '' AS $$
BEGIN
	PERFORM set_config('fernet.key', 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=', true);
	RETURN key_in_use() || ' ' || without_key() || ' ' || key_in_use();
END
$$;
SELECT with_key_b(), key_in_use() AS after_it;
SELECT count(with_key_b()) FROM generate_series(1, 1000);
SELECT key_in_use();

RESET fernet.key;
DROP FUNCTION with_key_b, without_key, nest, key_in_use;
