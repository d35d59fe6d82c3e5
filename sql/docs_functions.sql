--
-- The examples of docs/functions.md, in their order. Made by test/docs/extract: to
-- change them, change docs/functions.md and run that.
--
\set home :DBNAME
SET client_min_messages = warning;
DROP DATABASE IF EXISTS fernet_regression_docs_functions;
CREATE DATABASE fernet_regression_docs_functions;
\c fernet_regression_docs_functions
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
CREATE EXTENSION pg_fernet;

-- docs/functions.md: Functions
\set key     'this-is-test-key-1-do-not-use-it-anywhere-A='
\set new_key 'this-is-test-key-2-do-not-use-it-anywhere-A='
SELECT set_config('fernet.key', :'key', false);

CREATE TABLE connection (id int PRIMARY KEY, password text, settings jsonb);
INSERT INTO connection
SELECT n, fernet_encrypt('password ' || n), jsonb_build_object('token', fernet_encrypt('token ' || n))
FROM generate_series(1, 3) AS n;

-- docs/functions.md: fernet_generate_key
SELECT length(fernet_generate_key());

-- docs/functions.md: fernet_keys
SELECT * FROM fernet_keys();

-- docs/functions.md: fernet_index_keys
SELECT set_config('fernet.index_key', :'new_key', false);
SELECT * FROM fernet_index_keys();

-- docs/functions.md: fernet_key_from_hkdf
SELECT fernet_key_from_hkdf('secret', 'django-fernet-fields-hkdf-salt', 'django-fernet-fields') IS NOT NULL AS derived;

-- docs/functions.md: fernet_key_from_pbkdf2
SELECT length(fernet_key_from_pbkdf2('secret', 'salt', 1000));

-- docs/functions.md: fernet_key_from_sha256
SELECT fernet_key_from_sha256('secret');

-- docs/functions.md: fernet_encrypt
SELECT left(fernet_encrypt('my API token'), 6) AS begins, length(fernet_encrypt('my API token'));

-- docs/functions.md: fernet_encrypt_trigger
CREATE TABLE chat (id int PRIMARY KEY, bot_token text);
CREATE TRIGGER zz_encrypt BEFORE INSERT OR UPDATE ON chat
  FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('bot_token');
INSERT INTO chat VALUES (1, 'xoxb-1');
SELECT fernet_is_token(bot_token), fernet_decrypt(bot_token) FROM chat;

-- docs/functions.md: fernet_decrypt
SELECT fernet_decrypt(password) FROM connection WHERE id = 1;
SELECT fernet_decrypt(fernet_encrypt('short-lived'), ttl => '10 minutes');

-- docs/functions.md: fernet_decrypt_bytea
SELECT fernet_decrypt_bytea(fernet_encrypt('\x00ff'::bytea));

-- docs/functions.md: fernet_try_decrypt
SELECT fernet_try_decrypt('not a token') IS NULL AS unreadable;

-- docs/functions.md: fernet_try_decrypt_bytea
SELECT fernet_try_decrypt_bytea(fernet_encrypt('\x00ff'::bytea)), fernet_try_decrypt_bytea('not a token') IS NULL AS unreadable;

-- docs/functions.md: fernet_decrypt_json
SELECT fernet_decrypt_json(settings, '$.token') FROM connection WHERE id = 1;

-- docs/functions.md: fernet_is_token
SELECT fernet_is_token(password), fernet_is_token('my password') FROM connection WHERE id = 1;

-- docs/functions.md: fernet_verify
SELECT count(*) AS unreadable FROM connection WHERE NOT fernet_verify(password);

-- docs/functions.md: fernet_key_index
SELECT fernet_key_index(password), count(*) FROM connection GROUP BY 1;

-- docs/functions.md: fernet_timestamp
SELECT fernet_timestamp(fernet_encrypt('a value', at => '2026-01-02 03:04:05+00'));

-- docs/functions.md: fernet_inspect
SELECT status, cause, payload_bytes FROM fernet_inspect('my password');
SELECT status, cause, payload_bytes FROM connection, fernet_inspect(password) WHERE id = 1;

-- docs/functions.md: fernet_rotate_column
SELECT set_config('fernet.key', :'new_key' || ',' || :'key', false);
CALL fernet_rotate_column('connection', 'password', pause => '10 ms');

-- docs/functions.md: fernet_rotate_column
DO $$
DECLARE
    done bigint; same bigint; bad bigint;
BEGIN
    CALL fernet_rotate_column('connection', 'password', dry_run => true,
                              rotated => done, unchanged => same, failed => bad);
    RAISE NOTICE 'to rotate: %', done;
END
$$;

-- docs/functions.md: fernet_rotate_table
CALL fernet_rotate_table('connection', '{password, settings}');

