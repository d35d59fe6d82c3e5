--
-- Blind indexes that the database keeps
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
LOAD 'pg_fernet';
\set VERBOSITY terse
\pset null '(null)'
\set key 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set other 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set index_key 'a2V5IEMgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
CREATE SCHEMA regress_fernet_blind_index_trigger;
SET search_path = regress_fernet_blind_index_trigger, public;

-- two tables: in one, the index is made of the plaintext before it is encrypted, in the other of the token
CREATE TABLE early (id integer PRIMARY KEY, email text, email_index bytea UNIQUE, note text);
CREATE TABLE late (LIKE early INCLUDING ALL);
CREATE TRIGGER a_index BEFORE INSERT OR UPDATE ON early
	FOR EACH ROW EXECUTE FUNCTION fernet_blind_index_trigger('email', 'email_index', 'user.email');
CREATE TRIGGER z_index BEFORE INSERT OR UPDATE ON late
	FOR EACH ROW EXECUTE FUNCTION fernet_blind_index_trigger('email', 'email_index', 'user.email');
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON early FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('email');
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON late FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('email');
-- what is wrong: nothing
CREATE VIEW held WITH (security_invoker = true) AS
	SELECT t.*, fernet_decrypt(email) AS plaintext, email_index IS NOT DISTINCT FROM fernet_blind_index(fernet_decrypt(email), 'user.email') AS right
	FROM (SELECT 'early' AS name, * FROM early UNION ALL SELECT 'late', * FROM late) AS t;
CREATE FUNCTION wrong() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM held WHERE NOT "right"';
-- runs a statement on both tables
CREATE PROCEDURE on_both(statement text) LANGUAGE plpgsql AS $$
DECLARE
	name text;
BEGIN
	FOREACH name IN ARRAY ARRAY['early', 'late'] LOOP
		BEGIN
			EXECUTE format(statement, name);
		EXCEPTION WHEN OTHERS THEN
			RAISE WARNING '%: % %', name, SQLSTATE, SQLERRM;
		END;
	END LOOP;
END
$$;

--
-- Written with both keys
--
SET fernet.key = :'key';
SET fernet.index_key = :'index_key';
CALL on_both($$INSERT INTO %I VALUES (1, 'alice'), (2, 'bob'), (3, ''), (4, NULL), (5, 'Grüße'), (6, repeat('long ', 100000))$$);
SELECT name, id, left(plaintext, 10) AS plaintext, length(email_index), "right" FROM held ORDER BY name, id;
SELECT id, left(fernet_decrypt(email), 10) FROM early WHERE email_index = fernet_blind_index('bob', 'user.email');
-- a unique index refuses the same plaintext, and an upsert finds it
CALL on_both($$INSERT INTO %I VALUES (7, 'bob')$$);
CALL on_both($$INSERT INTO %I VALUES (7, 'bob', NULL, 'upserted') ON CONFLICT (email_index) DO UPDATE SET note = excluded.note$$);
CALL on_both($$INSERT INTO %I VALUES (2, 'bob', NULL, 'again') ON CONFLICT (id) DO UPDATE SET email = excluded.email, note = excluded.note$$);
CALL on_both($$INSERT INTO %I VALUES (2, 'bobby', NULL, 'new') ON CONFLICT (id) DO UPDATE SET email = excluded.email, note = excluded.note$$);
SELECT name, id, plaintext, note FROM held WHERE id IN (2, 7) ORDER BY name, id;
-- UPDATE, to NULL and back, MERGE, COPY
CALL on_both($$UPDATE %I SET email = 'alice2' WHERE id = 1$$);
CALL on_both($$UPDATE %I SET email = NULL WHERE id = 3$$);
CALL on_both($$UPDATE %I SET email = 'new' WHERE id = 4$$);
CALL on_both($$MERGE INTO %I AS t USING (VALUES (5, 'merged'), (8, 'inserted')) AS s (id, email) ON t.id = s.id
	WHEN MATCHED THEN UPDATE SET email = s.email WHEN NOT MATCHED THEN INSERT (id, email) VALUES (s.id, s.email)$$);
