--
-- Columns that encrypt the values written to them
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
LOAD 'pg_fernet';
\set VERBOSITY terse
\set key 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set other 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
CREATE SCHEMA regress_fernet_encrypt_trigger;
SET search_path = regress_fernet_encrypt_trigger, public;
SET fernet.key = :'key';

CREATE TABLE connections (
	id integer PRIMARY KEY,
	bot_token text CHECK (fernet_is_token(bot_token)),
	access_token bytea CHECK (fernet_is_token(access_token)),
	note text
);
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON connections
	FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('bot_token', 'access_token');
-- what the columns hold
CREATE VIEW held WITH (security_invoker = true) AS
	SELECT id, fernet_decrypt(bot_token) AS bot_token, fernet_decrypt_bytea(access_token) AS access_token, note
	FROM connections;

-- plaintexts are encrypted, NULL stays NULL, other columns are left alone
INSERT INTO connections VALUES (1, 'xoxb-1', 'ATATT-1', 'one'), (2, NULL, NULL, 'two'), (3, '', '\x00ff', 'three');
SELECT * FROM held ORDER BY id;
SELECT id, fernet_is_token(bot_token) AS bot_token, fernet_is_token(access_token) AS access_token
FROM connections ORDER BY id;

-- COPY
COPY connections FROM stdin;
4	xoxb-4	ATATT-4	four
5	\N	\N	five
\.
SELECT * FROM held WHERE id >= 4 ORDER BY id;

-- a token passes untouched, whatever its key, and without one
SELECT fernet_encrypt('made elsewhere') AS token \gset
SET fernet.key = :'other';
SELECT fernet_encrypt('of another key') AS foreign_token \gset
RESET fernet.key;
INSERT INTO connections VALUES (6, :'token', convert_to(:'foreign_token', 'UTF8'), 'six');
SELECT bot_token = :'token' AS same, access_token = convert_to(:'foreign_token', 'UTF8') AS same_bytes
FROM connections WHERE id = 6;
-- NULL too; a plaintext does not
INSERT INTO connections VALUES (7, NULL, NULL, 'seven');
INSERT INTO connections VALUES (8, 'xoxb-8', NULL, 'eight');
UPDATE connections SET bot_token = 'xoxb-8' WHERE id = 7;
SELECT count(*) FROM connections WHERE id = 8 OR id = 7 AND bot_token IS NOT NULL;
SET fernet.key = :'key';
DELETE FROM connections WHERE id = 6;

-- an UPDATE of other columns does not touch the tokens
CREATE TEMP TABLE before AS SELECT * FROM connections;
UPDATE connections SET note = upper(note);
SELECT count(*) AS changed FROM connections JOIN before USING (id)
WHERE connections.bot_token <> before.bot_token OR connections.access_token <> before.access_token;
-- of one of them it encrypts that one
UPDATE connections SET bot_token = 'xoxb-1 again' WHERE id = 1;
SELECT c.access_token = b.access_token AS other_is_same, fernet_decrypt(c.bot_token) AS bot_token
FROM connections AS c JOIN before AS b USING (id) WHERE id = 1;

-- upsert, with the new row as EXCLUDED has it, encrypted once
INSERT INTO connections VALUES (1, 'xoxb-1 upserted', NULL, 'one'), (9, 'xoxb-9', NULL, 'nine')
ON CONFLICT (id) DO UPDATE SET bot_token = EXCLUDED.bot_token, note = EXCLUDED.note;
SELECT id, bot_token, note FROM held WHERE id IN (1, 9) ORDER BY id;
-- MERGE, UPDATE ... FROM and RETURNING
MERGE INTO connections AS c USING (VALUES (9, 'xoxb-9 merged'), (10, 'xoxb-10')) AS s (id, bot_token) ON c.id = s.id
WHEN MATCHED THEN UPDATE SET bot_token = s.bot_token
WHEN NOT MATCHED THEN INSERT (id, bot_token) VALUES (s.id, s.bot_token);
SELECT id, bot_token FROM held WHERE id IN (9, 10) ORDER BY id;
UPDATE connections AS c SET bot_token = s.bot_token FROM (VALUES (10, 'xoxb-10 again')) AS s (id, bot_token)
WHERE c.id = s.id RETURNING fernet_is_token(c.bot_token) AS is_token, fernet_decrypt(c.bot_token) AS bot_token;

