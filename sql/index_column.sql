--
-- Fill and renew a column of blind indexes, and prove it
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
LOAD 'pg_fernet';
\set VERBOSITY terse
\pset null '(null)'
\set key 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set other 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set old 'a2V5IEMgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set new 'a2V5IEQgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
CREATE SCHEMA regress_fernet_index_column;
SET search_path = regress_fernet_index_column, public;
SELECT set_config('fernet.key', :'key', false), set_config('fernet.index_key', :'old', false);
-- tokens, plaintexts and NULL
CREATE TABLE users (id integer PRIMARY KEY, gone integer, email text, note text, email_index bytea UNIQUE);
ALTER TABLE users DROP COLUMN gone;
INSERT INTO users SELECT i, CASE i % 10 WHEN 0 THEN NULL WHEN 1 THEN 'user' || i ELSE fernet_encrypt('user' || i) END FROM generate_series(1, 3000) AS i;
CREATE VIEW held AS SELECT *, CASE WHEN fernet_is_token(email) THEN fernet_decrypt(email) ELSE email END AS plaintext FROM users;
CREATE FUNCTION wrong() RETURNS bigint LANGUAGE sql AS
	$$SELECT count(*) FROM held WHERE email_index IS DISTINCT FROM fernet_blind_index(plaintext, 'user.email')$$;

--
-- Adoption, then a new index key. An application finds each row all the while
--
SELECT fernet_assert_indexed('users', 'email', 'email_index', 'user.email');
\echo :SQLSTATE
CALL fernet_index_column('users', 'email', 'email_index', 'user.email', batch_rows => 100);
SELECT wrong(), fernet_assert_indexed('users', 'email', 'email_index', 'user.email');
-- as many as one likes in a statement
SELECT concat(fernet_assert_indexed('users', 'email', 'email_index', 'user.email'),
	fernet_assert_indexed('users', 'email', 'email_index', 'user.email'),
	fernet_assert_indexed('users', 'email', 'email_index', 'user.email'),
	fernet_assert_indexed('users', 'email', 'email_index', 'user.email'),
	fernet_assert_indexed('users', 'email', 'email_index', 'user.email')) = '' AS silent;
SELECT id FROM users WHERE email_index = fernet_blind_index('user77', 'user.email');
-- again, there is nothing to do
CALL fernet_index_column('users', 'email', 'email_index', 'user.email');
-- what is wrong is made right: an index that is stale, cut, missing, or there for NULL
UPDATE users SET email_index = '\x00' WHERE id = 10;
UPDATE users SET email_index = substr(email_index, 1, 31) WHERE id = 11;
UPDATE users SET email = 'moved' WHERE id = 12;
UPDATE users SET email_index = NULL WHERE id = 13;
SELECT fernet_assert_indexed('users', 'email', 'email_index', 'user.email');
CALL fernet_index_column('users', 'email', 'email_index', 'user.email');
SELECT wrong(), fernet_assert_indexed('users', 'email', 'email_index', 'user.email'), (SELECT email_index FROM users WHERE id = 10) AS of_null;
-- the new key first, then the old one: half of the rows are renewed, and each is found
SELECT set_config('fernet.index_key', :'new' || ',' || :'old', false);
UPDATE users SET email_index = fernet_blind_index('user' || id, 'user.email') WHERE id % 10 <> 0 AND id BETWEEN 100 AND 1500;
CREATE FUNCTION found() RETURNS bigint LANGUAGE sql AS
	$$SELECT count(*) FROM held AS h WHERE (SELECT u.id FROM users AS u WHERE u.email_index = ANY (fernet_blind_indexes(h.plaintext, 'user.email'))) = h.id$$;
SELECT found();
\set VERBOSITY default
SELECT fernet_assert_indexed('users', 'email', 'email_index', 'user.email');
\set VERBOSITY terse
CALL fernet_index_column('users', 'email', 'email_index', 'user.email');
SELECT wrong(), found(), fernet_assert_indexed('users', 'email', 'email_index', 'user.email');
SELECT operation, relation, columns, state, rotated, unchanged, failed,
	fingerprint = (SELECT fingerprint FROM fernet_index_keys() WHERE is_primary) AS by_index_key
