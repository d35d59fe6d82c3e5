--
-- on_plaintext: what a rotation does with values that are not tokens, and how it
-- adopts a column of plaintexts; and fernet_decrypt_column, the way back
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
LOAD 'pg_fernet';
SET timezone = 'UTC';
\pset null '(null)'
\set old 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set keys 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=,a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set other 'a2V5IEMgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
CREATE SCHEMA regress_fernet_adopt;
SET search_path = regress_fernet_adopt, public;

-- plaintexts among tokens. Those that begin as every token does, and those under a
-- key that is not there, are never plaintexts
CREATE TABLE mixed (id integer, what text, value text);
SET fernet.key = :'other';
INSERT INTO mixed VALUES (1, 'under no key', fernet_encrypt('secret'));
SET fernet.key = :'old';
INSERT INTO mixed VALUES (2, 'old key', fernet_encrypt('secret', '2020-01-01 00:00:00+00')), (3, 'old key, cut', left(fernet_encrypt('secret'), -5)),
	(4, 'old key, changed', overlay(fernet_encrypt('secret') PLACING '!' FROM 50)), (5, 'spaces around', E' \n' || left(fernet_encrypt('secret'), -5)),
	(6, 'beginning alone', 'gAAAAA'), (7, 'plaintext', 'xoxb-a-plaintext'), (8, 'empty', ''), (9, 'spaces', '  '),
	(10, 'umlauts', 'Schlüssel ☃'), (11, 'almost', 'gAAAA and more'), (12, NULL, NULL);
SET fernet.key = :'keys';
INSERT INTO mixed VALUES (13, 'new key', fernet_encrypt('secret'));
CREATE TABLE before AS SELECT * FROM mixed;
CREATE VIEW state AS
SELECT id, what, m.value = b.value AS same, fernet_key_index(m.value) AS key, fernet_try_decrypt(m.value) = b.value AS encrypted,
	date_part('year', CASE WHEN fernet_verify(m.value) THEN fernet_timestamp(m.value) END) = 2020 AS of_2020
FROM mixed AS m JOIN before AS b USING (id, what) ORDER BY id;
-- leave: they are no failures. What is damaged is one
CALL fernet_rotate_column('mixed', 'value', on_plaintext => 'leave');
\echo :SQLSTATE
SELECT * FROM state;
-- fail, the default: they are
\set VERBOSITY sqlstate
CALL fernet_rotate_column('mixed', 'value');
\set VERBOSITY default
-- encrypt: they are encrypted with the first key, and the others stay
\set VERBOSITY terse
CALL fernet_rotate_column('mixed', 'value', on_plaintext => 'encrypt');
SELECT * FROM state;
CALL fernet_rotate_column('mixed', 'value', on_plaintext => 'encrypt');
\set VERBOSITY default
DROP TABLE mixed, before CASCADE;

-- a column of plaintexts, there and back: the same bytes
CREATE DOMAIN some_text AS varchar(4000) CHECK (VALUE <> 'refused');
CREATE TABLE adopted (id integer, t text, b bytea, d some_text);
INSERT INTO adopted SELECT i, repeat(chr(32 + i * 37), i * 7), substring(decode(repeat(lpad(to_hex(i), 2, '0') || '00ff0a', i), 'hex') FROM 1 + i % 3),
	repeat('gAAA ☃', i) FROM generate_series(0, 199) AS i;
INSERT INTO adopted VALUES (200, repeat('large ☃', 5000), decode(repeat('00ff', 9000), 'hex'), NULL);
CREATE TABLE before AS SELECT * FROM adopted;
CALL fernet_rotate_column('adopted', 't', batch_rows => 20, on_plaintext => 'encrypt');
CALL fernet_rotate_column('adopted', 'b', on_plaintext => 'encrypt');
CALL fernet_rotate_column('adopted', 'd', on_plaintext => 'encrypt');
SELECT count(*) FILTER (WHERE fernet_key_index(a.t) = 1 AND fernet_decrypt(a.t) = o.t) AS t,
	count(*) FILTER (WHERE fernet_key_index(a.b) = 1 AND fernet_decrypt_bytea(a.b) = o.b) AS b,
	count(*) FILTER (WHERE fernet_key_index(a.d) = 1 AND fernet_decrypt(a.d) = o.d) AS d,
	count(*) FILTER (WHERE fernet_timestamp(a.t) BETWEEN now() - interval '1 hour' AND now() + interval '1 hour') AS made_now
