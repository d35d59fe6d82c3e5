--
-- A superuser rotates the table of another role: nobody's code becomes superuser
-- by that, none reads the key, and no setting of it remains
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
LOAD 'pg_fernet';
\set old 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set keys 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=,a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
CREATE ROLE regress_fernet_eve;
CREATE ROLE regress_fernet_other;
CREATE SCHEMA regress_fernet_owner AUTHORIZATION regress_fernet_eve;
SET search_path = regress_fernet_owner, public;
SET fernet.key = :'old';
CREATE TABLE not_hers (token text);
INSERT INTO not_hers VALUES (fernet_encrypt('a secret of others'));
-- eve knows the token, but not the key
CREATE TABLE stolen AS TABLE not_hers;
GRANT SELECT ON stolen TO regress_fernet_eve;
CREATE PROCEDURE fill(tables text[]) LANGUAGE plpgsql AS $$
DECLARE
	name text;
BEGIN
	FOREACH name IN ARRAY tables LOOP
		EXECUTE format('TRUNCATE %I', name);
		EXECUTE format('INSERT INTO %I (id, token) SELECT i, fernet_encrypt(''secret '' || i) FROM generate_series(1, 2) AS i', name);
	END LOOP;
END
$$;

SET ROLE regress_fernet_eve;
CREATE TABLE log (n serial, who name, what text);
-- they stay where the log is undone
CREATE SEQUENCE tried;
CREATE SEQUENCE succeeded;
-- attack tries to become superuser, or to read what others keep, and writes down
-- what became of it
CREATE FUNCTION attack(what text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text := 'done';
BEGIN
	BEGIN
		IF what LIKE 'SELECT%' THEN
			EXECUTE what INTO result;
		ELSE
			EXECUTE what;
		END IF;
	EXCEPTION WHEN OTHERS THEN
		result := SQLSTATE;
	END;
	INSERT INTO log (who, what) VALUES (current_user, what || ' -> ' || coalesce(result, ''));
	PERFORM nextval('tried');
	IF result NOT IN ('42501', 'PF001', '0') AND what <> 'RESET fernet.key' THEN
		PERFORM nextval('succeeded');
	END IF;
	RETURN result;
END
$$;
CREATE FUNCTION attacks() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM attack('ALTER ROLE regress_fernet_eve SUPERUSER');
	PERFORM attack('SELECT token FROM not_hers');
	PERFORM attack('SELECT fernet_decrypt(token) FROM stolen');
	PERFORM attack('SELECT count(*) FROM fernet_keys()');
	PERFORM attack('RESET ROLE');
	PERFORM attack('RESET fernet.key');
	PERFORM attack('SELECT fernet_decrypt(token) FROM stolen');
	PERFORM set_config('fernet.key', '', false);
	PERFORM set_config('work_mem', '123kB', false);
END
$$;
CREATE FUNCTION attack_by_trigger() RETURNS trigger LANGUAGE plpgsql SET search_path = regress_fernet_owner, public AS $$
BEGIN
	PERFORM attacks();
	RETURN NEW;
END
$$;
CREATE FUNCTION attack_by_value(value text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE SET search_path = regress_fernet_owner, public AS $$
BEGIN
	PERFORM attacks();
	RETURN true;
END
$$;
CREATE TABLE before_row (id integer, token text);
CREATE TRIGGER t BEFORE UPDATE ON before_row FOR EACH ROW EXECUTE FUNCTION attack_by_trigger();
CREATE TABLE after_row (id integer, token text);
CREATE TRIGGER t AFTER UPDATE ON after_row FOR EACH ROW EXECUTE FUNCTION attack_by_trigger();
CREATE TABLE deferred (id integer, token text);
CREATE CONSTRAINT TRIGGER t AFTER UPDATE ON deferred DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION attack_by_trigger();
CREATE TABLE checked (id integer, token text);
CREATE TABLE indexed (id integer, token text);
CREATE TABLE parted (id integer, token text) PARTITION BY LIST (id);
CREATE TABLE part PARTITION OF parted FOR VALUES IN (1, 2);
CREATE TRIGGER t BEFORE UPDATE ON parted FOR EACH ROW EXECUTE FUNCTION attack_by_trigger();
RESET ROLE;
SET fernet.key = :'old';
CALL fill('{before_row, after_row, deferred, checked, indexed, parted}');
SET ROLE regress_fernet_eve;
ALTER TABLE checked ADD CHECK (attack_by_value(token)) NOT VALID;
SET fernet.key = '';
CREATE INDEX ON indexed (attack_by_value(token));
TRUNCATE log RESTART IDENTITY;
RESET ROLE;

SET fernet.key = :'keys';
CALL fernet_rotate_column('before_row', 'token');
SELECT DISTINCT who, what FROM log ORDER BY what;
TRUNCATE log;
CALL fernet_rotate_column('after_row', 'token');
SELECT DISTINCT who, what FROM log ORDER BY what;
TRUNCATE log;
CALL fernet_rotate_column('deferred', 'token');
SELECT DISTINCT who, what FROM log ORDER BY what;
TRUNCATE log;
CALL fernet_rotate_column('checked', 'token');
SELECT DISTINCT who, what FROM log ORDER BY what;
TRUNCATE log;
CALL fernet_rotate_column('indexed', 'token');
SELECT DISTINCT who, what FROM log ORDER BY what;
TRUNCATE log;
CALL fernet_rotate_column('parted', 'token');
SELECT DISTINCT who, what FROM log ORDER BY what;
TRUNCATE log;
-- what the planner and the opening of an index evaluate: constant expressions, for a
-- job and for the gate
SET fernet.key = :'old';
SET ROLE regress_fernet_eve;
CREATE TABLE constant (id integer, token text);
RESET ROLE;
CALL fill('{constant}');
SET ROLE regress_fernet_eve;
SET fernet.key = '';
CREATE INDEX ON constant ((attack_by_value('x')));
CREATE INDEX ON constant (id) WHERE attack_by_value('y');
TRUNCATE log;
RESET ROLE;
SET fernet.key = :'keys';
CALL fernet_rotate_column('constant', 'token');
SELECT DISTINCT who, what FROM log ORDER BY what;
TRUNCATE log;
-- the gate undoes its readings
ALTER SEQUENCE tried RESTART;
SELECT fernet_assert_rotated('constant', 'token');
SELECT tried.is_called AS tried, succeeded.is_called AS succeeded FROM tried, succeeded;
DROP TABLE constant;
-- a superuser's own partition and child, which have the code of the tables above them
SET ROLE regress_fernet_eve;
CREATE TABLE above (id integer, token text) PARTITION BY LIST (id);
CREATE TRIGGER t BEFORE UPDATE ON above FOR EACH ROW EXECUTE FUNCTION attack_by_trigger();
CREATE FUNCTION dormant(value text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE TABLE parent (id integer, token text, CHECK (dormant(token)));
RESET ROLE;
CREATE TABLE below PARTITION OF above FOR VALUES IN (1, 2);
CREATE TABLE child () INHERITS (parent);
SET fernet.key = :'old';
CALL fill('{above, child}');
SET ROLE regress_fernet_eve;
CREATE OR REPLACE FUNCTION dormant(value text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN regress_fernet_owner.attack_by_value(value); END';
RESET ROLE;
SET fernet.key = :'keys';
TRUNCATE log;
CALL fernet_rotate_column('above', 'token');
SELECT DISTINCT who, what FROM log ORDER BY what;
TRUNCATE log;
CALL fernet_rotate_column('child', 'token');
SELECT DISTINCT who, what FROM log ORDER BY what;
TRUNCATE log;
GRANT SELECT ON below TO regress_fernet_eve;
ALTER TABLE child OWNER TO regress_fernet_eve;
CALL fernet_rotate_column('above', 'token');
CALL fernet_rotate_column('child', 'token');
SELECT DISTINCT who, what FROM log ORDER BY what;
DROP TABLE above, parent, child;
TRUNCATE log;
-- the caller is who he was, with his key and his settings
SELECT current_user = session_user AS same_user, current_setting('search_path') AS search_path,
	current_setting('work_mem') = '123kB' AS hers, (SELECT count(*) FROM fernet_keys()) AS keys;
SELECT count(*) AS rotated FROM (
	SELECT token FROM before_row UNION ALL SELECT token FROM after_row UNION ALL SELECT token FROM deferred
	UNION ALL SELECT token FROM checked UNION ALL SELECT token FROM indexed UNION ALL SELECT token FROM parted) AS t
WHERE fernet_key_index(token) = 1;
SELECT rolsuper FROM pg_roles WHERE rolname = 'regress_fernet_eve';

-- in the caller's own transaction, and the other way, the same
SET fernet.key = :'old';
CALL fill('{before_row}');
SET fernet.key = :'keys';
TRUNCATE log;
SELECT rotated, failed FROM fernet_rotate_batch('before_row', 'token');
CALL fernet_decrypt_column('before_row', 'token', confirm => true);
SELECT DISTINCT who, what FROM log ORDER BY what;
-- A deferred trigger would run after that, with other rights; so it runs at once, as
-- after SET CONSTRAINTS, and those of other tables stay as they are.
SET fernet.key = :'old';
CALL fill('{deferred}');
CREATE TABLE others (id integer PRIMARY KEY, other integer REFERENCES others DEFERRABLE INITIALLY DEFERRED);
SET fernet.key = :'keys';
TRUNCATE log;
BEGIN;
INSERT INTO others VALUES (1, 2);
SELECT rotated, failed FROM fernet_rotate_batch('deferred', 'token');
INSERT INTO others VALUES (2, 1);
COMMIT;
SELECT DISTINCT who, what FROM log ORDER BY what;
TRUNCATE log;
SELECT rotated, unchanged, failed FROM fernet_rotate_batch('deferred', 'token');
DROP TABLE others;

-- an error ends it, too: in the whole batch, and for each row
CREATE TABLE raising (id integer, token text);
ALTER TABLE raising OWNER TO regress_fernet_eve;
SET fernet.key = :'old';
CALL fill('{raising}');
SET ROLE regress_fernet_eve;
CREATE FUNCTION raise_it() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('work_mem', '123kB', false), set_config('search_path', 'pg_temp', false);
	RAISE 'not today';
END
$$;
CREATE TRIGGER t BEFORE UPDATE ON raising FOR EACH ROW EXECUTE FUNCTION raise_it();
RESET ROLE;
SET fernet.key = :'keys';
SELECT rotated, failed FROM fernet_rotate_batch('raising', 'token');
SELECT current_user = session_user AS same_user, current_setting('search_path') AS search_path,
	current_setting('work_mem') = '123kB' AS hers, (SELECT count(*) FROM fernet_keys()) AS keys;

-- a table of the caller's own, and one of a superuser, run as they did
SET fernet.key = :'old';
TRUNCATE log;
CREATE TABLE own (id integer, token text);
GRANT INSERT ON log TO PUBLIC;
GRANT USAGE ON SEQUENCE log_n_seq TO PUBLIC;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO log (who, what) VALUES (current_user, fernet_decrypt(NEW.token));
	RETURN NEW;
END
$$;
CREATE TRIGGER t BEFORE UPDATE ON own FOR EACH ROW EXECUTE FUNCTION note();
CALL fill('{own}');
SET fernet.key = :'keys';
CALL fernet_rotate_column('own', 'token');
SELECT who = session_user AS superuser, what FROM log ORDER BY n;
ALTER TABLE own OWNER TO regress_fernet_other;
GRANT USAGE ON SCHEMA regress_fernet_owner TO regress_fernet_other;
SET fernet.key = :'old';
CALL fill('{own}');
SET fernet.key = :'keys';
TRUNCATE log;
SET ROLE regress_fernet_other;
CALL fernet_rotate_column('own', 'token');
RESET ROLE;
SELECT who, what FROM log ORDER BY n;
-- whose trigger needs the key, is to be rotated by its owner
SET fernet.key = :'old';
CALL fill('{own}');
SET fernet.key = :'keys';
\set VERBOSITY terse
CALL fernet_rotate_column('own', 'token');
\set VERBOSITY default
-- fernet_encrypt_trigger needs none for tokens
CREATE TABLE encrypted (id integer, token text);
ALTER TABLE encrypted OWNER TO regress_fernet_other;
CREATE TRIGGER t BEFORE INSERT OR UPDATE ON encrypted FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('token');
SET fernet.key = :'old';
INSERT INTO encrypted VALUES (1, 'a secret');
SET fernet.key = :'keys';
CALL fernet_rotate_column('encrypted', 'token');

SET search_path TO DEFAULT;
DROP SCHEMA regress_fernet_owner CASCADE;
DROP ROLE regress_fernet_eve;
DROP ROLE regress_fernet_other;