FROM fernet_rotation WHERE relation = 'regress_fernet_index_column.users' ORDER BY id;
SET fernet.index_key = :'new';
SELECT wrong(), found();

--
-- A rotation of the source needs no index key, with or without a trigger: no row fails, no index changes
--
RESET fernet.index_key;
CREATE TEMP TABLE before AS SELECT id, email_index FROM users;
SELECT set_config('fernet.key', :'other' || ',' || :'key', false);
CALL fernet_rotate_column('users', 'email', on_plaintext => 'leave');
CREATE TRIGGER keep BEFORE INSERT OR UPDATE ON users
	FOR EACH ROW EXECUTE FUNCTION fernet_blind_index_trigger('email', 'email_index', 'user.email');
SELECT set_config('fernet.key', :'key' || ',' || :'other', false);
CALL fernet_rotate_column('users', 'email', on_plaintext => 'encrypt');
SET fernet.key = :'key';
SELECT fernet_assert_rotated('users', 'email');
SELECT count(*) AS changed FROM users JOIN before USING (id) WHERE users.email_index IS DISTINCT FROM before.email_index;

--
-- The trigger keeps what the job writes; a job for other indexes is refused
--
SELECT set_config('fernet.index_key', :'old' || ',' || :'new', false);
CALL fernet_index_column('users', 'email', 'email_index', 'user.email');
SELECT wrong(), fernet_assert_indexed('users', 'email', 'email_index', 'user.email');
\set VERBOSITY default
CALL fernet_index_column('users', 'email', 'email_index', 'users.email');
\set VERBOSITY terse
CALL fernet_index_column('users', 'note', 'email_index', 'user.email');
CALL fernet_index_column('users', 'email', 'email_index', 'user.email', 128);
SELECT fernet_assert_indexed('users', 'email', 'email_index', 'users.email');
DROP TRIGGER keep ON users;
SELECT fernet_assert_indexed('users', 'email', 'email_index', 'users.email');

--
-- Values that have no blind index, and rows that the table refuses
--
CREATE TABLE odd (id integer, email text, email_index bytea UNIQUE CHECK (length(email_index) <> 4));
SELECT fernet_encrypt('token') AS token \gset
INSERT INTO odd VALUES (1, 'good'), (2, :'token'), (3, left(:'token', 90)), (4, 'v1:' || :'token'), (5, 'good'), (6, 'quotes a ' || :'token');
SET fernet.key = :'other';
SELECT fernet_encrypt('unknown') AS token \gset
INSERT INTO odd VALUES (7, :'token'), (8, 'quotes somebody''s ' || :'token');
SET fernet.key = :'key';
\set VERBOSITY default
CALL fernet_index_column('odd', 'email', 'email_index', 'odd');
\set VERBOSITY terse
SELECT id FROM odd WHERE email_index IS NOT NULL ORDER BY id;
SELECT fernet_assert_indexed('odd', 'email', 'email_index', 'odd');
-- the table refuses each of 32 bits
SET client_min_messages = error;
CALL fernet_index_column('odd', 'email', 'email_index', 'odd', 32);
SET client_min_messages = warning;
-- what the trigger refuses, the job fails on, and the other way round
CREATE TRIGGER keep BEFORE INSERT OR UPDATE ON odd FOR EACH ROW EXECUTE FUNCTION fernet_blind_index_trigger('email', 'email_index', 'odd');
DO $$
DECLARE
	one record;
BEGIN
	FOR one IN SELECT id, email FROM odd ORDER BY id LOOP
		BEGIN
			INSERT INTO odd VALUES (one.id + 10, one.email);
		EXCEPTION WHEN OTHERS THEN
			RAISE WARNING '% %', one.id, SQLSTATE;
		END;
	END LOOP;