COPY early (id, email) FROM stdin;
10	copied
11	\N
\.
COPY late (id, email) FROM stdin;
10	copied
11	\N
\.
-- tokens that the application has made
CALL on_both($$INSERT INTO %I VALUES (12, fernet_encrypt('made elsewhere'))$$);
-- an index that the statement gives is not trusted
CALL on_both($$INSERT INTO %I VALUES (13, 'given', '\xbad0'), (14, NULL, '\xbad1')$$);
CALL on_both($$UPDATE %I SET email = 'given again', email_index = '\xbad0' WHERE id = 13$$);
SELECT wrong(), count(*) FROM held;

--
-- Without an index key: what keeps its plaintext is written, and keeps its index
--
CREATE TEMP TABLE before AS SELECT name, id, email_index FROM held;
CREATE FUNCTION changed() RETURNS bigint LANGUAGE sql AS
	'SELECT count(*) FROM held FULL JOIN before USING (name, id) WHERE held.email_index IS DISTINCT FROM before.email_index';
RESET fernet.index_key;
CALL on_both($$UPDATE %I SET note = 'noted'$$);
CALL on_both($$UPDATE %I SET email = 'alice2' WHERE id = 1$$);
CALL on_both($$UPDATE %I SET email = email$$);
CALL on_both($$UPDATE %I SET email = fernet_encrypt(fernet_decrypt(email)) WHERE id <> 6$$);
-- not even a key is needed where the value stays as it is
RESET fernet.key;
CALL on_both($$UPDATE %I SET note = 'noted again'$$);
SELECT changed();
-- a rotation, in any way
SELECT set_config('fernet.key', :'other' || ',' || :'key', false);
CALL on_both($$SELECT fernet_rotate_batch('%I', 'email', 0, 2)$$);
CALL fernet_rotate_column('early', 'email');
CALL fernet_rotate_column('late', 'email');
SET fernet.key = :'other';
SELECT fernet_assert_rotated('early', 'email'), fernet_assert_rotated('late', 'email');
SELECT changed();
-- what is new is refused; NULL is not
CALL on_both($$INSERT INTO %I VALUES (20, 'new')$$);
CALL on_both($$UPDATE %I SET email = 'new' WHERE id = 1$$);
CALL on_both($$INSERT INTO %I VALUES (21, NULL)$$);
CALL on_both($$UPDATE %I SET email = NULL WHERE id = 12$$);
SELECT name, id, email_index FROM held WHERE id IN (12, 20, 21) ORDER BY name, id;
-- a new token needs fernet.key to be read; an old one that no key decrypts counts as another plaintext
SET fernet.index_key = :'index_key';
SELECT fernet_encrypt('under the other') AS token \gset
SET fernet.key = :'key';
INSERT INTO late VALUES (22, :'token');
UPDATE late SET email = 'replaced' WHERE id = 2;
SELECT fernet_decrypt(email), email_index = fernet_blind_index('replaced', 'user.email') AS right FROM late WHERE id = 2;
RESET fernet.key;
INSERT INTO late VALUES (22, :'token');
-- what is left of a token is refused
INSERT INTO late VALUES (22, left(:'token', 80));
ALTER TABLE late DISABLE TRIGGER encrypt;
INSERT INTO late VALUES (22, left(:'token', 80));
ALTER TABLE late ENABLE TRIGGER encrypt;
-- a token in a token is opened, layer by layer: a rotation changes both
SELECT set_config('fernet.key', :'other' || ',' || :'key', false);
INSERT INTO late VALUES (23, fernet_encrypt(fernet_encrypt('inner')));
SELECT email_index = fernet_blind_index('inner', 'user.email') AS right FROM late WHERE id = 23;
RESET fernet.index_key;
SELECT set_config('fernet.key', :'index_key' || ',' || :'other' || ',' || :'key', false);
CALL fernet_rotate_column('late', 'email');
UPDATE late SET email = fernet_rotate(email) WHERE id = 23;
SET fernet.index_key = :'index_key';
SELECT email_index = fernet_blind_index('inner', 'user.email') AS right FROM late WHERE id = 23;

