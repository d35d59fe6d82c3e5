--
-- The examples of docs/monitoring.md, in their order. Made by test/docs/extract: to
-- change them, change docs/monitoring.md and run that.
--
\set home :DBNAME
SET client_min_messages = warning;
DROP DATABASE IF EXISTS fernet_regression_docs_monitoring;
CREATE DATABASE fernet_regression_docs_monitoring;
\c fernet_regression_docs_monitoring
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
CREATE EXTENSION pg_fernet;

-- docs/monitoring.md: Diagnosis and monitoring
\set key     'this-is-test-key-1-do-not-use-it-anywhere-A='
\set new_key 'this-is-test-key-2-do-not-use-it-anywhere-A='
SELECT set_config('fernet.key', :'new_key' || ',' || :'key', false);

CREATE TABLE connection (id int PRIMARY KEY, password text);
INSERT INTO connection
SELECT n, fernet_encrypt('password ' || n) FROM generate_series(1, 3) AS n;

-- docs/monitoring.md: What is wrong with this value?
SELECT status, cause, detail FROM fernet_inspect('xoxb-1234');

-- docs/monitoring.md: Which rows are not tokens, or need a key I do not have?
SELECT i.status, i.cause, count(*)
FROM connection, LATERAL fernet_inspect(password) AS i
GROUP BY i.status, i.cause;

-- docs/monitoring.md: Is it the wrong key, or is the data damaged?
SELECT * FROM fernet_keys();

-- docs/monitoring.md: Where are tokens?
SELECT relation, column_name, type, form, status, key_index, tokens, detail
FROM fernet_find_tokens() WHERE relation = 'connection'::regclass;

-- docs/monitoring.md: May I drop the old key?
SELECT status, form, key_index, tokens FROM fernet_census('connection', 'password');

-- docs/monitoring.md: May I drop the old key?
SELECT fernet_assert_rotated('connection', 'password');

-- docs/monitoring.md: May I drop the old key?
SELECT fernet_assert_database_rotated();

-- docs/monitoring.md: What about the server around it?
SELECT item, status, detail FROM fernet_doctor() WHERE item = 'stored key';

-- docs/monitoring.md: Monitoring
SELECT relation, columns, state, share, rate, time_left FROM fernet_rotation_progress;

-- docs/monitoring.md: Audit
SELECT pg_cancel_backend(pid) FROM fernet_rotation_progress WHERE state = 'running';

-- End of the examples
\c :home
DROP DATABASE fernet_regression_docs_monitoring WITH (FORCE);
