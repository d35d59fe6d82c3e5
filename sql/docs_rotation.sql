--
-- The examples of docs/rotation.md, in their order. Made by test/docs/extract: to
-- change them, change docs/rotation.md and run that.
--
\set home :DBNAME
SET client_min_messages = warning;
DROP DATABASE IF EXISTS fernet_regression_docs_rotation;
CREATE DATABASE fernet_regression_docs_rotation;
\c fernet_regression_docs_rotation
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
CREATE EXTENSION pg_fernet;

-- docs/rotation.md: Rotate keys
\set key     'this-is-test-key-1-do-not-use-it-anywhere-A='
\set new_key 'this-is-test-key-2-do-not-use-it-anywhere-A='
SELECT set_config('fernet.key', :'key', false);

CREATE TABLE connection (id int PRIMARY KEY, password text);
INSERT INTO connection
SELECT n, fernet_encrypt('password ' || n) FROM generate_series(1, 3) AS n;
CREATE TABLE webhook (id int PRIMARY KEY, secret text);
INSERT INTO webhook VALUES (1, fernet_encrypt('a secret'));

-- docs/rotation.md: The five steps
SELECT set_config('fernet.key', :'new_key' || ',' || :'key', false);

CALL fernet_rotate_column('connection', 'password');

-- docs/rotation.md: The five steps
SELECT fernet_assert_rotated('connection', 'password');

-- docs/rotation.md: The five steps
SELECT fernet_key_index(password) AS key_index, count(*)
FROM connection WHERE password IS NOT NULL GROUP BY 1 ORDER BY 1;

-- docs/rotation.md: The five steps
SELECT set_config('fernet.key', :'new_key', false);
SELECT count(*) AS unreadable FROM connection WHERE NOT fernet_verify(password);

-- docs/rotation.md: What happens to values that cannot be rotated
SELECT set_config('fernet.key', :'new_key' || ',' || :'key', false);
CREATE TABLE import (id int, token text);
INSERT INTO import VALUES (1, fernet_encrypt('good')), (2, 'not a token');

CALL fernet_rotate_column('import', 'token');

-- docs/rotation.md: What happens to values that cannot be rotated
SELECT id, fernet_is_token(token) FROM import
WHERE token IS NOT NULL AND fernet_key_index(token) IS NULL;

-- docs/rotation.md: Rotate several columns of a table
CREATE TABLE account (id int PRIMARY KEY, note text, access_token text, refresh_token bytea, settings jsonb);
SELECT set_config('fernet.key', :'key', false);
INSERT INTO account
SELECT n, 'no token', fernet_encrypt('access'), convert_to(fernet_encrypt('refresh'), 'UTF8'),
       jsonb_build_object('webhook', fernet_encrypt('webhook'))
FROM generate_series(1, 3) AS n;

SELECT set_config('fernet.key', :'new_key' || ',' || :'key', false);
CALL fernet_rotate_table('account', '{access_token, refresh_token, settings}');

-- docs/rotation.md: Rotate several columns of a table
CALL fernet_rotate_table('account');

-- docs/rotation.md: Rotate several columns of a table
SELECT fernet_assert_rotated('account');

-- docs/rotation.md: Rotate tokens inside of documents, arrays and rows
SELECT set_config('fernet.key', :'key', false);
CREATE TABLE server AS
  SELECT n AS id, jsonb_build_object('url', 'https://a.example', 'token', fernet_encrypt('of server ' || n)) AS config
  FROM generate_series(1, 3) AS n;
SELECT set_config('fernet.key', :'new_key' || ',' || :'key', false);
INSERT INTO server VALUES (4, '{}');

CALL fernet_rotate_column('server', 'config');

-- docs/rotation.md: Rotate tokens inside of documents, arrays and rows
SELECT fernet_assert_rotated('server', 'config');

-- End of the examples
\c :home
DROP DATABASE fernet_regression_docs_rotation WITH (FORCE);
