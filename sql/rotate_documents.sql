--
-- Columns of documents, arrays and rows, whose values hold tokens
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
LOAD 'pg_fernet';
CREATE SCHEMA regress_fernet_documents;
SET search_path TO regress_fernet_documents, public;
\set VERBOSITY terse
\set old 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8='
\set new 'Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA='
\set other 'MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE='
SET fernet.key = :'other';
SELECT fernet_encrypt('x') AS stranger \gset
SET fernet.key = :'old';
CREATE DOMAIN tag AS text CHECK (length(value) < 200);
CREATE DOMAIN tags AS tag[] CHECK (cardinality(value) < 4);
CREATE TYPE pair AS (name text, token text, n int);
CREATE TYPE textrange AS RANGE (subtype = text, collation = "C");
CREATE TABLE doc (id int, j json, jb jsonb, a text[], t tags, p pair, ps pair[], r textrange);
INSERT INTO doc SELECT i, json_build_object('id', i, 'token', fernet_encrypt('j' || i)),
		jsonb_build_array(fernet_encrypt('b' || i), jsonb_build_object(fernet_encrypt('key' || i), 1.00)),
		ARRAY[fernet_encrypt('a' || i), NULL], ARRAY[fernet_encrypt('t' || i), 'x'],
		ROW('n', fernet_encrypt('p' || i), i)::pair, ARRAY[ROW('n', fernet_encrypt('q' || i), i)::pair], textrange('a', fernet_encrypt('r' || i))
	FROM generate_series(1, 3) AS i;
INSERT INTO doc VALUES (4, '{}', '[]', '{}', '{}', ROW(NULL, NULL, NULL), '{}', 'empty');
INSERT INTO doc (id) VALUES (5);
CREATE TABLE before AS SELECT * FROM doc;
SELECT set_config('fernet.key', :'new' || ',' || :'old', false) \g /dev/null
SELECT name, status, form, key_index, tokens
	FROM unnest(ARRAY['j', 'jb', 'a', 't', 'p', 'ps', 'r']) AS name, fernet_census('doc', name) ORDER BY name, status;
-- Each column: a dry run, the rotation, a second one, the gate
CALL fernet_rotate_column('doc', 'j', dry_run => true);
SELECT fernet_assert_rotated('doc', 'j');
CALL fernet_rotate_column('doc', 'j');
CALL fernet_rotate_column('doc', 'jb');
CALL fernet_rotate_column('doc', 'a', on_plaintext => 'leave');
CALL fernet_rotate_column('doc', 't');
CALL fernet_rotate_column('doc', 'p');
CALL fernet_rotate_column('doc', 'ps', slice => 1, slices => 2);
SELECT * FROM fernet_rotate_batch('doc', 'r');
CALL fernet_rotate_column('doc', 'jb');
SELECT fernet_assert_rotated('doc', name) FROM unnest(ARRAY['j', 'jb', 'a', 't', 'p', 'ps', 'r']) AS name;
SELECT status, form, key_index, tokens FROM fernet_census('doc', 'jb');
SET fernet.key = :'new';
SELECT id, fernet_decrypt(j ->> 'token') AS j, fernet_decrypt(jb ->> 0) AS jb,
		(SELECT fernet_decrypt(k) || ' = ' || v FROM jsonb_each_text(jb -> 1) AS e (k, v)) AS key, fernet_decrypt(a[1]) AS a, a[2] AS null,
		fernet_decrypt(t[1]) AS t, t[2], (p).name, fernet_decrypt((p).token) AS p, (p).n, fernet_decrypt(ps[1].token) AS ps, fernet_decrypt(upper(r)) AS r
	FROM doc WHERE id < 4 ORDER BY id;
