--
-- The examples of docs/blind-index.md, in their order. Made by test/docs/extract: to
-- change them, change docs/blind-index.md and run that.
--
\set home :DBNAME
SET client_min_messages = warning;
DROP DATABASE IF EXISTS fernet_regression_docs_blind_index;
CREATE DATABASE fernet_regression_docs_blind_index;
\c fernet_regression_docs_blind_index
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
CREATE EXTENSION pg_fernet;

-- docs/blind-index.md: Find a row by its secret
-- test keys, which an application gives in another way: see keys.md
\set key           'this-is-test-key-1-do-not-use-it-anywhere-A='
\set index_key     'this-is-test-key-2-do-not-use-it-anywhere-A='
\set new_index_key 'this-is-test-key-3-do-not-use-it-anywhere-A='
SELECT set_config('fernet.key', :'key', false);
SELECT set_config('fernet.index_key', :'index_key', false);

CREATE TABLE users (id int PRIMARY KEY, email text, email_index bytea UNIQUE);
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON users
	FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('email');
CREATE TRIGGER keep_index BEFORE INSERT OR UPDATE ON users
	FOR EACH ROW EXECUTE FUNCTION fernet_blind_index_trigger('email', 'email_index', 'users.email');

INSERT INTO users VALUES (1, 'alice@example.com'), (2, 'bob@example.com');

-- find a user by email
SELECT id, fernet_decrypt(email) AS email FROM users
WHERE email_index = ANY (fernet_blind_indexes('bob@example.com', 'users.email'));

-- docs/blind-index.md: Find a row by its secret
-- refuse a second one
\set VERBOSITY terse
INSERT INTO users VALUES (3, 'bob@example.com');
-- or update the first
INSERT INTO users VALUES (3, 'bob@example.com')
ON CONFLICT (email_index) DO UPDATE SET email = excluded.email RETURNING id;
\set VERBOSITY default

-- docs/blind-index.md: The functions
SET enable_seqscan = off;  -- the table is very small
EXPLAIN (COSTS off) SELECT id FROM users WHERE email_index = fernet_blind_index('bob@example.com', 'users.email');

-- docs/blind-index.md: The index key
SELECT * FROM fernet_index_keys();

-- docs/blind-index.md: Fill the column, or change the index key
CREATE TABLE members (id int PRIMARY KEY, email text);
INSERT INTO members SELECT i, fernet_encrypt('member' || i || '@example.com') FROM generate_series(1, 1000) AS i;

ALTER TABLE members ADD COLUMN email_index bytea;
CALL fernet_index_column('members', 'email', 'email_index', 'members.email');
CREATE UNIQUE INDEX ON members (email_index);

-- docs/blind-index.md: Fill the column, or change the index key
SELECT set_config('fernet.index_key', :'new_index_key' || ',' || :'index_key', false);
CALL fernet_index_column('members', 'email', 'email_index', 'members.email');
SELECT id FROM members WHERE email_index = ANY (fernet_blind_indexes('member7@example.com', 'members.email'));
SELECT fernet_assert_indexed('members', 'email', 'email_index', 'members.email');

-- End of the examples
\c :home
DROP DATABASE fernet_regression_docs_blind_index WITH (FORCE);
