--
-- The examples of docs/reference.md, in their order. Made by test/docs/extract: to
-- change them, change docs/reference.md and run that.
--
\set home :DBNAME
SET client_min_messages = warning;
DROP DATABASE IF EXISTS fernet_regression_docs_reference;
CREATE DATABASE fernet_regression_docs_reference;
\c fernet_regression_docs_reference
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
CREATE EXTENSION pg_fernet;

-- docs/reference.md: Errors
SELECT set_config('fernet.key', fernet_generate_key(), false);

-- how to handle one of them in PL/pgSQL
DO $$
BEGIN
  PERFORM fernet_decrypt('not a token');
EXCEPTION WHEN SQLSTATE 'PF003' THEN
  RAISE INFO 'this is not a token';
END
$$;

-- End of the examples
\c :home
DROP DATABASE fernet_regression_docs_reference WITH (FORCE);
