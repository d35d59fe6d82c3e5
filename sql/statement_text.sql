--
-- The text of a statement that holds a key: the key is overwritten, and nothing else
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
RESET client_min_messages;
\set VERBOSITY terse
LOAD 'pg_fernet';
\set key 'this-is-test-key-1-do-not-use-it-anywhere-A='
-- what the server shows of the running statement
CREATE FUNCTION shown() RETURNS TABLE (activity text) LANGUAGE sql AS
	'SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid() UNION SELECT current_query()';

-- a string of several statements, from its first one on
SELECT * FROM shown() \; SET fernet.key = :'key' \; SELECT * FROM shown();
SELECT set_config('fernet.key', :'key', false), shown();
-- what is nearly a key is one too
SELECT set_config('fernet.key', 'this-is-test-key-1-do-not-use-it-anywher', false) \; SELECT 1;
-- prepared statements, cursors and memory keep texts
PREPARE p AS SELECT set_config('fernet.key', :'key', false);
EXECUTE p;
SELECT statement FROM pg_prepared_statements;
SELECT count(*) FROM pg_backend_memory_contexts WHERE ident LIKE '%test-key-1%' AND ident NOT LIKE '%ident%';
DEALLOCATE p;
BEGIN;
DECLARE c CURSOR FOR SELECT set_config('fernet.key', :'key', false);
FETCH c;
SELECT statement FROM pg_cursors WHERE name = 'c';
COMMIT;

-- nobody hides a statement so
DO $$
BEGIN
	PERFORM set_config('fernet.key', 'DELETE FROM', true);
EXCEPTION WHEN SQLSTATE 'PF002' THEN
	RAISE NOTICE '%', (SELECT string_agg(activity, ' = ') FROM shown());
END
$$;
DO $$ /* fernet. */ BEGIN RAISE NOTICE '%', (SELECT string_agg(activity, ' = ') FROM shown()); END $$;

-- asterisks are no key: a text that was handed on must not set one
SET fernet.key = '********************************************';
SELECT set_config('fernet.key', '****,****', false);

-- a list too long to be looked for in a long statement, part by part
SET statement_timeout = '60s';
\set text `yes x | head -c 4000000`
SELECT set_config('fernet.key', (SELECT string_agg(md5(g::text), ',') FROM generate_series(1, 300000) g), false) /*
:text */;
RESET statement_timeout;

-- what stands around a key is named
\set VERBOSITY default
SELECT set_config('fernet.key', U&'\FEFF' || :'key', false);
SELECT set_config('fernet.key', 'b''' || :'key' || '''', false);
SELECT set_config('fernet.key', 'FERNET_KEY=' || :'key', false);
SELECT set_config('fernet.key', :'key' || U&'\00A0', false);
DROP FUNCTION shown;
