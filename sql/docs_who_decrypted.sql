--
-- The examples of docs/who-decrypted.md, in their order. Made by test/docs/extract: to
-- change them, change docs/who-decrypted.md and run that.
--
\set home :DBNAME
SET client_min_messages = warning;
DROP DATABASE IF EXISTS fernet_regression_docs_who_decrypted;
CREATE DATABASE fernet_regression_docs_who_decrypted;
\c fernet_regression_docs_who_decrypted
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
DROP ROLE IF EXISTS fernet_example_reader, fernet_example_support;
CREATE EXTENSION pg_fernet;

-- docs/who-decrypted.md: Who decrypted what
\set key 'this-is-test-key-1-do-not-use-it-anywhere-A='
SELECT set_config('fernet.key', :'key', false);

CREATE TABLE integration (id int PRIMARY KEY, name text, api_token text);
INSERT INTO integration VALUES (1, 'chat', fernet_encrypt('xoxb-1')), (2, 'wiki', fernet_encrypt('xoxb-2'));

-- docs/who-decrypted.md: A role that may decrypt
CREATE ROLE fernet_example_reader NOLOGIN;
CREATE ROLE fernet_example_support NOLOGIN;

DO $$
DECLARE
    f regprocedure;
BEGIN
    FOR f IN SELECT objid FROM pg_depend
             JOIN pg_extension AS e ON refclassid = 'pg_extension'::regclass AND refobjid = e.oid
             JOIN pg_proc AS p ON classid = 'pg_proc'::regclass AND objid = p.oid
             WHERE e.extname = 'pg_fernet' AND p.proname ~ '^fernet_(try_)?decrypt'
    LOOP
        EXECUTE format('REVOKE EXECUTE ON ROUTINE %s FROM PUBLIC', f);
        EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO fernet_example_reader', f);
    END LOOP;
END
$$;

GRANT SELECT ON integration TO fernet_example_support, fernet_example_reader;
SET ROLE fernet_example_support;
SELECT fernet_decrypt(api_token) FROM integration;

-- docs/who-decrypted.md: A role that may decrypt
SET ROLE fernet_example_reader;
SELECT id, fernet_decrypt(api_token) FROM integration WHERE id = 1;
RESET ROLE;

-- docs/who-decrypted.md: A role that may decrypt
SELECT p.proname, has_function_privilege('fernet_example_support', p.oid, 'EXECUTE') AS support,
       has_function_privilege('fernet_example_reader', p.oid, 'EXECUTE') AS reader
FROM pg_proc AS p
WHERE p.oid IN ('fernet_decrypt(text, interval, timestamptz)'::regprocedure, 'fernet_rotate(text)'::regprocedure)
ORDER BY p.proname;

-- docs/who-decrypted.md: A view that masks
CREATE VIEW integration_for_all WITH (security_invoker = true) AS
SELECT id, name,
       CASE WHEN EXISTS (SELECT FROM fernet_keys()) THEN fernet_try_decrypt(api_token) ELSE '********' END AS api_token
FROM integration;

SELECT * FROM integration_for_all ORDER BY id;

-- docs/who-decrypted.md: A view that masks
BEGIN;
SET LOCAL fernet.key = '';
SELECT * FROM integration_for_all ORDER BY id;
COMMIT;

-- docs/who-decrypted.md: A row for each value that was read
CREATE TABLE reading (at timestamptz NOT NULL DEFAULT now(), who name NOT NULL DEFAULT session_user, integration int NOT NULL);
ALTER TABLE reading OWNER TO fernet_example_reader;

CREATE FUNCTION read_token(wanted int) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO reading (integration) VALUES (wanted);
    RETURN (SELECT fernet_decrypt(api_token) FROM integration WHERE id = wanted);
END
$$;
ALTER FUNCTION read_token(int) OWNER TO fernet_example_reader;
REVOKE EXECUTE ON FUNCTION read_token(int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION read_token(int) TO fernet_example_support;

SET ROLE fernet_example_support;
SELECT read_token(2);
RESET ROLE;
SELECT integration, count(*) FROM reading GROUP BY 1;

-- docs/who-decrypted.md: Undo the example
DROP FUNCTION read_token(int);
DROP TABLE reading, integration CASCADE;
DROP OWNED BY fernet_example_support, fernet_example_reader;
DROP ROLE fernet_example_support, fernet_example_reader;

-- End of the examples
\c :home
DROP DATABASE fernet_regression_docs_who_decrypted WITH (FORCE);
