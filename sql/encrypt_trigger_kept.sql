--
-- fernet_encrypt_trigger stands in nobody's way: a row keeps the values that it
-- had; and what other triggers and checks do beside it
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
LOAD 'pg_fernet';
\set VERBOSITY terse
\set key 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
CREATE SCHEMA regress_fernet_kept;
SET search_path = regress_fernet_kept, public;
SET fernet.key = :'key';
SELECT fernet_encrypt('a token') AS token \gset

-- rows from before the trigger: a plaintext, a damaged token, one that holds a
-- token, and large ones
CREATE TABLE parts (id integer, part integer, token text, bytes bytea, note text) PARTITION BY LIST (part);
CREATE TABLE part_1 PARTITION OF parts FOR VALUES IN (1);
CREATE TABLE part_2 (note text, gone integer, bytes bytea, token text, part integer, id integer);
ALTER TABLE part_2 DROP COLUMN gone;
ALTER TABLE parts ATTACH PARTITION part_2 FOR VALUES IN (2);
CREATE TABLE part_3 PARTITION OF parts FOR VALUES IN (3) PARTITION BY LIST (id);
CREATE TABLE part_3_all PARTITION OF part_3 DEFAULT;
INSERT INTO parts VALUES
	(1, 1, 'a plaintext', '\x00ff', 'plaintexts'),
	(2, 1, left(:'token', 80), convert_to(left(:'token', 80), 'UTF8'), 'damaged'),
	(3, 1, 'token=' || :'token', NULL, 'holds a token'),
	(4, 1, (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 1000) AS i), NULL, 'large'),
	(5, 1, :'token', convert_to(:'token', 'UTF8'), 'token'),
	(6, 1, NULL, NULL, 'nothing');
CREATE TABLE before AS SELECT * FROM parts;
CREATE VIEW kept AS SELECT id, parts.part AS now_in, parts.token = before.token AS token, parts.bytes = before.bytes AS bytes
	FROM parts JOIN before USING (id);
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON parts
	FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('token', 'bytes');

-- an UPDATE that moves them to another partition brings no new value: with a key,
-- without one, and with other triggers that run statements of their own
UPDATE parts SET part = 2;
SELECT * FROM kept ORDER BY id;
RESET fernet.key;
UPDATE parts SET part = 3, note = upper(note);
CREATE TABLE log (what text);
CREATE FUNCTION busy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO log VALUES (TG_OP || ' ' || TG_TABLE_NAME);
	RETURN coalesce(NEW, OLD);
END
$$;
CREATE TRIGGER zz_busy BEFORE INSERT OR UPDATE OR DELETE ON parts FOR EACH ROW EXECUTE FUNCTION busy();
UPDATE parts SET part = 1 WHERE id IN (1, 2);
SELECT what, count(*) FROM log GROUP BY what ORDER BY what;
SELECT * FROM kept ORDER BY id;
DROP TRIGGER zz_busy ON parts;
-- by MERGE, and when there is a trigger for each column
DROP TRIGGER encrypt ON parts;
CREATE TRIGGER encrypt_bytes BEFORE INSERT OR UPDATE ON parts FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('bytes');
CREATE TRIGGER encrypt_token BEFORE INSERT OR UPDATE ON parts FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('token');
MERGE INTO parts USING before ON parts.id = before.id WHEN MATCHED THEN UPDATE SET part = 2;
SELECT count(*) AS moved, bool_and(kept.token) AND bool_and(kept.bytes) AS kept FROM kept WHERE now_in = 2;
-- a value of the statement is no old one, wherever the row goes
UPDATE parts SET part = 3, token = 'a new plaintext' WHERE id = 1;
UPDATE parts SET part = 3, token = left(:'token', 70) WHERE id = 1;
SELECT set_config('fernet.key', :'key', false) \g /dev/null
UPDATE parts SET part = 3, token = left(:'token', 70) WHERE id = 1;
UPDATE parts SET part = 3, token = 'a new plaintext' WHERE id = 1;
SELECT fernet_decrypt(parts.token) AS token, kept.bytes AS kept FROM parts JOIN kept USING (id) WHERE id = 1;
-- nor is one that another row has
INSERT INTO parts VALUES (7, 1, left(:'token', 80));
INSERT INTO parts SELECT 8, 1, token FROM before WHERE id = 4;
SELECT fernet_decrypt(token) = (SELECT token FROM before WHERE id = 4) AS is_encrypted FROM parts WHERE id = 8;
WITH updated AS (UPDATE parts SET note = 'updated' WHERE id = 4 RETURNING token)
INSERT INTO parts SELECT 9 + i, 1, token FROM updated, generate_series(0, 1) AS i;
SELECT count(*) > 0 AS is_encrypted FROM parts WHERE id IN (9, 10) AND fernet_is_token(token);
CREATE TABLE other (id integer, token text);
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON other FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('token');
WITH updated AS (UPDATE parts SET note = 'updated' WHERE id = 4 RETURNING token)
INSERT INTO other SELECT 1, token FROM updated;
SELECT fernet_is_token(token) AS is_encrypted FROM other;

