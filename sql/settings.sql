--
-- The setting fernet.key: what the server shows of it, what it refuses to store, and
-- how it is given before the library is loaded
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

--
-- Shown is a mask, or nothing when there is no key
--
SELECT current_setting('fernet.key') AS current_setting, key_in_use();
SHOW fernet.key;
SET fernet.key = :'a';
SHOW fernet.key;
SELECT current_setting('fernet.key') AS current_setting, key_in_use();
SELECT set_config('fernet.key', :'b' || ',' || :'a', false), key_in_use();
DO $$
DECLARE
	shown text;
BEGIN
	SHOW fernet.key INTO shown;
	RAISE NOTICE 'shown: %', shown;
END
$$;
-- it is in no list of settings
SELECT count(*) FROM pg_settings WHERE name LIKE 'fernet.key%';
SELECT count(*) FROM pg_show_all_settings() AS s WHERE s::text LIKE '%' || left(:'a', 8) || '%' OR name = 'fernet.key';
SHOW ALL \g | grep -c 'fernet\.key'

--
-- It ends with RESET, DISCARD ALL, DEFAULT and an empty value
--
RESET fernet.key;
SELECT current_setting('fernet.key') AS current_setting, key_in_use();
SET fernet.key = :'a';
SELECT key_in_use();
SET fernet.key TO DEFAULT;
SELECT key_in_use();
SET fernet.key = :'a';
SET fernet.key = '';
SELECT current_setting('fernet.key') AS current_setting, key_in_use();
SET fernet.key = :'a';
RESET ALL;
SELECT key_in_use();
SET SESSION fernet.key = :'a';
DISCARD ALL;
SELECT current_setting('fernet.key') AS current_setting, key_in_use();
-- names of settings know no case
SET FERNET.Key = :'a';
SELECT key_in_use();

--
-- Refused: every value that the server would store
--
CREATE FUNCTION store_it() RETURNS text LANGUAGE sql SET fernet.key = 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=' AS 'SELECT 1::text';
\echo :SQLSTATE
\set VERBOSITY terse
ALTER FUNCTION key_in_use() SET fernet.key = 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=';
CREATE PROCEDURE store_it() LANGUAGE sql SET fernet.key = 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=' AS 'SELECT 1';
CREATE FUNCTION store_it() RETURNS text LANGUAGE sql SET fernet.key FROM CURRENT AS 'SELECT 1::text';
ALTER FUNCTION key_in_use() SET fernet.key FROM CURRENT;
ALTER FUNCTION key_in_use() SET fernet.key = 'nonsense';
CREATE ROLE regress_fernet_settings;
ALTER ROLE regress_fernet_settings SET fernet.key = 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=';
ALTER ROLE regress_fernet_settings IN DATABASE :"DBNAME" SET fernet.key = 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=';
ALTER ROLE regress_fernet_settings SET fernet.key FROM CURRENT;
ALTER ROLE ALL SET fernet.key = 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=';
ALTER DATABASE :"DBNAME" SET fernet.key = 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=';
ALTER DATABASE :"DBNAME" SET fernet.key = 'nonsense';
ALTER SYSTEM SET fernet.key = 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=';
DO $$ BEGIN EXECUTE 'ALTER ROLE regress_fernet_settings SET fernet.key = ''a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='''; END $$;
\set VERBOSITY default
-- and nothing was
SELECT count(*) FROM pg_db_role_setting WHERE setconfig::text LIKE '%fernet.key%';
SELECT count(*) FROM pg_proc WHERE EXISTS (SELECT FROM unnest(proconfig) AS c WHERE c LIKE 'fernet.key=_%');
-- an empty value is no secret. A function may switch the key off for itself
CREATE FUNCTION without_key() RETURNS text LANGUAGE plpgsql SET fernet.key = '' AS $$
BEGIN
	RETURN key_in_use();
END
$$;
SELECT without_key(), key_in_use() AS after_it;
ALTER ROLE regress_fernet_settings SET fernet.key = '';
ALTER ROLE regress_fernet_settings RESET fernet.key;
DROP ROLE regress_fernet_settings;

--
-- Refused: the mask, and a misspelt name
--
SET fernet.key = '********';
\echo :SQLSTATE
SELECT key_in_use() AS as_before;
SET fernet.kye = :'b';
\echo :SQLSTATE
SELECT set_config('fernet.kye', :'b', false);
SHOW fernet.kye;
SELECT key_in_use() AS as_before;

--
-- Before the library is loaded, and from the connection
--
-- what was set before is taken over by the first function, masked, and ends as
-- it would have
\c
BEGIN;
SET fernet.key = :'a';
SAVEPOINT one;
SET LOCAL fernet.key = :'b';
SELECT key_in_use();
SHOW fernet.key;
ROLLBACK TO one;
SELECT key_in_use() AS rolled_back;
COMMIT;
SELECT key_in_use() AS after_commit;
SHOW fernet.key;
-- a bad one is dropped, with a warning; or refused, where the library is preloaded
\c
DO $$
BEGIN
	PERFORM set_config('fernet.key', 'nonsense', false);
EXCEPTION WHEN SQLSTATE 'PF002' THEN
	NULL;
END
$$;
SET client_min_messages = error;
LOAD 'pg_fernet';
RESET client_min_messages;
SELECT current_setting('fernet.key') AS current_setting, key_in_use();
-- RESET restores the key from the connection's options
\c -reuse-previous=on "options='-c fernet.key=a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='"
SELECT key_in_use();
SHOW fernet.key;
SET fernet.key = :'b';
SELECT key_in_use();
RESET fernet.key;
SELECT key_in_use() AS after_reset;
SET fernet.key = :'b';
DISCARD ALL;
SELECT key_in_use() AS after_discard;
-- only an empty value switches it off
SET fernet.key = '';
SELECT key_in_use() AS switched_off;
\c -reuse-previous=on "options=''"
SELECT key_in_use() AS reconnected;
DROP FUNCTION without_key, key_in_use;
