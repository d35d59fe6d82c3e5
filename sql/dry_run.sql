--
-- A dry run tries what needs no write, says what a rotation would say, and changes
-- nothing
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
LOAD 'pg_fernet';
\set old 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set keys 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=,a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
CREATE SCHEMA regress_fernet_dry;
SET search_path = regress_fernet_dry, public;
CREATE ROLE regress_fernet_reader;
CREATE ROLE regress_fernet_eve;
GRANT USAGE ON SCHEMA regress_fernet_dry TO regress_fernet_reader;
GRANT USAGE, CREATE ON SCHEMA regress_fernet_dry TO regress_fernet_eve;
SET fernet.key = :'old';
CREATE TABLE secrets AS SELECT i AS id, fernet_encrypt('secret ' || i) AS token FROM generate_series(1, 5) AS i;

-- CHECK constraints, also those of generated columns; NOT NULL; domains; the bounds of
-- partitions. What it says, the rotation says.
CREATE TABLE checked (LIKE secrets);
INSERT INTO checked TABLE secrets;
ALTER TABLE checked ADD CONSTRAINT no_change CHECK (id NOT IN (2, 4) OR fernet_key_index(token) = 2) NOT VALID;
CREATE TABLE generated (id integer, token text, key integer);
CREATE FUNCTION key_of(token text) RETURNS integer IMMUTABLE LANGUAGE sql AS 'SELECT fernet_key_index(token)';
ALTER TABLE generated DROP COLUMN key, ADD COLUMN key integer GENERATED ALWAYS AS (key_of(token)) STORED;
SET fernet.key = :'keys';
INSERT INTO generated TABLE secrets;
ALTER TABLE generated ADD CONSTRAINT old_key CHECK (id <> 3 OR key = 2) NOT VALID;
CREATE DOMAIN old_token AS text;
CREATE TABLE of_domain (id integer, token old_token);
INSERT INTO of_domain TABLE secrets;
ALTER DOMAIN old_token ADD CONSTRAINT is_old CHECK (fernet_key_index(VALUE) = 2) NOT VALID;
CREATE TABLE parts (id integer, token text) PARTITION BY LIST (key_of(token));
CREATE TABLE part PARTITION OF parts FOR VALUES IN (2);
INSERT INTO parts SELECT * FROM secrets LIMIT 2;
CREATE TABLE plaintexts (id integer, token varchar(110) CHECK (token <> 'never' AND length(token) < 105 OR id = 0));
INSERT INTO plaintexts VALUES (1, 'short'), (2, 'a longer one of 20 b'), (3, repeat('too long', 6));
CALL fernet_rotate_column('checked', 'token', dry_run => true);
CALL fernet_rotate_column('generated', 'token', dry_run => true);
CALL fernet_rotate_column('of_domain', 'token', dry_run => true);
CALL fernet_rotate_column('parts', 'token', dry_run => true);
CALL fernet_rotate_column('plaintexts', 'token', dry_run => true, on_plaintext => 'encrypt');
SELECT count(*) AS untouched FROM (SELECT token FROM checked UNION ALL SELECT token FROM generated UNION ALL SELECT token FROM of_domain
	UNION ALL SELECT token FROM parts) AS t WHERE fernet_key_index(token) = 2;
CALL fernet_rotate_column('checked', 'token');
CALL fernet_rotate_column('generated', 'token');
CALL fernet_rotate_column('of_domain', 'token');
CALL fernet_rotate_column('parts', 'token');
-- what it cannot try without a write
CREATE TABLE triggered (LIKE secrets);
INSERT INTO triggered TABLE secrets;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON triggered FOR EACH ROW EXECUTE FUNCTION refuse();
CALL fernet_rotate_column('triggered', 'token', dry_run => true);

