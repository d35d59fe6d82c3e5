--
-- The examples of docs/cookbook/from-python-to-the-database.md, in their order. Made by test/docs/extract: to
-- change them, change docs/cookbook/from-python-to-the-database.md and run that.
--
\set home :DBNAME
SET client_min_messages = warning;
DROP DATABASE IF EXISTS fernet_regression_cookbook_from_python_to_the_database;
CREATE DATABASE fernet_regression_cookbook_from_python_to_the_database;
\c fernet_regression_cookbook_from_python_to_the_database
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
CREATE EXTENSION pg_fernet;

-- docs/cookbook/from-python-to-the-database.md: Move from Python to the database
\set key     'this-is-test-key-1-do-not-use-it-anywhere-A='
\set new_key 'this-is-test-key-2-do-not-use-it-anywhere-A='

CREATE TABLE slack_connection (id int PRIMARY KEY, team text, bot_token_encrypted text);
INSERT INTO slack_connection VALUES
  (1, 'red', 'gAAAAABpVbkAI1rITYSx-B70oFY2g8jhzpOmH1CtgtWkaRcHKUMz-Z-zIzDdp2-usfaqylm8H9kUf5dslnji75_gjxbzr0nV9A=='),
  (2, 'blue', NULL);

-- docs/cookbook/from-python-to-the-database.md: 1. Give the session the application's key
SELECT set_config('fernet.key', :'key', false);

-- docs/cookbook/from-python-to-the-database.md: 2. Let the database check what Python wrote
SELECT status, key_index, tokens FROM fernet_census('slack_connection', 'bot_token_encrypted');

-- docs/cookbook/from-python-to-the-database.md: 3. Read in SQL
SELECT id, team, fernet_decrypt(bot_token_encrypted) AS bot_token FROM slack_connection ORDER BY id;

-- docs/cookbook/from-python-to-the-database.md: 4. Rotate in SQL
SELECT set_config('fernet.key', :'new_key' || ',' || :'key', false);

CALL fernet_rotate_column('slack_connection', 'bot_token_encrypted');

-- docs/cookbook/from-python-to-the-database.md: 5. Write in SQL
CREATE TRIGGER zz_encrypt BEFORE INSERT OR UPDATE ON slack_connection
  FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('bot_token_encrypted');

UPDATE slack_connection SET bot_token_encrypted = 'xoxb-2' WHERE id = 2;

-- docs/cookbook/from-python-to-the-database.md: Check that it worked
SELECT count(*) FILTER (WHERE fernet_verify(bot_token_encrypted)) AS opened,
       count(*) FILTER (WHERE NOT fernet_verify(bot_token_encrypted)) AS not_opened
FROM slack_connection;

-- End of the examples
\c :home
DROP DATABASE fernet_regression_cookbook_from_python_to_the_database WITH (FORCE);
