--
-- The examples of docs/keys.md, in their order. Made by test/docs/extract: to
-- change them, change docs/keys.md and run that.
--
\set home :DBNAME
SET client_min_messages = warning;
DROP DATABASE IF EXISTS fernet_regression_docs_keys;
CREATE DATABASE fernet_regression_docs_keys;
\c fernet_regression_docs_keys
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
CREATE EXTENSION pg_fernet;

-- docs/keys.md: Give the key to a session
\set key     'this-is-test-key-1-do-not-use-it-anywhere-A='
\set new_key 'this-is-test-key-2-do-not-use-it-anywhere-A='

SELECT set_config('fernet.key', :'key', false);

-- docs/keys.md: Give the key to a session
SELECT * FROM fernet_keys();

-- docs/keys.md: PgBouncer and other poolers
BEGIN;
SELECT set_config('fernet.key', :'key', true);
SELECT fernet_decrypt(fernet_encrypt('pooled'));
COMMIT;

-- docs/keys.md: Several keys
SELECT set_config('fernet.key', :'new_key' || ',' || :'key', false);
SELECT * FROM fernet_keys();

-- docs/keys.md: Keys that other programs derive
-- django-fernet-fields
SELECT fernet_key_from_hkdf('secret', 'django-fernet-fields-hkdf-salt', 'django-fernet-fields');
-- django-fernet-encrypted-fields, with its SECRET_KEY and SALT_KEY
SELECT fernet_key_from_pbkdf2('secret', 'salt', 100000);
-- sqlalchemy-utils, Redash
SELECT fernet_key_from_sha256('secret');

-- docs/keys.md: Where can the key leak?
ALTER ROLE CURRENT_USER SET fernet.key = :'key';

-- End of the examples
\c :home
DROP DATABASE fernet_regression_docs_keys WITH (FORCE);
