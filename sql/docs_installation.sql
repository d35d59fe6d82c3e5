--
-- The examples of docs/installation.md, in their order. Made by test/docs/extract: to
-- change them, change docs/installation.md and run that.
--
\set home :DBNAME
SET client_min_messages = warning;
DROP DATABASE IF EXISTS fernet_regression_docs_installation;
CREATE DATABASE fernet_regression_docs_installation;
\c fernet_regression_docs_installation
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';

-- docs/installation.md: Create the extension
CREATE EXTENSION pg_fernet;

SELECT extname, extversion FROM pg_extension WHERE extname = 'pg_fernet';

-- End of the examples
\c :home
DROP DATABASE fernet_regression_docs_installation WITH (FORCE);
