--
-- The examples of docs/interoperability.md, in their order. Made by test/docs/extract: to
-- change them, change docs/interoperability.md and run that.
--
\set home :DBNAME
SET client_min_messages = warning;
DROP DATABASE IF EXISTS fernet_regression_docs_interoperability;
CREATE DATABASE fernet_regression_docs_interoperability;
\c fernet_regression_docs_interoperability
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
CREATE EXTENSION pg_fernet;

-- docs/interoperability.md: Use with Python, Go, Ruby and JavaScript
SELECT set_config('fernet.key', 'this-is-test-key-1-do-not-use-it-anywhere-A=', false);

SELECT fernet_decrypt('gAAAAABpVbkAI1rITYSx-B70oFY2g8jhzpOmH1CtgtWkaRcHKUMz-Z-zIzDdp2-usfaqylm8H9kUf5dslnji75_gjxbzr0nV9A==');

-- End of the examples
\c :home
DROP DATABASE fernet_regression_docs_interoperability WITH (FORCE);
