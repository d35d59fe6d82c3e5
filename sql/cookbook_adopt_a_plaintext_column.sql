--
-- The examples of docs/cookbook/adopt-a-plaintext-column.md, in their order. Made by test/docs/extract: to
-- change them, change docs/cookbook/adopt-a-plaintext-column.md and run that.
--
\set home :DBNAME
SET client_min_messages = warning;
DROP DATABASE IF EXISTS fernet_regression_cookbook_adopt_a_plaintext_column;
CREATE DATABASE fernet_regression_cookbook_adopt_a_plaintext_column;
\c fernet_regression_cookbook_adopt_a_plaintext_column
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
CREATE EXTENSION pg_fernet;

-- docs/cookbook/adopt-a-plaintext-column.md: Adopt a plaintext column
\set key     'this-is-test-key-1-do-not-use-it-anywhere-A='
SELECT set_config('fernet.key', :'key', false);

CREATE TABLE webhook (id int PRIMARY KEY, secret text);
INSERT INTO webhook SELECT n, 'secret ' || n FROM generate_series(1, 1000) AS n;

-- docs/cookbook/adopt-a-plaintext-column.md: 1. Read both
SELECT id, CASE WHEN fernet_is_token(secret) THEN fernet_decrypt(secret) ELSE secret END AS secret
FROM webhook WHERE id = 1;

-- docs/cookbook/adopt-a-plaintext-column.md: 2. Write tokens
CREATE TRIGGER zz_encrypt BEFORE INSERT OR UPDATE ON webhook
  FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('secret');

INSERT INTO webhook VALUES (1001, 'written meanwhile');

-- docs/cookbook/adopt-a-plaintext-column.md: 3. Encrypt what is there
CALL fernet_rotate_column('webhook', 'secret', on_plaintext => 'encrypt', dry_run => true);

CALL fernet_rotate_column('webhook', 'secret', on_plaintext => 'encrypt');

-- docs/cookbook/adopt-a-plaintext-column.md: 4. Keep plaintexts out
ALTER TABLE webhook ADD CONSTRAINT secret_is_token CHECK (fernet_is_token(secret)) NOT VALID;
ALTER TABLE webhook VALIDATE CONSTRAINT secret_is_token;

-- docs/cookbook/adopt-a-plaintext-column.md: 5. Clean up
VACUUM (ANALYZE) webhook;

-- docs/cookbook/adopt-a-plaintext-column.md: Check that it worked
SELECT fernet_assert_rotated('webhook', 'secret');

SELECT status, tokens FROM fernet_census('webhook', 'secret');

-- End of the examples
\c :home
DROP DATABASE fernet_regression_cookbook_adopt_a_plaintext_column WITH (FORCE);
