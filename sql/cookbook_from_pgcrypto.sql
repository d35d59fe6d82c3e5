--
-- The examples of docs/cookbook/from-pgcrypto.md, in their order. Made by test/docs/extract: to
-- change them, change docs/cookbook/from-pgcrypto.md and run that.
--
\set home :DBNAME
SET client_min_messages = warning;
DROP DATABASE IF EXISTS fernet_regression_cookbook_from_pgcrypto;
CREATE DATABASE fernet_regression_cookbook_from_pgcrypto;
\c fernet_regression_cookbook_from_pgcrypto
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
CREATE EXTENSION pg_fernet;

-- docs/cookbook/from-pgcrypto.md: Move from pgcrypto
CREATE EXTENSION pgcrypto;
\set passphrase 'correct horse'
\set key     'this-is-test-key-1-do-not-use-it-anywhere-A='

CREATE TABLE account (id int PRIMARY KEY, secret bytea);
INSERT INTO account SELECT n, pgp_sym_encrypt('secret ' || n, :'passphrase') FROM generate_series(1, 50) AS n;

-- docs/cookbook/from-pgcrypto.md: 1. Add a column for tokens
ALTER TABLE account ADD COLUMN token text;

CREATE FUNCTION account_forget_token() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.secret IS DISTINCT FROM OLD.secret AND NEW.token IS NOT DISTINCT FROM OLD.token THEN
    NEW.token := NULL;
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER forget_token BEFORE UPDATE OF secret ON account
  FOR EACH ROW EXECUTE FUNCTION account_forget_token();

-- docs/cookbook/from-pgcrypto.md: 2. Convert in batches
CREATE PROCEDURE account_convert(batch int DEFAULT 1000) LANGUAGE plpgsql AS $$
DECLARE
  last int := -2147483648;
BEGIN
  LOOP
    WITH batch_of AS (
      SELECT id FROM account
      WHERE id > last AND token IS NULL AND secret IS NOT NULL
      ORDER BY id LIMIT batch FOR UPDATE SKIP LOCKED
    ), converted AS (
      UPDATE account AS a
      SET token = fernet_encrypt(pgp_sym_decrypt(a.secret, current_setting('convert.passphrase')))
      FROM batch_of WHERE a.id = batch_of.id
      RETURNING a.id
    )
    SELECT max(id) INTO last FROM converted;
    COMMIT;
    EXIT WHEN last IS NULL;
  END LOOP;
END $$;

-- docs/cookbook/from-pgcrypto.md: 2. Convert in batches
-- here, for the example
SELECT set_config('fernet.key', :'key', false);
SELECT set_config('convert.passphrase', :'passphrase', false) IS NOT NULL AS is_set;

CALL account_convert(20);

SELECT count(*) AS left_to_do FROM account WHERE token IS NULL AND secret IS NOT NULL;

-- docs/cookbook/from-pgcrypto.md: 3. Deploy the application
SELECT id, coalesce(fernet_decrypt(token), pgp_sym_decrypt(secret, current_setting('convert.passphrase'))) AS secret
FROM account WHERE id = 1;

-- docs/cookbook/from-pgcrypto.md: 3. Deploy the application
CALL account_convert();

-- docs/cookbook/from-pgcrypto.md: Check that it worked
SELECT count(*) AS both,
       count(*) FILTER (WHERE fernet_decrypt(token) = pgp_sym_decrypt(secret, current_setting('convert.passphrase'))) AS same
FROM account WHERE secret IS NOT NULL;

-- docs/cookbook/from-pgcrypto.md: Check that it worked
DROP TRIGGER forget_token ON account;
DROP FUNCTION account_forget_token();
DROP PROCEDURE account_convert(int);
ALTER TABLE account DROP COLUMN secret;

-- End of the examples
\c :home
DROP DATABASE fernet_regression_cookbook_from_pgcrypto;
