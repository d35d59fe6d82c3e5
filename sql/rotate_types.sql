--
-- Types of columns: citext, char(n) and domains over them hold tokens; of other
-- types, an error says what can be done
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
LOAD 'pg_fernet';
\set old 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set keys 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=,a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
CREATE SCHEMA regress_fernet_types;
SET search_path = regress_fernet_types, public;
CREATE EXTENSION citext SCHEMA regress_fernet_types;
CREATE DOMAIN mail AS citext CHECK (VALUE <> 'never');
CREATE DOMAIN code AS char(150) CHECK (length(VALUE) < 120);

-- every way to work on a column, for each type
SET fernet.key = :'old';
CREATE TABLE secrets (id integer, ci citext, d mail, c char(150), dc code, b bpchar);
INSERT INTO secrets SELECT i, fernet_encrypt('Secret ' || i), fernet_encrypt('Secret ' || i), fernet_encrypt('Secret ' || i),
	fernet_encrypt('Secret ' || i), fernet_encrypt('Secret ' || i) FROM generate_series(1, 3) AS i;
INSERT INTO secrets VALUES (4, 'Plain', 'Plain', 'Plain', 'Plain', 'Plain'), (5, '', '', '', '', ''), (6, NULL, NULL, NULL, NULL, NULL);
SET fernet.key = :'keys';
SELECT name, status, form, key_index, tokens FROM unnest(ARRAY['ci', 'd', 'c', 'dc', 'b']) AS name, fernet_census('secrets', name)
WHERE tokens > 0 ORDER BY name, status;
SELECT rotated, unchanged, failed FROM fernet_rotate_batch('secrets', 'dc');
CALL fernet_rotate_column('secrets', 'ci', dry_run => true, on_plaintext => 'leave');
CALL fernet_rotate_column('secrets', 'ci', on_plaintext => 'encrypt');
CALL fernet_rotate_column('secrets', 'd', on_plaintext => 'encrypt');
CALL fernet_rotate_column('secrets', 'c', dry_run => true, on_plaintext => 'leave');
CALL fernet_rotate_column('secrets', 'c', on_plaintext => 'encrypt');
CALL fernet_rotate_column('secrets', 'dc', on_plaintext => 'encrypt');
CALL fernet_rotate_column('secrets', 'b', on_plaintext => 'encrypt');
SELECT fernet_assert_rotated('secrets', name) FROM unnest(ARRAY['ci', 'd', 'c', 'dc', 'b']) AS name;
SELECT id, fernet_decrypt(ci) AS ci, fernet_decrypt(d) AS d, fernet_decrypt(c) AS c, fernet_decrypt(dc) AS dc, fernet_decrypt(b) AS b,
	octet_length(c) AS bytes, octet_length(dc) AS of_domain, octet_length(b) AS without_width FROM secrets ORDER BY id;
CALL fernet_rotate_column('secrets', 'c');
CALL fernet_decrypt_column('secrets', 'ci', confirm => true);
CALL fernet_decrypt_column('secrets', 'c', confirm => true);
SELECT id, ci, c, octet_length(c) AS bytes FROM secrets ORDER BY id;

-- a token that does not fit
CREATE TABLE narrow (c char(120));
INSERT INTO narrow VALUES (repeat('x', 60));
CALL fernet_rotate_column('narrow', 'c', on_plaintext => 'encrypt');
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON narrow FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('c');
INSERT INTO narrow VALUES (repeat('y', 60));
-- blanks at the end are no part of a char(n)
INSERT INTO narrow VALUES ('z'), ('');
SELECT octet_length(c) AS bytes, '[' || fernet_decrypt(c) || ']' AS plaintext FROM narrow WHERE fernet_is_token(c);

-- the trigger
CREATE TABLE written (ci citext, d mail, c char(150), dc code);
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON written
	FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('ci', 'd', 'c', 'dc');
INSERT INTO written VALUES ('One', 'Two', 'Three', 'Four');
INSERT INTO written SELECT ci, d, c, dc FROM written;
SELECT fernet_decrypt(ci) AS ci, fernet_decrypt(d) AS d, fernet_decrypt(c) AS c, fernet_decrypt(dc) AS dc, octet_length(c) AS bytes
FROM written;
SELECT count(DISTINCT c) AS different FROM written;

-- types that hold no token, or that nobody can search for one
CREATE TYPE refers AS (words tsvector, n integer);
CREATE TABLE others (i integer, n numeric, a integer[], r int4range, v tsvector, c refers);
CALL fernet_rotate_column('others', 'i');
CALL fernet_rotate_column('others', 'n');
\echo :SQLSTATE
CALL fernet_rotate_column('others', 'a');
CALL fernet_rotate_column('others', 'r');
CALL fernet_rotate_column('others', 'v');
CALL fernet_rotate_column('others', 'c');
-- a citext of somebody else is none
CREATE SCHEMA regress_fernet_types_too;
CREATE TYPE regress_fernet_types_too.citext AS (token text);
CREATE TABLE pretended (token regress_fernet_types_too.citext);
CALL fernet_decrypt_column('pretended', 'token', confirm => true);

SET search_path TO DEFAULT;
DROP SCHEMA regress_fernet_types_too, regress_fernet_types CASCADE;