-- an application that saves all columns saves the values that it has read: those
-- that cannot be encrypted stay as they are
TRUNCATE other;
ALTER TABLE other DISABLE TRIGGER encrypt;
INSERT INTO other SELECT id, token FROM before;
ALTER TABLE other ENABLE TRIGGER encrypt;
RESET fernet.key;
UPDATE other SET id = id, token = token;
SELECT count(*) AS same FROM other JOIN before USING (id, token);
SELECT set_config('fernet.key', :'key', false) \g /dev/null
UPDATE other SET id = id, token = token;
SELECT other.id, other.token = before.token AS same, fernet_is_token(other.token) AS is_token FROM other JOIN before USING (id) ORDER BY id;
-- new ones are refused
UPDATE other SET token = left(:'token', 79) WHERE id = 2;
UPDATE other SET token = 'a new plaintext token=' || :'token' WHERE id = 3;
-- in a column that is too narrow for the token, too
CREATE TABLE narrow (id integer, token varchar(100));
INSERT INTO narrow VALUES (1, 'short'), (2, repeat('long', 25));
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON narrow FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('token');
UPDATE narrow SET token = token;
SELECT id, fernet_is_token(token) AS is_token FROM narrow ORDER BY id;
UPDATE narrow SET token = repeat('more', 25);

-- A trigger whose name comes later sees the token, and what it writes is stored.
CREATE FUNCTION write_token() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.token := 'written by a trigger';
	RETURN NEW;
END
$$;
CREATE TABLE ordered (id integer, token text);
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON ordered FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('token');
CREATE TRIGGER write_token BEFORE INSERT ON ordered FOR EACH ROW EXECUTE FUNCTION write_token();
INSERT INTO ordered VALUES (1, 'a plaintext');
SELECT token FROM ordered;
-- The last one in the order of names takes care of it.
ALTER TRIGGER encrypt ON ordered RENAME TO zz_encrypt;
INSERT INTO ordered VALUES (2, 'a plaintext');
SELECT fernet_decrypt(token) AS token FROM ordered WHERE id = 2;
-- A check that needs no order refuses it. With a domain in it, the error does not
-- show the row.
ALTER TRIGGER zz_encrypt ON ordered RENAME TO encrypt;
CREATE DOMAIN fernet_token AS text CHECK (fernet_is_token(VALUE));
ALTER TABLE ordered ADD CONSTRAINT is_token CHECK (token::fernet_token = token) NOT VALID;
\set VERBOSITY default
INSERT INTO ordered VALUES (3, 'a plaintext');
\echo :SQLSTATE
DROP TRIGGER write_token ON ordered;
INSERT INTO ordered VALUES (3, 'a plaintext'), (4, NULL);
SELECT id, fernet_decrypt(token) AS token FROM ordered WHERE id >= 3 ORDER BY id;
-- As the type of the column, the domain excludes the trigger: the server checks the
-- plaintext before any trigger.
CREATE TABLE excluded (token fernet_token);
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON excluded FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('token');
INSERT INTO excluded VALUES ('a plaintext');
INSERT INTO excluded VALUES (:'token');

SET search_path TO DEFAULT;
DROP SCHEMA regress_fernet_kept CASCADE;