-- values of any size
INSERT INTO connections (id, bot_token) VALUES (11, repeat('large ', 100000));
SELECT length(bot_token) FROM held WHERE id = 11;
UPDATE connections SET note = 'kept' WHERE id = 11;
SELECT length(bot_token) FROM held WHERE id = 11;

-- a value that looks like a damaged token is refused, not encrypted again
INSERT INTO connections (id, bot_token) VALUES (12, left(:'token', 80));
INSERT INTO connections (id, bot_token) VALUES (12, '"' || :'token' || '"');
SELECT count(*) FROM connections WHERE id = 12;

-- rotation goes through it: tokens stay tokens
SET fernet.key = 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=,a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=';
CALL fernet_rotate_column('connections', 'bot_token');
SET fernet.key = :'other';
SELECT id, left(bot_token, 20) AS bot_token FROM held WHERE bot_token IS NOT NULL AND id IN (1, 9, 11) ORDER BY id;
-- decryption of the column would be undone by it
CALL fernet_decrypt_column('connections', 'bot_token', confirm => true);
ALTER TABLE connections DROP CONSTRAINT connections_bot_token_check;
ALTER TABLE connections DISABLE TRIGGER encrypt;
CALL fernet_decrypt_column('connections', 'bot_token', confirm => true);
SELECT id, left(bot_token, 20) AS bot_token FROM connections WHERE id IN (1, 9, 11) ORDER BY id;

-- a table with plaintexts: those that nobody writes to are left, also where
-- there is no key; those that are written are encrypted
ALTER TABLE connections ENABLE TRIGGER encrypt;
RESET fernet.key;
UPDATE connections SET note = 'no key needed' WHERE id = 1;
SELECT bot_token FROM connections WHERE id = 1;
SET fernet.key = :'key';
UPDATE connections SET bot_token = bot_token WHERE id = 1;
SELECT fernet_is_token(bot_token) AS is_token, fernet_decrypt(bot_token) AS bot_token FROM connections WHERE id = 1;
-- the rest is adopted online
CALL fernet_rotate_column('connections', 'bot_token', on_plaintext => 'encrypt');
SELECT status, tokens FROM fernet_census('connections', 'bot_token') WHERE tokens > 0;

-- what an earlier trigger writes counts as written
CREATE FUNCTION add_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.bot_token := 'from a trigger';
	RETURN NEW;
END
$$;
CREATE TRIGGER before_encrypt BEFORE UPDATE ON connections FOR EACH ROW EXECUTE FUNCTION add_note();
UPDATE connections SET note = 'x' WHERE id = 1;
SELECT fernet_decrypt(bot_token) AS bot_token FROM connections WHERE id = 1;
DROP TABLE connections CASCADE;

-- in each row of a rotation, too
CREATE TABLE noted (token text, note text);
INSERT INTO noted SELECT fernet_encrypt('xoxb-' || n) FROM generate_series(1, 100) AS n;
CREATE FUNCTION note_rotation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.note := 'a note on it';
	RETURN NEW;
END
$$;
CREATE TRIGGER before_encrypt BEFORE UPDATE ON noted FOR EACH ROW EXECUTE FUNCTION note_rotation();
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON noted
	FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('token', 'note');
SET fernet.key = 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=,a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=';
CALL fernet_rotate_column('noted', 'token');
SELECT count(*) FROM noted WHERE fernet_is_token(note);
SET fernet.key = :'key';
DROP TABLE noted;

-- varchar, and domains: what is stored must fit, and be allowed
CREATE DOMAIN token AS text CHECK (length(VALUE) < 150);
CREATE TABLE narrow (v varchar(140), d token);
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON narrow
	FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('v', 'd');
INSERT INTO narrow VALUES (repeat('x', 47), repeat('x', 47));
INSERT INTO narrow (v) VALUES (repeat('x', 48));
INSERT INTO narrow (d) VALUES (repeat('x', 64));
SELECT fernet_decrypt(v) = repeat('x', 47) AS v, fernet_decrypt(d) = repeat('x', 47) AS d FROM narrow;

