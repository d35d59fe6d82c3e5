--
-- The examples of README.md, in their order. Made by test/readme/extract: to
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

-- README: Quick start
CREATE EXTENSION pg_fernet;

-- a new key, for this session only
SELECT set_config('fernet.key', fernet_generate_key(), false);

CREATE TABLE integration (name text, api_token text);
INSERT INTO integration VALUES ('chat', fernet_encrypt('my API token'));

SELECT name, left(api_token, 6) || '...' AS stored, fernet_decrypt(api_token) AS decrypted
FROM integration;

-- README: Install
SELECT length(fernet_generate_key());

-- README: Give the key to a session
\set key     'this-is-test-key-1-do-not-use-it-anywhere-A='
\set new_key 'this-is-test-key-2-do-not-use-it-anywhere-A='

SELECT set_config('fernet.key', :'key', false);

-- README: Give the key to a session
SELECT * FROM fernet_keys();

-- README: PgBouncer and other poolers
BEGIN;
SELECT set_config('fernet.key', :'key', true);
SELECT fernet_decrypt(fernet_encrypt('pooled'));
COMMIT;

-- README: Several keys
SELECT set_config('fernet.key', :'new_key' || ',' || :'key', false);
SELECT * FROM fernet_keys();

-- README: Keys that other programs derive
-- django-fernet-fields
SELECT fernet_key_from_hkdf('secret', 'django-fernet-fields-hkdf-salt', 'django-fernet-fields');
-- django-fernet-encrypted-fields, with its SECRET_KEY and SALT_KEY
SELECT fernet_key_from_pbkdf2('secret', 'salt', 100000);
-- sqlalchemy-utils, Redash
SELECT fernet_key_from_sha256('secret');

-- README: Where can the key leak?
ALTER ROLE CURRENT_USER SET fernet.key = :'key';

-- README: Encrypt
SELECT set_config('fernet.key', :'key', false);

CREATE TABLE connection (id int PRIMARY KEY, password text);
INSERT INTO connection
SELECT n, fernet_encrypt('password ' || n) FROM generate_series(1, 3) AS n;

-- README: Encrypt
SELECT n, length(fernet_encrypt(repeat('x', n))) AS token_length
FROM unnest(ARRAY[0, 15, 16, 100, 1000]) AS n;

-- README: Keep plaintext out of a column
CREATE DOMAIN fernet_token AS text CHECK (fernet_is_token(VALUE));
CREATE TABLE webhook (id int, secret fernet_token);

INSERT INTO webhook VALUES (1, fernet_encrypt('a secret'));
INSERT INTO webhook VALUES (2, 'not encrypted');

-- README: Keep plaintext out of a column
ALTER TABLE connection ADD CHECK (fernet_is_token(password));

-- README: Let the database encrypt
CREATE TABLE slack_connection (id int PRIMARY KEY, team text, bot_token text CHECK (fernet_is_token(bot_token)));
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON slack_connection
  FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('bot_token');

INSERT INTO slack_connection VALUES (1, 'red', 'xoxb-1'), (2, 'blue', NULL);
SELECT id, fernet_is_token(bot_token), fernet_decrypt(bot_token) FROM slack_connection;

-- README: Let the database encrypt
CREATE VIEW slack_connection_decrypted WITH (security_invoker = true) AS
  SELECT id, team, fernet_decrypt(bot_token) AS bot_token FROM slack_connection;

SELECT * FROM slack_connection_decrypted WHERE id = 1;

-- README: Decrypt
SELECT id, fernet_decrypt(password) FROM connection ORDER BY id;

-- README: Decrypt
SELECT fernet_decrypt_bytea(fernet_encrypt('\x00ff'::bytea));

-- README: Expire tokens: ttl
SELECT fernet_decrypt(fernet_encrypt('fresh'), ttl => '1 hour');

-- "at" is the time of encryption there, and the time of the check here
SELECT fernet_decrypt(fernet_encrypt('old', at => '2026-01-01 00:00:00+00'),
                      ttl => '1 hour', at => '2026-01-01 02:00:00+00');

-- README: Decrypt values of which some may be bad
SELECT fernet_try_decrypt(value) AS decrypted, fernet_verify(value) AS verified
FROM (VALUES (fernet_encrypt('good')), ('not a token')) AS v(value);