END
$$;
-- without a key: plaintexts have indexes, and a token ends the job
RESET fernet.key;
CALL fernet_index_column('odd', 'email', 'email_index', 'odd');
SELECT fernet_assert_indexed('odd', 'email', 'email_index', 'odd');
DELETE FROM odd WHERE id NOT IN (1, 3);
CALL fernet_index_column('odd', 'email', 'email_index', 'odd');
DELETE FROM odd WHERE id = 3;
CALL fernet_index_column('odd', 'email', 'email_index', 'odd');
SELECT fernet_assert_indexed('odd', 'email', 'email_index', 'odd');
SET fernet.key = :'key';

--
-- Types, bits and generated columns
--
CREATE DOMAIN short_index AS bytea CHECK (length(VALUE) = 4);
CREATE TABLE typed (id integer, v varchar(200), c char(150), b bytea, l text GENERATED ALWAYS AS (lower(v)) STORED, n integer, d jsonb,
	v_index bytea, c_index short_index, b_index bytea, l_index bytea, g_index bytea GENERATED ALWAYS AS ('\x00'::bytea) STORED, t_index text);
INSERT INTO typed (id, v, c, b) VALUES (1, 'V', 'c', 'b'), (2, fernet_encrypt('V'), fernet_encrypt('c'), fernet_encrypt('b')::bytea), (3, '', '', '');
CALL fernet_index_column('typed', 'v', 'v_index', 'v');
CALL fernet_index_column('typed', 'c', 'c_index', 'c', 32);
CALL fernet_index_column('typed', 'b', 'b_index', 'b', 16);
SELECT id, v_index = fernet_blind_index(CASE id WHEN 3 THEN '' ELSE 'V' END, 'v') AS v,
	c_index = fernet_blind_index(CASE id WHEN 3 THEN '' ELSE 'c' END, 'c', 32) AS c,
	b_index = fernet_blind_index(CASE id WHEN 3 THEN '' ELSE 'b' END, 'b', 16) AS b FROM typed ORDER BY id;
UPDATE typed SET v = 'V';
CALL fernet_index_column('typed', 'l', 'l_index', 'l');
SELECT count(*) FROM typed WHERE l_index = fernet_blind_index('v', 'l');
SELECT fernet_assert_indexed('typed', 'l', 'l_index', 'l'), fernet_assert_indexed('typed', 'b', 'b_index', 'b', 16);
SELECT fernet_assert_indexed('typed', 'b', 'b_index', 'b', 24);
-- a domain refuses the size
SET client_min_messages = error;
CALL fernet_index_column('typed', 'c', 'c_index', 'c', 64);
SET client_min_messages = warning;
-- refused before anything is written
CALL fernet_index_column('typed', 'n', 'v_index', 'v');
CALL fernet_index_column('typed', 'd', 'v_index', 'v');
CALL fernet_index_column('typed', 'v', 't_index', 'v');
CALL fernet_index_column('typed', 'v', 'n', 'v');
CALL fernet_index_column('typed', 'v', 'g_index', 'v');
CALL fernet_index_column('typed', 'b', 'b', 'v');
CALL fernet_index_column('typed', 'absent', 'v_index', 'v');
CALL fernet_index_column('typed', 'v', 'absent', 'v');
CALL fernet_index_column('typed', 'v', 'v_index', 'v', 12);
CALL fernet_index_column('typed', 'v', 'v_index', NULL);
CALL fernet_index_column('typed', 'v', 'v_index', 'v', batch_rows => 0);
CALL fernet_index_column('typed', 'v', 'v_index', 'v', pause => '-1 s');
CALL fernet_index_column('typed', 'v', 'v_index', 'v', max_lag => '0');
CALL fernet_index_column('held', 'email', 'email_index', 'v');
SELECT fernet_assert_indexed('typed', 'd', 'v_index', 'v');
SELECT fernet_assert_indexed('typed', 'v', 't_index', 'v');
SELECT fernet_assert_indexed('typed', 'v', 'g_index', 'v');
SELECT fernet_assert_indexed('typed', 'v', 'v_index', 'v', NULL);
\set VERBOSITY default
BEGIN;
CALL fernet_index_column('typed', 'v', 'v_index', 'v');
ROLLBACK;
\set VERBOSITY terse
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT fernet_assert_indexed('typed', 'v', 'v_index', 'v');
ROLLBACK;
-- without an index key
RESET fernet.index_key;
CALL fernet_index_column('typed', 'v', 'v_index', 'v');
\echo :SQLSTATE
SELECT fernet_assert_indexed('typed', 'v', 'v_index', 'v');
SET fernet.index_key = :'new';