--
-- Plaintexts, and columns of all types
--
SET fernet.key = :'key';
CREATE DOMAIN short_index AS bytea CHECK (length(VALUE) = 4);
CREATE TABLE plain (id integer PRIMARY KEY, v varchar(200), c char(150), b bytea, v_index bytea, c_index short_index, b_index bytea);
CREATE TRIGGER v BEFORE INSERT OR UPDATE ON plain FOR EACH ROW EXECUTE FUNCTION fernet_blind_index_trigger('v', 'v_index', 'v', '256');
CREATE TRIGGER c BEFORE INSERT OR UPDATE ON plain FOR EACH ROW EXECUTE FUNCTION fernet_blind_index_trigger('c', 'c_index', 'c', '32');
CREATE TRIGGER b BEFORE INSERT OR UPDATE ON plain FOR EACH ROW EXECUTE FUNCTION fernet_blind_index_trigger('b', 'b_index', 'b', '16');
INSERT INTO plain VALUES (1, 'v', 'c', 'b'), (2, fernet_encrypt('v'), fernet_encrypt('c'), fernet_encrypt('b')::bytea);
SELECT id, v_index = fernet_blind_index('v', 'v') AS v, c_index = fernet_blind_index('c', 'c', 32) AS c,
	b_index = fernet_blind_index('b', 'b', 16) AS b FROM plain ORDER BY id;
RESET fernet.index_key;
-- encrypted, decrypted, in place: the plaintext stays the same
CALL fernet_rotate_column('plain', 'v', on_plaintext => 'encrypt');
CALL fernet_rotate_column('plain', 'c', on_plaintext => 'encrypt');
CALL fernet_decrypt_column('plain', 'b', confirm => true);
UPDATE plain SET v = fernet_decrypt(v), c = fernet_decrypt(c::text), b = convert_to(fernet_encrypt(b), 'UTF8');
UPDATE plain SET v = 'w' WHERE id = 1;
SET fernet.index_key = :'index_key';
SELECT id, v_index = fernet_blind_index('v', 'v') AS v, c_index = fernet_blind_index('c', 'c', 32) AS c,
	b_index = fernet_blind_index('b', 'b', 16) AS b FROM plain ORDER BY id;
-- a domain of the index is checked
CREATE TRIGGER d BEFORE INSERT OR UPDATE ON plain FOR EACH ROW EXECUTE FUNCTION fernet_blind_index_trigger('c', 'c_index', 'c', '64');
INSERT INTO plain (id, c) VALUES (3, 'c');
DROP TRIGGER d ON plain;
-- the column of the index must be one; so must the source
CREATE TRIGGER d BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION fernet_blind_index_trigger('v', 'c', 'c');
INSERT INTO plain VALUES (3, 'v');
DROP TRIGGER d ON plain;
CREATE TRIGGER d BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION fernet_blind_index_trigger('v', 'gone', 'c');
INSERT INTO plain VALUES (3, 'v');
DROP TRIGGER d ON plain;
CREATE TRIGGER d BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION fernet_blind_index_trigger('id', 'v_index', 'c');
INSERT INTO plain VALUES (3, 'v');
DROP TRIGGER d ON plain;
CREATE TRIGGER d BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION fernet_blind_index_trigger('v', 'v_index', 'c', '20');
INSERT INTO plain VALUES (3, 'v');
DROP TRIGGER d ON plain;
CREATE TRIGGER d BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION fernet_blind_index_trigger('v', 'v_index', 'c', 'many');
INSERT INTO plain VALUES (3, 'v');
DROP TRIGGER d ON plain;
CREATE TRIGGER d BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION fernet_blind_index_trigger('v', 'v_index');
INSERT INTO plain VALUES (3, 'v');
DROP TRIGGER d ON plain;
CREATE TRIGGER d AFTER INSERT ON plain FOR EACH ROW EXECUTE FUNCTION fernet_blind_index_trigger('v', 'v_index', 'c');
INSERT INTO plain VALUES (3, 'v');
DROP TRIGGER d ON plain;
CREATE TRIGGER d BEFORE DELETE ON plain FOR EACH ROW EXECUTE FUNCTION fernet_blind_index_trigger('v', 'v_index', 'c');
DELETE FROM plain;
DROP TRIGGER d ON plain;
SELECT fernet_blind_index_trigger();

--
-- Partitions: a row that is moved keeps its index
--
CREATE TABLE parted (id integer, email text, filler text, email_index bytea) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (1) TO (100);
CREATE TABLE parted_2 (email_index bytea, gone integer, email text, id integer, filler text);
ALTER TABLE parted_2 DROP COLUMN gone;
ALTER TABLE parted ATTACH PARTITION parted_2 FOR VALUES FROM (100) TO (200);
CREATE TRIGGER a_index BEFORE INSERT OR UPDATE ON parted
	FOR EACH ROW EXECUTE FUNCTION fernet_blind_index_trigger('email', 'email_index', 'user.email');
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON parted FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('email');
INSERT INTO parted SELECT i, 'user' || i FROM generate_series(1, 110) AS i;
CREATE FUNCTION parted_wrong() RETURNS bigint LANGUAGE sql AS
	$$SELECT count(*) FROM parted WHERE email_index IS DISTINCT FROM fernet_blind_index(fernet_decrypt(email), 'user.email')$$;
