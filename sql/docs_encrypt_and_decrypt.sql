--
-- The examples of docs/encrypt-and-decrypt.md, in their order. Made by test/docs/extract: to
-- change them, change docs/encrypt-and-decrypt.md and run that.
--
\set home :DBNAME
SET client_min_messages = warning;
DROP DATABASE IF EXISTS fernet_regression_docs_encrypt_and_decrypt;
CREATE DATABASE fernet_regression_docs_encrypt_and_decrypt;
\c fernet_regression_docs_encrypt_and_decrypt
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
CREATE EXTENSION pg_fernet;

-- docs/encrypt-and-decrypt.md: Encrypt and decrypt
-- test keys, and a session that has the first of them
\set key     'this-is-test-key-1-do-not-use-it-anywhere-A='
\set new_key 'this-is-test-key-2-do-not-use-it-anywhere-A='
SELECT set_config('fernet.key', :'key', false);

-- docs/encrypt-and-decrypt.md: Encrypt
SELECT set_config('fernet.key', :'key', false);

CREATE TABLE connection (id int PRIMARY KEY, password text);
INSERT INTO connection
SELECT n, fernet_encrypt('password ' || n) FROM generate_series(1, 3) AS n;

-- docs/encrypt-and-decrypt.md: Encrypt
SELECT n, length(fernet_encrypt(repeat('x', n))) AS token_length
FROM unnest(ARRAY[0, 15, 16, 100, 1000]) AS n;

-- docs/encrypt-and-decrypt.md: Keep plaintext out of a column
CREATE DOMAIN fernet_token AS text CHECK (fernet_is_token(VALUE));
CREATE TABLE webhook (id int, secret fernet_token);

INSERT INTO webhook VALUES (1, fernet_encrypt('a secret'));
INSERT INTO webhook VALUES (2, 'not encrypted');

-- docs/encrypt-and-decrypt.md: Keep plaintext out of a column
ALTER TABLE connection ADD CHECK (fernet_is_token(password));

-- docs/encrypt-and-decrypt.md: Keep plaintext out of a column
ALTER TABLE connection ADD CHECK (password::fernet_token = password);

-- docs/encrypt-and-decrypt.md: Let the database encrypt
CREATE TABLE slack_connection (id int PRIMARY KEY, team text,
  bot_token text CHECK (bot_token::fernet_token = bot_token));
CREATE TRIGGER zz_encrypt BEFORE INSERT OR UPDATE ON slack_connection
  FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('bot_token');

INSERT INTO slack_connection VALUES (1, 'red', 'xoxb-1'), (2, 'blue', NULL);
SELECT id, fernet_is_token(bot_token), fernet_decrypt(bot_token) FROM slack_connection;

-- docs/encrypt-and-decrypt.md: Let the database encrypt
CREATE VIEW slack_connection_decrypted WITH (security_invoker = true) AS
  SELECT id, team, fernet_decrypt(bot_token) AS bot_token FROM slack_connection;

SELECT * FROM slack_connection_decrypted WHERE id = 1;

-- docs/encrypt-and-decrypt.md: Strings in documents
CREATE TABLE integration (id int PRIMARY KEY, metadata jsonb);
CREATE TRIGGER zz_encrypt BEFORE INSERT OR UPDATE ON integration
  FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('metadata:$.access_token', 'metadata:$.hooks[*].secret');

INSERT INTO integration VALUES (1, '{"team": "red", "access_token": "xoxb-1", "hooks": [{"secret": "s1"}, {"secret": "s2"}]}');

SELECT metadata ->> 'team' AS team, fernet_is_token(metadata ->> 'access_token') AS is_token,
       fernet_decrypt_json(fernet_decrypt_json(metadata, '$.access_token'), '$.hooks[*].secret') AS metadata
FROM integration;

-- docs/encrypt-and-decrypt.md: Decrypt
SELECT id, fernet_decrypt(password) FROM connection ORDER BY id;

-- docs/encrypt-and-decrypt.md: Decrypt
SELECT fernet_decrypt_bytea(fernet_encrypt('\x00ff'::bytea));

-- docs/encrypt-and-decrypt.md: Expire tokens: ttl
SELECT fernet_decrypt(fernet_encrypt('fresh'), ttl => '1 hour');

-- "at" is the time of encryption there, and the time of the check here
SELECT fernet_decrypt(fernet_encrypt('old', at => '2026-01-01 00:00:00+00'),
                      ttl => '1 hour', at => '2026-01-01 02:00:00+00');

-- docs/encrypt-and-decrypt.md: Decrypt values of which some may be bad
SELECT fernet_try_decrypt(value) AS decrypted, fernet_verify(value) AS verified
FROM (VALUES (fernet_encrypt('good')), ('not a token')) AS v(value);

-- docs/encrypt-and-decrypt.md: When was a token made, and with which key
SELECT fernet_timestamp(t) AT TIME ZONE 'UTC' AS made, fernet_key_index(t)
FROM fernet_encrypt('hello', at => '2026-01-01 00:00:00+00') AS t;

-- docs/encrypt-and-decrypt.md: Encrypt a column that holds plaintext
CREATE TABLE legacy (id int, secret text);
INSERT INTO legacy VALUES (1, 'plain'), (2, fernet_encrypt('encrypted before'));

CALL fernet_rotate_column('legacy', 'secret', on_plaintext => 'encrypt');

SELECT id, fernet_decrypt(secret) FROM legacy ORDER BY id;

-- docs/encrypt-and-decrypt.md: Go back to plaintext
CALL fernet_decrypt_column('legacy', 'secret', confirm => true);

-- End of the examples
\c :home
DROP DATABASE fernet_regression_docs_encrypt_and_decrypt WITH (FORCE);
