--
-- The examples of docs/cookbook/backups.md, in their order. Made by test/docs/extract: to
-- change them, change docs/cookbook/backups.md and run that.
--
\set home :DBNAME
SET client_min_messages = warning;
DROP DATABASE IF EXISTS fernet_regression_cookbook_backups;
CREATE DATABASE fernet_regression_cookbook_backups;
\c fernet_regression_cookbook_backups
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
CREATE EXTENSION pg_fernet;

-- docs/cookbook/backups.md: Backups, pgBackRest, and old keys
\set key     'this-is-test-key-1-do-not-use-it-anywhere-A='
\set new_key 'this-is-test-key-2-do-not-use-it-anywhere-A='
SELECT set_config('fernet.key', :'key', false);
CREATE TABLE connection (id int PRIMARY KEY, password text);
INSERT INTO connection SELECT n, fernet_encrypt('password ' || n) FROM generate_series(1, 3) AS n;

SELECT set_config('fernet.key', :'new_key' || ',' || :'key', false);
CALL fernet_rotate_column('connection', 'password');

-- docs/cookbook/backups.md: 1. Which backups need which key?
SELECT relation, columns, fingerprint, max(finished) IS NOT NULL AS "has a time",
       max(rotated) AS rotated
FROM fernet_rotation WHERE operation = 'rotate' AND state = 'done'
GROUP BY 1, 2, 3;

-- docs/cookbook/backups.md: 3. Check the restored server
SELECT status, key_index, tokens FROM fernet_census('connection', 'password');

-- End of the examples
\c :home
DROP DATABASE fernet_regression_cookbook_backups WITH (FORCE);
