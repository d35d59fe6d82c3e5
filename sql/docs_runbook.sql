--
-- The examples of docs/runbook.md, in their order. Made by test/docs/extract: to
-- change them, change docs/runbook.md and run that.
--
\set home :DBNAME
SET client_min_messages = warning;
DROP DATABASE IF EXISTS fernet_regression_docs_runbook;
CREATE DATABASE fernet_regression_docs_runbook;
\c fernet_regression_docs_runbook
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
CREATE EXTENSION pg_fernet;

-- docs/runbook.md: Runbook: rotate a production system
\set key     'this-is-test-key-1-do-not-use-it-anywhere-A='
\set new_key 'this-is-test-key-2-do-not-use-it-anywhere-A='
SELECT set_config('fernet.key', :'key', false);

CREATE TABLE connection (id int PRIMARY KEY, password text);
CREATE TABLE webhook (id int PRIMARY KEY, secret text);
INSERT INTO webhook VALUES (1, fernet_encrypt('a secret'));

SELECT set_config('fernet.key', :'new_key' || ',' || :'key', false);
INSERT INTO connection
SELECT n, fernet_encrypt('password ' || n) FROM generate_series(1, 3) AS n;

-- docs/runbook.md: The steps
CALL fernet_rotate_column('webhook', 'secret', dry_run => true);

-- docs/runbook.md: The steps
SELECT 'connection.password' AS "column", fernet_key_index(password) AS key_index, count(*)
FROM connection WHERE password IS NOT NULL GROUP BY 2
UNION ALL
SELECT 'webhook.secret', fernet_key_index(secret), count(*)
FROM webhook WHERE secret IS NOT NULL GROUP BY 2
ORDER BY 1, 2;

-- docs/runbook.md: Transaction poolers and job runners
BEGIN;
SELECT set_config('fernet.key', :'new_key' || ',' || :'key', true);
SELECT * FROM fernet_rotate_batch('webhook', 'secret', from_position => 0);
COMMIT;

-- End of the examples
\c :home
DROP DATABASE fernet_regression_docs_runbook WITH (FORCE);
