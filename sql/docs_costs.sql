--
-- The examples of docs/costs.md, in their order. Made by test/docs/extract: to
-- change them, change docs/costs.md and run that.
--
\set home :DBNAME
SET client_min_messages = warning;
DROP DATABASE IF EXISTS fernet_regression_docs_costs;
CREATE DATABASE fernet_regression_docs_costs;
\c fernet_regression_docs_costs
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
CREATE EXTENSION pg_fernet;

-- docs/costs.md: What a rotation costs
CREATE TABLE webhook (id int PRIMARY KEY, secret text);
ALTER TABLE webhook ALTER COLUMN secret SET STORAGE EXTERNAL;

-- End of the examples
\c :home
DROP DATABASE fernet_regression_docs_costs WITH (FORCE);
