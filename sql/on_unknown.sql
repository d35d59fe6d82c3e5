--
-- on_unknown: what a rotation and its gate do with a token that no key of the
-- session decrypts
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
RESET client_min_messages;
LOAD 'pg_fernet';
\set VERBOSITY terse
\set old 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8='
\set new 'Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA='
\set other 'MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE='

SET fernet.key = :'other';
SELECT fernet_encrypt('secret'::text) AS stranger \gset
SET fernet.key = :'old';
SELECT fernet_encrypt('secret'::text) AS token \gset
CREATE TABLE sample (id int PRIMARY KEY, name text, value text);
INSERT INTO sample VALUES
	(1, 'ours', :'token'),
	(2, 'of somebody else', :'stranger'),
	(3, 'a text that quotes one', 'see ' || :'stranger'),
	(4, 'base64 of one', encode(:'stranger'::bytea, 'base64')),
	(5, 'inside of ours', fernet_encrypt(:'stranger')),
	(6, 'quoted inside of ours', fernet_encrypt('see ' || :'stranger')),
	(7, 'beside one of ours, inside', fernet_encrypt(:'stranger' || ' ' || :'token')),
	(8, 'a text that quotes ours too', :'stranger' || ' ' || :'token'),
	(9, 'a text with one and a damaged one', :'stranger' || ' ' || left(:'token', 60)),
	(10, 'plaintext', 'secret');
SELECT set_config('fernet.key', :'new' || ',' || :'old', false) \g /dev/null
CREATE TABLE t (id int PRIMARY KEY, value text);
CREATE FUNCTION fill() RETURNS void LANGUAGE SQL
	BEGIN ATOMIC DELETE FROM t; INSERT INTO t SELECT id, value FROM sample; END;
CREATE VIEW now AS
	SELECT id, name, t.value <> s.value AS changed, status, cause
	FROM sample AS s JOIN t USING (id), fernet_inspect(t.value)
	ORDER BY id;

-- The words
CALL fernet_rotate_column('t', 'value', on_unknown => 'ignore');
CALL fernet_rotate_column('t', 'value', on_unknown => NULL);
SELECT fernet_assert_rotated('t', 'value', on_unknown => 'ignore');

-- fail: such a value is failed, and stays as it is.
SET client_min_messages = warning;
SELECT fill() \g /dev/null
\set VERBOSITY default
CALL fernet_rotate_column('t', 'value');
\set VERBOSITY terse
SELECT * FROM now;
SELECT fernet_assert_rotated('t', 'value');
SELECT * FROM fernet_rotate_batch('t', 'value');

-- leave: it stays and fails nothing; what else is in the value is rotated.
SET client_min_messages = error;
SELECT fill() \g /dev/null
CALL fernet_rotate_column('t', 'value', on_unknown => 'leave');
SELECT * FROM now WHERE id < 8;
SELECT fernet_assert_rotated('t', 'value', on_unknown => 'leave');
DELETE FROM t WHERE id > 7;
CALL fernet_rotate_column('t', 'value', on_unknown => 'leave');
RESET client_min_messages;
SELECT fernet_assert_rotated('t', 'value', on_unknown => 'leave');
SELECT fernet_assert_rotated('t', 'value', on_unknown => 'plaintext');
SELECT fernet_assert_rotated('t', 'value');

-- plaintext: inside of a value it is a part of the text, for which on_plaintext
-- decides. A value that is a token is none.
SET client_min_messages = error;
SELECT fill() \g /dev/null
CALL fernet_rotate_column('t', 'value', on_unknown => 'plaintext');
SELECT * FROM now;
SELECT fill() \g /dev/null
CALL fernet_rotate_column('t', 'value', on_unknown => 'plaintext', on_plaintext => 'leave');
SELECT * FROM now;
DELETE FROM t WHERE id IN (2, 8, 9);
RESET client_min_messages;
SELECT fernet_assert_rotated('t', 'value', on_unknown => 'plaintext');
SELECT fernet_assert_rotated('t', 'value', on_unknown => 'plaintext', on_plaintext => 'leave');
SET client_min_messages = error;
SELECT fill() \g /dev/null
CALL fernet_rotate_column('t', 'value', dry_run => true, on_unknown => 'plaintext', on_plaintext => 'encrypt');
CALL fernet_rotate_column('t', 'value', on_unknown => 'plaintext', on_plaintext => 'encrypt');
SELECT * FROM now;
DELETE FROM t WHERE id IN (2, 8, 9);
RESET client_min_messages;
SELECT fernet_assert_rotated('t', 'value', on_unknown => 'plaintext');
SELECT fernet_assert_rotated('t', 'value');
SELECT id, fernet_decrypt(t.value) = sample.value AS same FROM t JOIN sample USING (id) WHERE id IN (3, 4, 10) ORDER BY id;

-- Nothing but tokens of somebody else
TRUNCATE t;
INSERT INTO t SELECT id, value FROM sample WHERE id = 2;
SELECT fernet_assert_rotated('t', 'value', on_unknown => 'leave');
SELECT fernet_assert_rotated('t', 'value', on_unknown => 'leave', allow_empty => true);
-- What is inside counts for nothing, the token around it does.
TRUNCATE t;
INSERT INTO t VALUES (1, fernet_encrypt(:'stranger'));
SELECT fernet_assert_rotated('t', 'value', on_unknown => 'leave');

DROP VIEW now;
DROP FUNCTION fill();
DROP TABLE t, sample;
