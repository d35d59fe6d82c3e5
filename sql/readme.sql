--
-- The examples of README.md, in their order. Made by test/docs/extract: to
-- change them, change README.md and run that.
--
\set home :DBNAME
SET client_min_messages = warning;
DROP DATABASE IF EXISTS fernet_regression_readme;
CREATE DATABASE fernet_regression_readme;
\c fernet_regression_readme
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
CREATE EXTENSION pg_fernet;

-- README.md: First result
CREATE EXTENSION IF NOT EXISTS pg_fernet;

-- a new key, for this session only
SELECT set_config('fernet.key', fernet_generate_key(), false);

CREATE TEMPORARY TABLE integration (name text, api_token text);
INSERT INTO integration VALUES ('chat', fernet_encrypt('my API token'));

SELECT name, left(api_token, 6) || '...' AS stored, fernet_decrypt(api_token) AS decrypted
FROM integration;

-- README.md: Keys in brief
\set key     'this-is-test-key-1-do-not-use-it-anywhere-A='
\set new_key 'this-is-test-key-2-do-not-use-it-anywhere-A='

BEGIN;
-- in an application: $1 in place of :'key', which psql puts into the text
SELECT set_config('fernet.key', :'key', true);
CREATE TABLE connection (id int PRIMARY KEY, password text);
INSERT INTO connection SELECT n, fernet_encrypt('password ' || n) FROM generate_series(1, 3) AS n;
COMMIT;

-- README.md: Rotate in brief
SELECT set_config('fernet.key', :'new_key' || ',' || :'key', false);

CALL fernet_rotate_column('connection', 'password');

SELECT fernet_assert_rotated('connection', 'password');

-- End of the examples
\c :home
DROP DATABASE fernet_regression_readme WITH (FORCE);
