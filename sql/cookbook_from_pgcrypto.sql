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
-- an older passphrase, and what nothing decrypts
UPDATE account SET secret = pgp_sym_encrypt('secret 7', 'the passphrase of 2019') WHERE id = 7;
UPDATE account SET secret = 'never was encrypted' WHERE id = 13;

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
CREATE FUNCTION account_decrypt(secret bytea, passphrases text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  passphrase text;
BEGIN
  FOREACH passphrase IN ARRAY passphrases LOOP
    BEGIN
      RETURN pgp_sym_decrypt(secret, passphrase);
    EXCEPTION WHEN external_routine_invocation_exception OR data_exception THEN
      -- another one, or no message of PGP at all
    END;
  END LOOP;
  RETURN NULL;
END $$;

-- docs/cookbook/from-pgcrypto.md: 2. Convert in batches
CREATE TABLE account_refused (id int PRIMARY KEY);

CREATE PROCEDURE account_convert(batch int DEFAULT 1000) LANGUAGE plpgsql AS $$
DECLARE
  passphrases CONSTANT text[] := string_to_array(current_setting('convert.passphrases'), ',');
  last int := -2147483648;
BEGIN
  LOOP
    WITH batch_of AS MATERIALIZED (
      SELECT id, account_decrypt(secret, passphrases) AS plaintext FROM (
        SELECT id, secret FROM account
        WHERE id > last AND token IS NULL AND secret IS NOT NULL
        ORDER BY id LIMIT batch FOR UPDATE SKIP LOCKED) AS locked
    ), converted AS (
      UPDATE account AS a SET token = fernet_encrypt(plaintext)
      FROM batch_of WHERE a.id = batch_of.id AND plaintext IS NOT NULL
      RETURNING a.id
    ), accepted AS (
      DELETE FROM account_refused AS r USING converted WHERE r.id = converted.id
    ), refused AS (
      INSERT INTO account_refused SELECT id FROM batch_of WHERE plaintext IS NULL ON CONFLICT DO NOTHING
    )
    SELECT max(id) INTO last FROM batch_of;
    COMMIT;
    EXIT WHEN last IS NULL;
  END LOOP;
END $$;

-- docs/cookbook/from-pgcrypto.md: 2. Convert in batches
-- here, for the example
SELECT set_config('fernet.key', :'key', false);
SELECT set_config('convert.passphrases', :'passphrase', false) IS NOT NULL AS is_set;

CALL account_convert(20);

SELECT count(*) AS left_to_do, count(r.id) AS refused
FROM account AS a LEFT JOIN account_refused AS r USING (id) WHERE token IS NULL AND secret IS NOT NULL;

-- docs/cookbook/from-pgcrypto.md: 2. Convert in batches
SELECT set_config('convert.passphrases', :'passphrase' || ',the passphrase of 2019', false) IS NOT NULL AS is_set;

CALL account_convert();

SELECT r.id, length(a.secret), left(encode(a.secret, 'escape'), 5) AS begins_with
FROM account_refused AS r JOIN account AS a USING (id);

-- docs/cookbook/from-pgcrypto.md: 2. Convert in batches
UPDATE account SET token = fernet_encrypt(secret) WHERE id = 13;
DELETE FROM account_refused WHERE id = 13;

-- docs/cookbook/from-pgcrypto.md: 3. Deploy the application
SELECT id, coalesce(fernet_decrypt(token),
                    account_decrypt(secret, string_to_array(current_setting('convert.passphrases'), ','))) AS secret
FROM account WHERE id = 1;

-- docs/cookbook/from-pgcrypto.md: 3. Deploy the application
CALL account_convert();

-- docs/cookbook/from-pgcrypto.md: Check that it worked
SELECT count(*) AS both,
       count(*) FILTER (WHERE fernet_decrypt(token) = account_decrypt(
         secret, string_to_array(current_setting('convert.passphrases'), ','))) AS same
FROM account WHERE secret IS NOT NULL;

-- docs/cookbook/from-pgcrypto.md: Check that it worked
DROP TRIGGER forget_token ON account;
DROP FUNCTION account_forget_token();
DROP PROCEDURE account_convert(int);
DROP FUNCTION account_decrypt(bytea, text[]);
DROP TABLE account_refused;
ALTER TABLE account DROP COLUMN secret;

-- End of the examples
\c :home
DROP DATABASE fernet_regression_cookbook_from_pgcrypto WITH (FORCE);