SELECT parted_wrong();
RESET fernet.index_key;
-- moved as it is, and with the same plaintext written again
UPDATE parted SET id = id + 150 WHERE id <= 20;
UPDATE parted SET id = id + 100, email = fernet_decrypt(email) WHERE id BETWEEN 21 AND 40;
UPDATE parted SET id = id - 100, email = fernet_decrypt(email), filler = repeat('x', 1000) WHERE id BETWEEN 121 AND 140;
SELECT tableoid::regclass, count(*) FROM parted GROUP BY 1 ORDER BY 1;
SELECT set_config('fernet.key', :'other' || ',' || :'key', false);
CALL fernet_rotate_column('parted', 'email');
-- with a new plaintext it is new
UPDATE parted SET id = id + 100, email = 'other' WHERE id = 50;
SET fernet.index_key = :'index_key';
UPDATE parted SET id = id + 100, email = 'other' WHERE id = 50;
SELECT parted_wrong(), count(*) FROM parted;

--
-- A superuser's rotation gives the triggers of somebody else's table no key. The job tells ours what it does
--
CREATE ROLE regress_fernet_blind_index;
GRANT USAGE ON SCHEMA regress_fernet_blind_index_trigger TO regress_fernet_blind_index;
ALTER TABLE early OWNER TO regress_fernet_blind_index;
ALTER TABLE parted OWNER TO regress_fernet_blind_index;
ALTER TABLE parted_1 OWNER TO regress_fernet_blind_index;
ALTER TABLE parted_2 OWNER TO regress_fernet_blind_index;
SELECT set_config('fernet.key', :'key' || ',' || :'other', false);
CALL fernet_rotate_column('early', 'email');
CALL fernet_rotate_column('parted', 'email');
SET fernet.key = :'key';
SELECT (SELECT count(*) FROM held WHERE name = 'early' AND NOT "right") AS wrong, parted_wrong();
-- but only of what the job writes: an earlier trigger of theirs learns nothing about a guess
CREATE FUNCTION guess() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.email := 'alice2';
	RETURN NEW;
END
$$;
CREATE TRIGGER a_guess BEFORE UPDATE ON early FOR EACH ROW EXECUTE FUNCTION guess();
SELECT set_config('fernet.key', :'other' || ',' || :'key', false);
SET client_min_messages = error;
CALL fernet_rotate_column('early', 'email');
SET client_min_messages = warning;
DROP TRIGGER a_guess ON early;
CALL fernet_rotate_column('early', 'email');
SET fernet.key = :'other';
SELECT count(*) AS wrong FROM held WHERE name = 'early' AND NOT "right";

-- a trigger writes what a job writes to one row to another row as well: that one gets another index
CREATE TABLE copied (id integer, email text, email_index bytea);
CREATE TRIGGER z_index BEFORE INSERT OR UPDATE ON copied
	FOR EACH ROW EXECUTE FUNCTION fernet_blind_index_trigger('email', 'email_index', 'user.email');
SET fernet.index_key = :'index_key';
INSERT INTO copied VALUES (1, fernet_encrypt('one')), (2, fernet_encrypt('two'));
CREATE FUNCTION copy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE copied SET email = NEW.email WHERE id = 2;
	RETURN NEW;
END
$$;
CREATE TRIGGER a_copy BEFORE UPDATE ON copied FOR EACH ROW WHEN (NEW.id = 1) EXECUTE FUNCTION copy();
SELECT set_config('fernet.key', :'key' || ',' || :'other', false);
CALL fernet_rotate_column('copied', 'email');
SELECT id, fernet_decrypt(email) AS plaintext, email_index = fernet_blind_index(fernet_decrypt(email), 'user.email') AS right FROM copied ORDER BY id;

-- fernet_doctor() has nothing against it after the one that encrypts
SELECT detail !~ 'z_index' AS silent FROM fernet_doctor() WHERE item = 'trigger order';
DROP SCHEMA regress_fernet_blind_index_trigger CASCADE;
DROP ROLE regress_fernet_blind_index;