-- generated columns see the token; one cannot be encrypted itself
CREATE TABLE generated (token text, is_token boolean GENERATED ALWAYS AS (fernet_is_token(token)) STORED,
	copy text GENERATED ALWAYS AS (token) STORED);
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON generated
	FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('token');
INSERT INTO generated (token) VALUES ('plain');
SELECT is_token, copy = token AS is_copy FROM generated;
CREATE TRIGGER encrypt_copy BEFORE INSERT ON generated
	FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('copy');
INSERT INTO generated (token) VALUES ('plain');

-- partitions, whose columns are in another order, and rows that move
CREATE TABLE parts (id integer, token text) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE part_2 (token text, gone text, id integer);
ALTER TABLE part_2 DROP COLUMN gone;
ALTER TABLE parts ATTACH PARTITION part_2 FOR VALUES FROM (10) TO (20);
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON parts
	FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('token');
INSERT INTO parts VALUES (1, 'one'), (11, 'eleven');
UPDATE parts SET id = 12, token = 'moved' WHERE id = 1;
SELECT id, fernet_decrypt(token) AS token FROM parts ORDER BY id;
CALL fernet_decrypt_column('parts', 'token', confirm => true);

-- a renamed column is missed, not skipped
ALTER TABLE parts RENAME COLUMN token TO secret;
INSERT INTO parts VALUES (1, 'one');
ALTER TABLE parts RENAME COLUMN secret TO token;

-- a role of its own needs no more than the table
CREATE ROLE regress_fernet_writer;
GRANT USAGE ON SCHEMA regress_fernet_encrypt_trigger TO regress_fernet_writer;
GRANT INSERT ON parts TO regress_fernet_writer;
SET ROLE regress_fernet_writer;
INSERT INTO parts VALUES (2, 'by a writer');
RESET ROLE;
SELECT fernet_decrypt(token) AS token FROM parts WHERE id = 2;

-- what ADD COLUMN ... DEFAULT gave to rows is not written by an update of another
-- column, whatever form the server gives to it; nor needs that a key
CREATE TABLE defaults (id integer, note text);
INSERT INTO defaults SELECT i, 'a' FROM generate_series(1, 3) AS i;
ALTER TABLE defaults ADD COLUMN secret text DEFAULT 'plain default', ADD COLUMN damaged text DEFAULT 'gAAAAABdamaged';
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON defaults FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('secret', 'damaged');
RESET fernet.key;
UPDATE defaults SET note = 'b' WHERE id = 1;
SELECT set_config('fernet.key', 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=', false) \g /dev/null
UPDATE defaults SET note = 'c' WHERE id = 2;
UPDATE defaults SET secret = secret || '!' WHERE id = 3;
SELECT id, note, left(secret, 5) AS secret, fernet_is_token(secret) AS encrypted, damaged FROM defaults ORDER BY id;
DROP TABLE defaults;

-- what it cannot be used for
SELECT fernet_encrypt_trigger();
CREATE TABLE refused (token text, n integer);
CREATE FUNCTION try_trigger(definition text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE 'CREATE TRIGGER encrypt ' || definition;
	BEGIN
		INSERT INTO refused VALUES ('plain', 1);
		DELETE FROM refused;
	EXCEPTION WHEN OTHERS THEN
		RAISE WARNING '%: %', SQLSTATE, SQLERRM;
	END;
	DROP TRIGGER encrypt ON refused;
END
$$;
SELECT try_trigger('AFTER INSERT ON refused FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger(''token'')');
SELECT try_trigger('BEFORE INSERT ON refused FOR EACH STATEMENT EXECUTE FUNCTION fernet_encrypt_trigger(''token'')');
SELECT try_trigger('BEFORE DELETE ON refused FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger(''token'')');
SELECT try_trigger('BEFORE INSERT ON refused FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger()');
SELECT try_trigger('BEFORE INSERT ON refused FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger(''nothing'')');
SELECT try_trigger('BEFORE INSERT ON refused FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger(''n'')');
SELECT try_trigger('BEFORE INSERT ON refused FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger(''token'', ''token'')');

DROP SCHEMA regress_fernet_encrypt_trigger CASCADE;
DROP ROLE regress_fernet_writer;
