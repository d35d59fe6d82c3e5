--
-- The examples of docs/compliance.md, in their order. Made by test/docs/extract: to
-- change them, change docs/compliance.md and run that.
--
\set home :DBNAME
SET client_min_messages = warning;
DROP DATABASE IF EXISTS fernet_regression_docs_compliance;
CREATE DATABASE fernet_regression_docs_compliance;
\c fernet_regression_docs_compliance
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
CREATE EXTENSION pg_fernet;

-- docs/compliance.md: The questions
\set key     'this-is-test-key-1-do-not-use-it-anywhere-A='
\set new_key 'this-is-test-key-2-do-not-use-it-anywhere-A='
SELECT set_config('fernet.key', :'key', false);

CREATE DOMAIN fernet_token AS text CHECK (fernet_is_token(VALUE));
CREATE TABLE customer (id int PRIMARY KEY, iban fernet_token, note text);
INSERT INTO customer SELECT n, fernet_encrypt('DE' || n) FROM generate_series(1, 3) AS n;

SELECT set_config('fernet.key', :'new_key' || ',' || :'key', false);
CALL fernet_rotate_column('customer', 'iban');

-- docs/compliance.md: Which columns are encrypted?
SELECT relation, column_name, form, status, tokens FROM fernet_find_tokens();

-- docs/compliance.md: Which columns are encrypted?
SELECT status, form, key_index, tokens FROM fernet_census('customer', 'iban');

-- docs/compliance.md: Which columns are encrypted?
SELECT a.attrelid::regclass AS "table", a.attname AS "column", pg_get_constraintdef(c.oid) AS rule
FROM pg_constraint AS c JOIN pg_attribute AS a
    ON a.atttypid = nullif(c.contypid, 0) OR a.attrelid = nullif(c.conrelid, 0) AND a.attnum = ANY (c.conkey)
WHERE pg_get_constraintdef(c.oid) LIKE '%fernet_is_token%' AND a.attnum > 0 AND NOT a.attisdropped AND c.convalidated;

-- docs/compliance.md: Which columns are encrypted?
INSERT INTO customer VALUES (4, 'DE4');

-- docs/compliance.md: Which keys are in use?
SELECT key_index, fingerprint, tokens FROM fernet_census('customer', 'iban');

-- docs/compliance.md: When was a key replaced?
SELECT operation, relation, columns, fingerprint, state, rotated, failed, finished IS NOT NULL AS finished
FROM fernet_rotation ORDER BY id;

-- docs/compliance.md: Is the old key still needed?
SELECT fernet_assert_database_rotated(fingerprint => 'd44ded723620a7bd');

-- docs/compliance.md: The server holds no key
SELECT item, status, detail FROM fernet_doctor() WHERE item = 'stored key';

-- docs/compliance.md: The server holds no key
SHOW fernet.key;

-- docs/compliance.md: The server holds no key
ALTER ROLE CURRENT_USER SET fernet.key = :'key';

-- docs/compliance.md: A changed value is refused
SELECT count(*) AS changed, count(fernet_try_decrypt(overlay(iban PLACING
         CASE substr(iban, place, 1) WHEN 'A' THEN 'B' ELSE 'A' END FROM place FOR 1))) AS decrypted
FROM customer, generate_series(1, 98) AS place;

-- docs/compliance.md: Who may decrypt?
SELECT DISTINCT p.proname AS "function", CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS may_call
FROM pg_proc AS p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
WHERE p.proname ~ '^fernet_(try_)?decrypt' AND a.grantee <> p.proowner ORDER BY 1, 2;

-- docs/compliance.md: Does every session use TLS?
SELECT pid, usename, client_addr FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) JOIN pg_stat_gssapi USING (pid)
WHERE client_addr IS NOT NULL AND NOT ssl AND NOT encrypted;

-- End of the examples
\c :home
DROP DATABASE fernet_regression_docs_compliance WITH (FORCE);