-- rights, rules, generated columns, replica identity
GRANT SELECT ON secrets TO regress_fernet_reader;
SET ROLE regress_fernet_reader;
CALL fernet_rotate_column('secrets', 'token', dry_run => true);
\echo :SQLSTATE
RESET ROLE;
GRANT UPDATE (token) ON secrets TO regress_fernet_reader;
SET ROLE regress_fernet_reader;
CALL fernet_rotate_column('secrets', 'token', dry_run => true);
RESET ROLE;
CREATE TABLE ruled (LIKE secrets);
CREATE RULE r AS ON UPDATE TO ruled DO INSTEAD NOTHING;
CALL fernet_rotate_column('ruled', 'token', dry_run => true);
\echo :SQLSTATE
CREATE TABLE copied (token text, copy text GENERATED ALWAYS AS (token) STORED);
CALL fernet_rotate_column('copied', 'copy', dry_run => true);
\echo :SQLSTATE
CREATE TABLE published (LIKE secrets);
INSERT INTO published TABLE secrets;
ALTER TABLE published REPLICA IDENTITY NOTHING;
SET client_min_messages = error;
CREATE PUBLICATION regress_fernet_dry FOR TABLE published;
SET client_min_messages = warning;
\set VERBOSITY terse
CALL fernet_rotate_column('published', 'token', dry_run => true);
\echo :SQLSTATE
\set VERBOSITY default
DROP PUBLICATION regress_fernet_dry;
-- where nothing can be written, it reads all the same
SET default_transaction_read_only = on;
CALL fernet_rotate_column('checked', 'token', dry_run => true);
RESET default_transaction_read_only;

-- It does not pause: it would only keep its snapshot for longer.
CALL fernet_rotate_column('secrets', 'token', dry_run => true, pause => '1 day');

-- A superuser runs no code of an owner with his own rights or key.
SET ROLE regress_fernet_eve;
CREATE FUNCTION look(token text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	BEGIN
		EXECUTE 'ALTER ROLE regress_fernet_eve SUPERUSER';
	EXCEPTION WHEN OTHERS THEN
	END;
	PERFORM set_config('work_mem', '123kB', false);
	RAISE WARNING 'seen by %, with % keys', current_user, (SELECT count(*) FROM public.fernet_keys());
	RETURN true;
END
$$;
CREATE DOMAIN looking AS text;
CREATE TABLE hers (token looking, copy boolean);
RESET ROLE;
INSERT INTO hers SELECT token FROM secrets LIMIT 1;
SET ROLE regress_fernet_eve;
ALTER DOMAIN looking ADD CHECK (regress_fernet_dry.look(VALUE)) NOT VALID;
ALTER TABLE hers ADD CHECK (regress_fernet_dry.look(token)) NOT VALID;
RESET ROLE;
CALL fernet_rotate_column('hers', 'token', dry_run => true);
SELECT rolsuper, current_setting('work_mem') = '123kB' AS changed, current_user = session_user AS same_user, count(*) AS keys
FROM pg_roles, fernet_keys() WHERE rolname = 'regress_fernet_eve' GROUP BY 1;
-- an error in it, too
SET ROLE regress_fernet_eve;
CREATE FUNCTION refuse_all(token text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	PERFORM set_config('work_mem', '123kB', false);
	RAISE 'the value is %', token;
END
$$;
CREATE TABLE hers_too (token text);
RESET ROLE;
INSERT INTO hers_too SELECT token FROM secrets LIMIT 1;
SET ROLE regress_fernet_eve;
ALTER TABLE hers_too ADD CHECK (regress_fernet_dry.refuse_all(token)) NOT VALID;
RESET ROLE;
CALL fernet_rotate_column('hers_too', 'token', dry_run => true);
SELECT current_setting('work_mem') = '123kB' AS changed, current_user = session_user AS same_user, count(*) AS keys FROM fernet_keys();

SET search_path TO DEFAULT;
DROP SCHEMA regress_fernet_dry CASCADE;
DROP ROLE regress_fernet_reader, regress_fernet_eve;