SELECT count(*) AS same FROM doc JOIN before USING (id) WHERE id > 3 AND doc.*::text = before.*::text;
-- A token of somebody else, one that was cut, and a part that nobody can read
SELECT set_config('fernet.key', :'new' || ',' || :'old', false) \g /dev/null
CREATE TYPE indexed AS (token text, words tsvector);
CREATE TABLE failing (id int, jb jsonb, i indexed);
INSERT INTO failing VALUES (1, jsonb_build_array(:'stranger')), (2, jsonb_build_array(left(:'stranger', 70)));
INSERT INTO failing (id, i) VALUES (3, ROW(:'stranger', NULL)), (4, ROW('x', 'x'::tsvector));
\set VERBOSITY default
CALL fernet_rotate_column('failing', 'jb');
\set VERBOSITY terse
CALL fernet_rotate_column('failing', 'jb', on_unknown => 'leave');
DELETE FROM failing WHERE id = 2;
CALL fernet_rotate_column('failing', 'jb', on_unknown => 'leave');
CALL fernet_rotate_column('failing', 'jb', on_unknown => 'plaintext');
SELECT fernet_assert_rotated('failing', 'jb');
SELECT fernet_assert_rotated('failing', 'jb', on_unknown => 'leave', allow_empty => true);
SELECT fernet_assert_rotated('failing', 'jb', on_unknown => 'plaintext', allow_empty => true);
\set VERBOSITY default
CALL fernet_rotate_column('failing', 'i');
\set VERBOSITY terse
SELECT fernet_assert_rotated('failing', 'i', on_unknown => 'leave');
-- No token is no proof.
CREATE TABLE none AS SELECT '{}'::jsonb AS jb, ARRAY[1] AS numbers;
CALL fernet_rotate_column('none', 'jb');
SELECT fernet_assert_rotated('none', 'jb');
SELECT status, form, key_index, tokens FROM fernet_census('none', 'jb');
-- Documents are no plaintexts.
\set VERBOSITY default
CALL fernet_rotate_column('doc', 'jb', on_plaintext => 'encrypt');
CALL fernet_decrypt_column('doc', 'p', confirm => true);
CALL fernet_rotate_column('none', 'numbers');
\set VERBOSITY terse
CREATE TABLE written (jb jsonb);
CREATE TRIGGER encrypt BEFORE INSERT ON written FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('jb');
INSERT INTO written VALUES ('{}');
-- A domain inside refuses one value: all others are rotated. Its code runs as the
-- owner of the table, without the key, when a superuser rotates.
SET fernet.key = :'old';
CREATE ROLE regress_fernet_owner;
GRANT USAGE, CREATE ON SCHEMA regress_fernet_documents TO regress_fernet_owner;
CREATE TABLE ran (as_whom text);
GRANT INSERT ON ran TO regress_fernet_owner;
CREATE FUNCTION guard(value text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	IF current_setting('regress.guard', true) = 'on' THEN
		INSERT INTO regress_fernet_documents.ran VALUES (current_user);
		RETURN value NOT LIKE 'no:%';
	END IF;
	RETURN true;
END $$;
CREATE DOMAIN guarded AS text CHECK (guard(value));
CREATE TABLE owned (id int, list guarded[]);
ALTER TABLE owned OWNER TO regress_fernet_owner;
INSERT INTO owned SELECT i, ARRAY[CASE i WHEN 2 THEN 'no:' ELSE '' END || fernet_encrypt('secret')] FROM generate_series(1, 3) AS i;
SELECT set_config('fernet.key', :'new' || ',' || :'old', false) \g /dev/null
SET regress.guard = on;
CALL fernet_rotate_column('owned', 'list', dry_run => true);
\set VERBOSITY default
CALL fernet_rotate_column('owned', 'list');
\set VERBOSITY terse
RESET regress.guard;
SELECT DISTINCT as_whom FROM ran;
SELECT id, fernet_key_index(replace(list[1], 'no:', '')) FROM owned ORDER BY id;
SET search_path TO DEFAULT;
DROP SCHEMA regress_fernet_documents CASCADE;
DROP ROLE regress_fernet_owner;
