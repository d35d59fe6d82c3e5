--
-- The table's triggers: which fire, what they see and what they may do
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
LOAD 'pg_fernet';
\set old 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set keys 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=,a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
CREATE SCHEMA regress_fernet_triggers;
SET search_path = regress_fernet_triggers, public;

-- triggers of every kind that write down what they see
CREATE TABLE fired (n serial, name name, timing text, level text, id integer, was integer, is_now integer);
-- A batch that takes long ends early, and then there is more than one statement. So
-- this shows the order for each row, and statement triggers once: the first one
-- before all rows, the last one after them.
CREATE VIEW statements AS
SELECT name, timing,
	CASE timing
		WHEN 'BEFORE' THEN min(n) < (SELECT min(n) FROM fired WHERE level = 'ROW')
		ELSE max(n) > (SELECT max(n) FROM fired WHERE level = 'ROW')
	END AS at_its_end
FROM fired WHERE id IS NULL GROUP BY name, timing;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_LEVEL = 'ROW' THEN
		INSERT INTO fired (name, timing, level, id, was, is_now)
		VALUES (TG_NAME, TG_WHEN, TG_LEVEL, NEW.id, fernet_key_index(OLD.token), fernet_key_index(NEW.token));
	ELSE
		INSERT INTO fired (name, timing, level) VALUES (TG_NAME, TG_WHEN, TG_LEVEL);
	END IF;
	RETURN NEW;
END
$$;
CREATE TABLE secrets (id integer, token text, changes integer DEFAULT 0);
CREATE PROCEDURE fill() LANGUAGE sql AS $$
	TRUNCATE fired, secrets RESTART IDENTITY;
	INSERT INTO secrets SELECT i, fernet_encrypt('secret ' || i) FROM generate_series(1, 3) AS i
$$;
SET fernet.key = :'old';
CALL fill();
CREATE TRIGGER after_row AFTER UPDATE OF token ON secrets FOR EACH ROW WHEN (OLD.token <> NEW.token) EXECUTE FUNCTION note();
CREATE TRIGGER after_statement AFTER UPDATE ON secrets EXECUTE FUNCTION note();
CREATE TRIGGER before_row BEFORE UPDATE ON secrets FOR EACH ROW WHEN (OLD.id < 3) EXECUTE FUNCTION note();
CREATE TRIGGER before_statement BEFORE INSERT OR UPDATE OR DELETE ON secrets EXECUTE FUNCTION note();
CREATE CONSTRAINT TRIGGER deferred AFTER UPDATE ON secrets DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note();
-- these do not fire: disabled, for replicas, of another column, of other commands
CREATE TRIGGER no_disabled AFTER UPDATE ON secrets FOR EACH ROW EXECUTE FUNCTION note();
ALTER TABLE secrets DISABLE TRIGGER no_disabled;
CREATE TRIGGER no_replica AFTER UPDATE ON secrets FOR EACH ROW EXECUTE FUNCTION note();
ALTER TABLE secrets ENABLE REPLICA TRIGGER no_replica;
CREATE TRIGGER no_other AFTER UPDATE OF id, changes ON secrets FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER no_delete AFTER INSERT OR DELETE ON secrets FOR EACH ROW EXECUTE FUNCTION note();
-- it says once which ones will fire
SET fernet.key = :'keys';
\set VERBOSITY terse
SET client_min_messages = notice;
CALL fernet_rotate_column('secrets', 'token');
SET client_min_messages = warning;
\set VERBOSITY default
SELECT f.name, f.timing, f.level, f.id, f.was, f.is_now FROM fired AS f WHERE id IS NOT NULL ORDER BY id, n;
SELECT name, timing, at_its_end FROM statements ORDER BY name;
-- where nothing is written, none does
TRUNCATE fired;
CALL fernet_rotate_column('secrets', 'token');
SELECT * FROM fired;
-- in a batch, the same
SET fernet.key = :'old';
CALL fill();
SET fernet.key = :'keys';
TRUNCATE fired;
SELECT * FROM fernet_rotate_batch('secrets', 'token');
SELECT name, count(*) FROM fired GROUP BY name ORDER BY name;
DROP TRIGGER after_row ON secrets;
DROP TRIGGER before_row ON secrets;
DROP TRIGGER deferred ON secrets;

-- transition tables hold the rows of the batch
CREATE FUNCTION note_tables() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO fired (name, timing, level, id, was, is_now)
	SELECT TG_NAME, TG_WHEN, TG_LEVEL, n.id, fernet_key_index(o.token), fernet_key_index(n.token) FROM was AS o JOIN is_now AS n USING (id) ORDER BY id;
	RETURN NULL;
END
$$;
CREATE TRIGGER tables AFTER UPDATE ON secrets REFERENCING OLD TABLE AS was NEW TABLE AS is_now FOR EACH STATEMENT EXECUTE FUNCTION note_tables();
SET fernet.key = :'old';
CALL fill();
SET fernet.key = :'keys';
TRUNCATE fired RESTART IDENTITY;
CALL fernet_rotate_column('secrets', 'token');
SELECT f.name, f.timing, f.level, f.id, f.was, f.is_now FROM fired AS f WHERE id IS NOT NULL ORDER BY id, n;
SELECT name, timing, at_its_end FROM statements ORDER BY name;
DROP TRIGGER tables ON secrets;