--
-- Partitions, with columns at other places
--
CREATE TABLE parted (id integer, email text, email_index bytea) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (1) TO (100);
CREATE TABLE parted_2 (email_index bytea, gone integer, email text, id integer);
ALTER TABLE parted_2 DROP COLUMN gone;
ALTER TABLE parted ATTACH PARTITION parted_2 FOR VALUES FROM (100) TO (200);
INSERT INTO parted SELECT i, fernet_encrypt('user' || i) FROM generate_series(50, 150) AS i;
CALL fernet_index_column('parted', 'email', 'email_index', 'user.email');
SELECT count(*) FROM parted WHERE email_index = fernet_blind_index(fernet_decrypt(email), 'user.email');
SELECT fernet_assert_indexed('parted', 'email', 'email_index', 'user.email'), fernet_assert_indexed('parted_2', 'email', 'email_index', 'user.email');

--
-- Rights: to read both columns and to write the index. A superuser's job runs triggers of others without a key
--
CREATE ROLE regress_fernet_index_owner;
CREATE ROLE regress_fernet_index_user;
GRANT USAGE ON SCHEMA regress_fernet_index_column TO regress_fernet_index_owner, regress_fernet_index_user;
CREATE TABLE owned (id integer, email text, email_index bytea);
INSERT INTO owned VALUES (1, fernet_encrypt('one')), (2, 'two');
ALTER TABLE owned OWNER TO regress_fernet_index_owner;
CREATE TABLE seen (has_key boolean, who name);
GRANT ALL ON seen TO regress_fernet_index_owner;
CREATE FUNCTION peek() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO regress_fernet_index_column.seen SELECT EXISTS (SELECT FROM public.fernet_index_keys()) OR EXISTS (SELECT FROM public.fernet_keys()), current_user;
	RETURN NEW;
END
$$;
CREATE TRIGGER peek BEFORE UPDATE ON owned FOR EACH ROW EXECUTE FUNCTION peek();
CREATE TRIGGER keep BEFORE INSERT OR UPDATE ON owned FOR EACH ROW EXECUTE FUNCTION fernet_blind_index_trigger('email', 'email_index', 'owned');
CALL fernet_index_column('owned', 'email', 'email_index', 'owned');
SELECT DISTINCT * FROM seen;
SELECT fernet_assert_indexed('owned', 'email', 'email_index', 'owned');
GRANT SELECT (email_index), UPDATE (email_index) ON owned TO regress_fernet_index_user;
SET ROLE regress_fernet_index_user;
CALL fernet_index_column('owned', 'email', 'email_index', 'owned');
SELECT fernet_assert_indexed('owned', 'email', 'email_index', 'owned');
RESET ROLE;
GRANT SELECT (email) ON owned TO regress_fernet_index_user;
REVOKE UPDATE (email_index) ON owned FROM regress_fernet_index_user;
SET ROLE regress_fernet_index_user;
CALL fernet_index_column('owned', 'email', 'email_index', 'owned');
SELECT fernet_assert_indexed('owned', 'email', 'email_index', 'owned');
RESET ROLE;
GRANT UPDATE (email_index) ON owned TO regress_fernet_index_user;
DROP TRIGGER peek ON owned;
SET fernet.index_key = :'old';
SET ROLE regress_fernet_index_user;
CALL fernet_index_column('owned', 'email', 'email_index', 'owned');
RESET ROLE;
ALTER TABLE owned ENABLE ROW LEVEL SECURITY;
CREATE POLICY one ON owned USING (id = 1);
SET ROLE regress_fernet_index_user;
CALL fernet_index_column('owned', 'email', 'email_index', 'owned');
SELECT fernet_assert_indexed('owned', 'email', 'email_index', 'owned');
RESET ROLE;
SET client_min_messages = warning;
DROP SCHEMA regress_fernet_index_column CASCADE;
DROP ROLE regress_fernet_index_owner, regress_fernet_index_user;