-- docs/functions.md: fernet_rotate_batch
SELECT * FROM fernet_rotate_batch('connection', 'password');

-- docs/functions.md: fernet_rotate
SELECT set_config('fernet.key', :'key', false);
CREATE TEMPORARY TABLE old AS SELECT fernet_encrypt('one value') AS token;
SELECT set_config('fernet.key', :'new_key' || ',' || :'key', false);

SELECT fernet_key_index(token) AS before, fernet_key_index(fernet_rotate(token)) AS after,
       fernet_decrypt(fernet_rotate(token))
FROM old;

-- docs/functions.md: fernet_rotate_value
SELECT set_config('fernet.key', :'key', false);
CREATE TEMPORARY TABLE service AS
  SELECT 1 AS id, jsonb_build_object('url', 'https://a.example', 'token', fernet_encrypt('of service 1')) AS config;
SELECT set_config('fernet.key', :'new_key' || ',' || :'key', false);

UPDATE service SET config = fernet_rotate_value(config);

SELECT config ->> 'url' AS url, fernet_key_index(config ->> 'token') AS key_index, fernet_decrypt(config ->> 'token')
FROM service;

-- docs/functions.md: fernet_decrypt_column
DROP TRIGGER zz_encrypt ON chat;
CALL fernet_decrypt_column('chat', 'bot_token', confirm => true);

-- docs/functions.md: fernet_assert_rotated
SELECT fernet_assert_rotated('connection', 'password', fingerprint => 'd44ded723620a7bd');

-- docs/functions.md: fernet_assert_database_rotated
SELECT fernet_assert_database_rotated(schemas => '{public}');

-- docs/functions.md: fernet_census
SELECT status, form, key_index, tokens FROM fernet_census('connection', 'settings');

-- docs/functions.md: fernet_find_tokens
SELECT relation, column_name, form, status, tokens FROM fernet_find_tokens(relations => '{connection}');

-- docs/functions.md: fernet_blind_index
CREATE TABLE users (id int PRIMARY KEY, email text, email_index bytea);
INSERT INTO users VALUES (1, fernet_encrypt('bob@example.com'), fernet_blind_index('bob@example.com', 'users.email'));

-- docs/functions.md: fernet_blind_indexes
SELECT id FROM users WHERE email_index = ANY (fernet_blind_indexes('bob@example.com', 'users.email'));

-- docs/functions.md: fernet_blind_index_trigger
CREATE TRIGGER keep_index BEFORE INSERT OR UPDATE ON users
  FOR EACH ROW EXECUTE FUNCTION fernet_blind_index_trigger('email', 'email_index', 'users.email');
INSERT INTO users VALUES (2, fernet_encrypt('alice@example.com'));
SELECT id FROM users WHERE email_index = ANY (fernet_blind_indexes('alice@example.com', 'users.email'));

-- docs/functions.md: fernet_index_column
CALL fernet_index_column('users', 'email', 'email_index', 'users.email');

-- docs/functions.md: fernet_assert_indexed
SELECT fernet_assert_indexed('users', 'email', 'email_index', 'users.email');

-- docs/functions.md: fernet_doctor
SELECT item, status FROM fernet_doctor() WHERE item = 'stored key';

-- docs/functions.md: pg_stat_fernet
SELECT count(*) <= 1 AS one_row FROM pg_stat_fernet WHERE datname = current_database();

-- docs/functions.md: pg_stat_fernet_roles
SELECT count(*) <= 1 AS one_row FROM pg_stat_fernet_roles WHERE datname = current_database() AND rolname = current_user;

-- docs/functions.md: fernet_stat
SELECT count(*) >= 0 AS answers FROM fernet_stat();

-- docs/functions.md: fernet_stat_reset
SELECT fernet_stat_reset();

-- docs/functions.md: fernet_rotation
SELECT operation, relation, columns, state, rotated FROM fernet_rotation ORDER BY id LIMIT 2;

-- docs/functions.md: fernet_ledger
SELECT obj_description('fernet_ledger'::regclass);

-- docs/functions.md: fernet_ledger_rows
SELECT count(*) > 0 AS jobs FROM fernet_ledger_rows();

-- docs/functions.md: fernet_rotation_progress
SELECT relation, columns, state, share, rate, time_left FROM fernet_rotation_progress;

-- docs/functions.md: fernet.key
SHOW fernet.key;

-- docs/functions.md: fernet.index_key
SHOW fernet.index_key;

-- docs/functions.md: fernet.log
SET fernet.log = 'failures';
SHOW fernet.log;

-- End of the examples
\c :home
DROP DATABASE fernet_regression_docs_functions WITH (FORCE);