-- README: When was a token made, and under which key
SELECT fernet_timestamp(t) AT TIME ZONE 'UTC' AS made, fernet_key_index(t)
FROM fernet_encrypt('hello', at => '2026-01-01 00:00:00+00') AS t;

-- README: Rotate keys
SELECT set_config('fernet.key', :'new_key' || ',' || :'key', false);

CALL fernet_rotate_column('connection', 'password');

-- README: Rotate keys
SELECT fernet_key_index(password) AS key_index, count(*)
FROM connection WHERE password IS NOT NULL GROUP BY 1 ORDER BY 1;

-- README: Rotate keys
SELECT set_config('fernet.key', :'new_key', false);
SELECT count(*) AS unreadable FROM connection WHERE NOT fernet_verify(password);

-- README: What happens to values that cannot be rotated
SELECT set_config('fernet.key', :'new_key' || ',' || :'key', false);
CREATE TABLE import (id int, token text);
INSERT INTO import VALUES (1, fernet_encrypt('good')), (2, 'not a token');

CALL fernet_rotate_column('import', 'token');

-- README: What happens to values that cannot be rotated
SELECT id, fernet_is_token(token) FROM import
WHERE token IS NOT NULL AND fernet_key_index(token) IS NULL;

-- README: Runbook: rotate a production system
SELECT set_config('fernet.key', :'new_key' || ',' || :'key', false);

CALL fernet_rotate_column('webhook', 'secret', dry_run => true);

-- README: Runbook: rotate a production system
SELECT 'connection.password' AS "column", fernet_key_index(password) AS key_index, count(*)
FROM connection WHERE password IS NOT NULL GROUP BY 2
UNION ALL
SELECT 'webhook.secret', fernet_key_index(secret), count(*)
FROM webhook WHERE secret IS NOT NULL GROUP BY 2
ORDER BY 1, 2;

-- README: Transaction poolers and job runners
BEGIN;
SELECT set_config('fernet.key', :'new_key' || ',' || :'key', true);
SELECT * FROM fernet_rotate_batch('webhook', 'secret', from_page => 0);
COMMIT;

-- README: Encrypt a column that holds plaintext
CREATE TABLE legacy (id int, secret text);
INSERT INTO legacy VALUES (1, 'plain'), (2, fernet_encrypt('encrypted before'));

CALL fernet_rotate_column('legacy', 'secret', on_plaintext => 'encrypt');

SELECT id, fernet_decrypt(secret) FROM legacy ORDER BY id;

-- README: Go back to plaintext
CALL fernet_decrypt_column('legacy', 'secret', confirm => true);

-- README: Rotate a single token
SELECT set_config('fernet.key', :'key', false);
CREATE TEMPORARY TABLE old AS SELECT fernet_encrypt('one value') AS token;
SELECT set_config('fernet.key', :'new_key' || ',' || :'key', false);

SELECT fernet_key_index(token) AS before, fernet_key_index(fernet_rotate(token)) AS after,
       fernet_decrypt(fernet_rotate(token))
FROM old;

-- README: What is wrong with this value?
SELECT status, detail FROM fernet_inspect('xoxb-1234');

-- README: Which rows are not tokens, or under a key I do not have?
SELECT i.status, i.detail, count(*)
FROM connection, LATERAL fernet_inspect(password) AS i
GROUP BY i.status, i.detail;

-- README: Is it the wrong key, or is the data damaged?
SELECT * FROM fernet_keys();

-- README: May I drop the old key?
SELECT status, key_index, tokens FROM fernet_census('connection', 'password');

-- README: May I drop the old key?
SELECT fernet_assert_rotated('connection', 'password');

-- README: What about the server around it?
SELECT item, status, detail FROM fernet_doctor() WHERE item = 'stored key';

-- README: Prometheus
SELECT relation, column_name, state, share, rate, time_left FROM fernet_rotation_progress;

-- README: Use with Python, Go, Ruby and JavaScript
SELECT fernet_decrypt('gAAAAABpVbkAI1rITYSx-B70oFY2g8jhzpOmH1CtgtWkaRcHKUMz-Z-zIzDdp2-usfaqylm8H9kUf5dslnji75_gjxbzr0nV9A==');

-- README: Errors
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
DROP DATABASE fernet_regression_readme;