-- what a trigger writes into the row is kept; a row that it keeps from being updated
-- fails
CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.id = 2 THEN
		RETURN NULL;
	END IF;
	NEW.changes := OLD.changes + 1;
	RETURN NEW;
END
$$;
SET fernet.key = :'old';
CALL fill();
CREATE TRIGGER change BEFORE UPDATE ON secrets FOR EACH ROW EXECUTE FUNCTION change();
SET fernet.key = :'keys';
CALL fernet_rotate_column('secrets', 'token');
\set VERBOSITY sqlstate
CALL fernet_rotate_column('secrets', 'token');
\set VERBOSITY default
SELECT id, fernet_decrypt(token), fernet_key_index(token), changes FROM secrets ORDER BY id;
-- as many rows as there are, of any size
SET fernet.key = :'old';
TRUNCATE secrets;
INSERT INTO secrets SELECT i, fernet_encrypt(repeat('x', i * 37 % 9000)) FROM generate_series(3, 1000) AS i;
SET fernet.key = :'keys';
CALL fernet_rotate_column('secrets', 'token');
SELECT count(*) FILTER (WHERE fernet_key_index(token) = 1 AND fernet_decrypt(token) = repeat('x', id * 37 % 9000) AND changes = 1) AS right FROM secrets;
-- a trigger that restores the old value is noticed
SET fernet.key = :'old';
CALL fill();
SET fernet.key = :'keys';
CREATE OR REPLACE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.token := OLD.token; RETURN NEW; END $$;
\set VERBOSITY terse
CALL fernet_rotate_column('secrets', 'token');
\echo :SQLSTATE
-- the error of one costs its rows, and leaves no lock behind
SET fernet.key = :'old';
CALL fill();
SET fernet.key = :'keys';
CREATE OR REPLACE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$;
CALL fernet_rotate_column('secrets', 'token');
\set VERBOSITY default
SELECT count(*) AS locks FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory';
DROP TABLE secrets;

-- one that defers a constraint costs the rows which that refuses, not the job at its
-- commit
CREATE TABLE owners (id integer PRIMARY KEY);
INSERT INTO owners VALUES (1);
CREATE TABLE deferring (id integer, token text, owner integer DEFAULT 1 REFERENCES owners DEFERRABLE);
SET fernet.key = :'old';
INSERT INTO deferring SELECT i, fernet_encrypt('secret ' || i) FROM generate_series(1, 4) AS i;
SET fernet.key = :'keys';
CREATE OR REPLACE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	SET CONSTRAINTS ALL DEFERRED;
	NEW.owner := CASE NEW.id WHEN 2 THEN 99 ELSE 1 END;
	RETURN NEW;
END
$$;
CREATE TRIGGER change BEFORE UPDATE ON deferring FOR EACH ROW EXECUTE FUNCTION change();
CALL fernet_rotate_column('deferring', 'token');
SELECT id, fernet_key_index(token), owner FROM deferring ORDER BY id;
DROP TABLE deferring, owners;

-- of a partitioned table they are on each partition
SET fernet.key = :'old';
CREATE TABLE parts (id integer, token text) PARTITION BY LIST (id);
CREATE TABLE part_1 PARTITION OF parts FOR VALUES IN (1);
CREATE TABLE part_2 (token text, id integer);
ALTER TABLE parts ATTACH PARTITION part_2 DEFAULT;
INSERT INTO parts SELECT i, fernet_encrypt('secret ' || i) FROM generate_series(1, 3) AS i;
CREATE TRIGGER before_row BEFORE UPDATE ON parts FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER after_row AFTER UPDATE ON parts FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER of_one AFTER UPDATE ON part_2 EXECUTE FUNCTION note();
SET fernet.key = :'keys';
TRUNCATE fired RESTART IDENTITY;
-- which are named with each, of a trigger that only one of them has, too
\set VERBOSITY terse
SET client_min_messages = notice;
CALL fernet_rotate_column('parts', 'token');
SET client_min_messages = warning;
\set VERBOSITY default
SELECT f.name, f.timing, f.level, f.id, f.was, f.is_now FROM fired AS f WHERE id IS NOT NULL ORDER BY id, n;
SELECT name, timing, at_its_end FROM statements ORDER BY name;
-- of many tables, some are named
SET fernet.key = :'old';
CREATE TABLE many (id integer, token text) PARTITION BY LIST (id);
SELECT format('CREATE TABLE many_%s PARTITION OF many FOR VALUES IN (%s)', i, i) FROM generate_series(10, 22) AS i \gexec
CREATE TRIGGER before_row BEFORE UPDATE ON many FOR EACH ROW EXECUTE FUNCTION note();
SET fernet.key = :'keys';
\set VERBOSITY terse
SET client_min_messages = notice;
CALL fernet_rotate_column('many', 'token');
SET client_min_messages = warning;
\set VERBOSITY default

SET search_path TO DEFAULT;
DROP SCHEMA regress_fernet_triggers CASCADE;