FROM adopted AS a JOIN before AS o USING (id);
-- the way back asks for confirmation
CALL fernet_decrypt_column('adopted', 't');
\echo :SQLSTATE
CALL fernet_decrypt_column('adopted', 't', confirm => false);
CALL fernet_decrypt_column('adopted', 't', confirm => true);
CALL fernet_decrypt_column('adopted', 'b', true, batch_rows => 20);
CALL fernet_decrypt_column('adopted', 'd', true);
SELECT count(*) FILTER (WHERE a.t = o.t) AS t, count(*) FILTER (WHERE a.b = o.b) AS b, count(*) FILTER (WHERE a.d = o.d) AS d,
	count(*) FILTER (WHERE a = o) AS rows
FROM adopted AS a JOIN before AS o USING (id);
-- a second time there is nothing to do
CALL fernet_decrypt_column('adopted', 't', confirm => true);

-- a job does not begin on a column that is too narrow for a token
CREATE TABLE narrow (id integer, value varchar(110));
INSERT INTO narrow VALUES (1, 'short'), (2, 'too long for sixteen'), (3, 'short'), (4, 'too long again, also'), (5, NULL);
SELECT md5(string_agg(ctid || value, ',' ORDER BY id)) AS before FROM narrow \gset
CALL fernet_rotate_column('narrow', 'value', on_plaintext => 'encrypt');
\echo :SQLSTATE
SELECT md5(string_agg(ctid || value, ',' ORDER BY id)) = :'before' AS same FROM narrow;
-- a dry run says which; with more room, or without those, it is
CALL fernet_rotate_column('narrow', 'value', dry_run => true, on_plaintext => 'encrypt');
DELETE FROM narrow WHERE id = 4;
ALTER TABLE narrow ALTER value TYPE varchar(120);
CALL fernet_rotate_column('narrow', 'value', on_plaintext => 'encrypt');
SELECT id, length(value), fernet_decrypt(value) FROM narrow ORDER BY id;

-- values that cannot be decrypted: bytes that are not text, tokens that no key
-- decrypts, damaged tokens; and values that the table refuses. The others are
-- decrypted, and plaintexts are left
CREATE TABLE back (id integer, value text CHECK (value <> 'refused'));
SET fernet.key = :'other';
INSERT INTO back VALUES (1, fernet_encrypt('secret'));
SET fernet.key = :'keys';
INSERT INTO back VALUES (2, fernet_encrypt('\xff00'::bytea)), (3, fernet_encrypt('\x6100'::bytea)), (4, fernet_encrypt('refused')), (5, 'gAAAAA'),
	(6, 'a plaintext'), (7, NULL), (8, fernet_encrypt('secret')), (9, fernet_encrypt(''));
CALL fernet_decrypt_column('back', 'value', confirm => true);
\echo :SQLSTATE
\set VERBOSITY sqlstate
CALL fernet_decrypt_column('back', 'value', confirm => true);
\set VERBOSITY default
SELECT id, CASE WHEN value LIKE 'gAAAAA%' THEN 'gAAAAA...' ELSE value END AS value FROM back ORDER BY id;
-- in a column of bytes, any bytes are allowed
ALTER TABLE back ADD bytes bytea;
UPDATE back SET bytes = value::bytea WHERE id IN (2, 3);
CALL fernet_decrypt_column('back', 'bytes', confirm => true);
SELECT id, bytes FROM back WHERE id IN (2, 3) ORDER BY id;
-- equal plaintexts in a unique column: the second stays a token, and its value is
-- not shown
CREATE TABLE single (id integer, value text UNIQUE);
INSERT INTO single SELECT i, fernet_encrypt('secret ' || i % 2) FROM generate_series(1, 3) AS i;
CALL fernet_decrypt_column('single', 'value', confirm => true);
SELECT id, CASE WHEN value LIKE 'gAAAAA%' THEN 'gAAAAA...' ELSE value END AS value FROM single ORDER BY id;

SET search_path TO DEFAULT;
DROP SCHEMA regress_fernet_adopt CASCADE;
