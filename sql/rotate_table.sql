--
-- Several columns of a table in one job: each row gets all of its new values in
-- one version, and a value that the table refuses costs no other
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
LOAD 'pg_fernet';
\set old 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set keys 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=,a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
CREATE SCHEMA regress_fernet_table;
SET search_path = regress_fernet_table, public;

-- types of all kinds, NULLs, partitions with other column orders and dropped
-- columns, a generated column and an index over two of the columns
CREATE TABLE many (id integer, note text, a text, b bytea, c jsonb, d text[], "e "" f" varchar(200),
	both_begin text GENERATED ALWAYS AS (right(a, 8) || coalesce(right("e "" f", 8), '')) STORED)
	PARTITION BY RANGE (id);
CREATE TABLE many_1 (d text[], gone text, c jsonb, b bytea, "e "" f" varchar(200), a text, note text, id integer,
	both_begin text GENERATED ALWAYS AS (right(a, 8) || coalesce(right("e "" f", 8), '')) STORED);
ALTER TABLE many_1 DROP COLUMN gone;
ALTER TABLE many ATTACH PARTITION many_1 FOR VALUES FROM (1) TO (31);
CREATE TABLE many_2 PARTITION OF many DEFAULT;
CREATE UNIQUE INDEX ON many (id, a, "e "" f");
SET fernet.key = :'old';
INSERT INTO many SELECT i, 'note ' || i, fernet_encrypt('a' || i),
	CASE WHEN i % 3 > 0 THEN convert_to(fernet_encrypt('b' || i), 'UTF8') END,
	jsonb_build_object('n', i, 'key', fernet_encrypt('c' || i)),
	ARRAY[fernet_encrypt('d' || i), NULL, 'plain'],
	CASE WHEN i % 4 > 0 THEN fernet_encrypt('e' || i) END
FROM generate_series(1, 60) AS i;
SET fernet.key = :'keys';
CREATE VIEW state AS SELECT count(*),
	count(*) FILTER (WHERE fernet_key_index(a) = 1 AND fernet_decrypt(a) = 'a' || id) AS a,
	count(*) FILTER (WHERE fernet_key_index(b) = 1 AND fernet_decrypt(b) = 'b' || id) AS b,
	count(*) FILTER (WHERE fernet_key_index(c->>'key') = 1 AND fernet_decrypt(c->>'key') = 'c' || id AND c->>'n' = id::text) AS c,
	count(*) FILTER (WHERE fernet_key_index(d[1]) = 1 AND fernet_decrypt(d[1]) = 'd' || id AND d[2:3] IS NOT DISTINCT FROM ARRAY[NULL, 'plain']) AS d,
	count(*) FILTER (WHERE fernet_key_index("e "" f") = 1 AND fernet_decrypt("e "" f") = 'e' || id) AS e,
	count(*) FILTER (WHERE both_begin = right(a, 8) || coalesce(right("e "" f", 8), '') AND note = 'note ' || id) AS others
FROM many;
CREATE TEMPORARY TABLE writes (changed text);
CREATE FUNCTION count_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO writes VALUES (concat_ws(' ', TG_TABLE_NAME, TG_ARGV[0]));
	RETURN NULL;
END $$;
CREATE TRIGGER count_write AFTER UPDATE ON many FOR EACH ROW EXECUTE FUNCTION count_write();

-- which columns, nobody guesses
CALL fernet_rotate_table('many');
CALL fernet_rotate_table('many', NULL, dry_run => true);
CALL fernet_rotate_table('many', '{a, b}', dry_run => true);
SELECT * FROM state;
SET client_min_messages = notice;
\set VERBOSITY terse
CALL fernet_rotate_table('many', '{a, b, c}', slice => 2, slices => 2);
\set VERBOSITY default
SET client_min_messages = warning;
CALL fernet_rotate_table('many', '{"e \" f", d, c, b, a}');
SELECT * FROM state;
-- one write for each row
SELECT changed, count(*) FROM writes GROUP BY 1 ORDER BY changed COLLATE "C";
SET enable_seqscan = off;
SELECT count(*) AS found_by_index FROM many AS m WHERE EXISTS (SELECT FROM many AS o WHERE o.id = m.id AND o.a = m.a AND o."e "" f" IS NOT DISTINCT FROM m."e "" f");
RESET enable_seqscan;
-- again: nothing is left to do
CALL fernet_rotate_table('many', '{a, b, c, d, "e \" f"}');
-- a column of plain text is none of its business
CALL fernet_rotate_table('many', '{note, a}');
SELECT columns, state, rotated, unchanged, failed FROM fernet_rotation WHERE relation = 'regress_fernet_table.many' ORDER BY id;

-- arguments
CALL fernet_rotate_table('many', '{}');
CALL fernet_rotate_table('many', '{a, NULL}');
CALL fernet_rotate_table('many', '{a, b, a}');
CALL fernet_rotate_table('many', '{a, missing}');
CALL fernet_rotate_table('many', '{a, id}');
CALL fernet_rotate_table('many', '{a, both_begin}');
CALL fernet_rotate_table('state', '{a, b}');
CALL fernet_rotate_table('state');
CALL fernet_rotate_table(NULL, '{a}');
CALL fernet_rotate_table('many', '{a}', on_unknown => NULL);
CALL fernet_rotate_table('many', '{a}', slice => 3, slices => 2);
CREATE TABLE numbers (id integer, at timestamptz);
CALL fernet_rotate_table('numbers');
BEGIN;
CALL fernet_rotate_table('many', '{a, b}');
ROLLBACK;

-- UPDATE on every column
CREATE ROLE regress_fernet_table;
GRANT USAGE ON SCHEMA regress_fernet_table TO regress_fernet_table;
GRANT SELECT ON many TO regress_fernet_table;
GRANT UPDATE (a, c) ON many TO regress_fernet_table;
SET ROLE regress_fernet_table;
CALL fernet_rotate_table('many', '{a, b, c}');
CALL fernet_rotate_table('many', '{a, b, c}', dry_run => true);
CALL fernet_rotate_table('many', '{a, c}', dry_run => true);
RESET ROLE;
DROP VIEW state;
DROP TABLE many;

-- triggers OF a column fire for the rows that change it, whichever row comes
-- first, and a generated column is computed in any case
CREATE TABLE partly (id integer, a text, b text, of_b text GENERATED ALWAYS AS (right(b, 8)) STORED);
SET fernet.key = :'old';
INSERT INTO partly VALUES (1, fernet_encrypt('a'), NULL), (2, NULL, fernet_encrypt('b')),
	(3, fernet_encrypt('a'), fernet_encrypt('b')), (4, NULL, NULL);
SET fernet.key = :'keys';
CREATE TRIGGER of_a AFTER UPDATE OF a ON partly FOR EACH ROW EXECUTE FUNCTION count_write('a');
CREATE TRIGGER of_b AFTER UPDATE OF b ON partly FOR EACH ROW EXECUTE FUNCTION count_write('b');
CREATE TRIGGER of_id AFTER UPDATE OF id ON partly FOR EACH ROW EXECUTE FUNCTION count_write('id');
CREATE TRIGGER of_b_once AFTER UPDATE OF b ON partly FOR EACH STATEMENT EXECUTE FUNCTION count_write('b once');
TRUNCATE writes;
SET client_min_messages = notice;
\set VERBOSITY terse
CALL fernet_rotate_table('partly', '{a, b}');
\set VERBOSITY default
SET client_min_messages = warning;
SELECT changed, count(*) FROM writes GROUP BY 1 ORDER BY changed COLLATE "C";
SELECT id, fernet_key_index(a) AS a, fernet_key_index(b) AS b, of_b = right(b, 8) AS generated FROM partly ORDER BY id;
DROP TABLE partly;

-- what the table refuses, by column: the other values of the row are rotated, and
-- the warning names the place that the row has then
CREATE TABLE refusing (id integer PRIMARY KEY, a text, b text, c text) WITH (autovacuum_enabled = off);
SET fernet.key = :'old';
INSERT INTO refusing SELECT i, fernet_encrypt('a' || i), fernet_encrypt('b' || i), fernet_encrypt('c' || i)
FROM generate_series(1, 6) AS i;
SET fernet.key = :'keys';
CREATE TABLE kept AS SELECT id, a, b, c FROM refusing;
CREATE VIEW refused AS SELECT ctid, id, fernet_key_index(a) AS a, fernet_key_index(b) AS b, fernet_key_index(c) AS c FROM refusing ORDER BY id;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.id = 2 AND NEW.b <> OLD.b THEN
		RAISE 'no';
	ELSIF NEW.id = 3 AND NEW.b <> OLD.b THEN
		RETURN NULL;
	ELSIF NEW.id = 4 AND (NEW.a <> OLD.a OR NEW.c <> OLD.c) THEN
		RAISE 'no';
	ELSIF NEW.id = 5 THEN
		RAISE 'no';
	ELSIF NEW.id = 6 AND NEW.a <> OLD.a AND NEW.b <> OLD.b THEN
		RAISE 'not both';
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON refusing FOR EACH ROW EXECUTE FUNCTION refuse();
-- in one batch, or in more if that takes long: so where the rows go is not told of,
-- nor what becomes of the last, which a second attempt may rotate
SET client_min_messages = error;
\set VERBOSITY sqlstate
CALL fernet_rotate_table('refusing', '{a, b, c}');
\set VERBOSITY default
SET client_min_messages = warning;
SELECT id, a, b, c FROM refused WHERE id < 6;
TRUNCATE refusing;
INSERT INTO refusing SELECT * FROM kept;
-- and in batches of a row
CALL fernet_rotate_table('refusing', '{a, b, c}', batch_rows => 1);
SELECT * FROM refused;
DROP TRIGGER refuse ON refusing;
-- in a dry run, of what needs no write; and an AFTER trigger OF a column
TRUNCATE refusing;
INSERT INTO refusing SELECT * FROM kept WHERE id < 3;
ALTER TABLE refusing ADD CONSTRAINT old_b CHECK (id <> 2 OR left(b, 30) = '') NOT VALID;
ALTER TABLE refusing ADD CONSTRAINT cross_check CHECK (a <> b AND b <> c);
CALL fernet_rotate_table('refusing', '{a, b, c}', dry_run => true);
ALTER TABLE refusing DROP CONSTRAINT old_b;
CREATE FUNCTION refuse_later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
CREATE TRIGGER refuse_b AFTER UPDATE OF b ON refusing FOR EACH ROW WHEN (NEW.id = 2) EXECUTE FUNCTION refuse_later();
CALL fernet_rotate_table('refusing', '{a, b, c}', batch_rows => 1);
SELECT * FROM refused;
DROP TRIGGER refuse_b ON refusing;
CALL fernet_rotate_table('refusing', '{a, b, c}', batch_rows => 1);
-- values that no key decrypts, by column
UPDATE refusing SET b = fernet_encrypt('b'), c = left(a, 99);
SET fernet.key = :'old';
UPDATE refusing SET a = fernet_encrypt('a');
SELECT fernet_generate_key() AS other \gset
SET fernet.key = :'other';
UPDATE refusing SET b = fernet_encrypt('b') WHERE id = 1;
SET fernet.key = :'keys';
CALL fernet_rotate_table('refusing', '{a, b, c}', batch_rows => 1);
CALL fernet_rotate_table('refusing', '{a, b}', on_unknown => 'leave');
SELECT * FROM refused;
DROP VIEW refused;

-- a key of another table, and one of a pair of columns
TRUNCATE refusing;
INSERT INTO refusing SELECT * FROM kept WHERE id < 3;
ALTER TABLE refusing ADD UNIQUE (a), ADD UNIQUE (b, c);
CREATE TABLE children (parent text REFERENCES refusing (a), b text, c text, FOREIGN KEY (b, c) REFERENCES refusing (b, c) ON UPDATE CASCADE);
INSERT INTO children SELECT a, b, c FROM refusing WHERE id = 1;
CALL fernet_rotate_table('refusing', '{a, b, c}');
SELECT id, fernet_key_index(r.a) AS a, fernet_key_index(r.b) AS b, fernet_key_index(r.c) AS c, r.b = children.b AND r.c = children.c AS cascaded
FROM refusing AS r LEFT JOIN children ON parent = a ORDER BY id;

-- the gate of a whole table: all columns that can hold tokens, whatever else is in
-- them; what nobody can search is named
SET fernet.key = :'old';
CREATE TABLE gated (id integer, note text, a text, b jsonb, "C" text[], words tsvector, derived text GENERATED ALWAYS AS (a) STORED) PARTITION BY RANGE (id);
CREATE TABLE gated_1 PARTITION OF gated FOR VALUES FROM (1) TO (3);
CREATE TABLE gated_2 PARTITION OF gated DEFAULT;
SELECT fernet_assert_rotated('gated');
SELECT fernet_assert_rotated('gated', allow_empty => true) IS NOT NULL AS silent;
INSERT INTO gated SELECT i, 'note', fernet_encrypt('a'), jsonb_build_object('k', fernet_encrypt('b')), ARRAY['x', fernet_encrypt('c')], 'words'
FROM generate_series(1, 4) AS i;
SET client_min_messages = notice;
SELECT fernet_assert_rotated('gated') IS NOT NULL AS silent;
SET client_min_messages = warning;
SET fernet.key = :'keys';
SELECT fernet_assert_rotated('gated');
CALL fernet_rotate_table('gated', '{a, "C"}', batch_rows => 1);
SELECT fernet_assert_rotated('gated', NULL, 'fail');
CALL fernet_rotate_table('gated', '{b}');
SELECT fernet_assert_rotated('gated') IS NOT NULL AS silent;
SELECT fernet_assert_rotated('gated', fingerprint => (SELECT fingerprint FROM fernet_keys() WHERE key_index = 2));
-- a token of somebody else, a token that was cut, and a column without rights
SET fernet.key = :'other';
UPDATE gated SET note = fernet_encrypt('theirs') WHERE id = 2;
SET fernet.key = :'keys';
SELECT fernet_assert_rotated('gated');
SET client_min_messages = notice;
SELECT fernet_assert_rotated('gated', on_unknown => 'leave') IS NOT NULL AS silent;
SET client_min_messages = warning;
UPDATE gated SET note = left(a, 90) WHERE id = 2;
SELECT fernet_assert_rotated('gated');
UPDATE gated SET note = 'note' WHERE id = 2;
GRANT SELECT (a, b) ON gated TO regress_fernet_table;
SET ROLE regress_fernet_table;
SELECT fernet_assert_rotated('gated');
SELECT fernet_assert_rotated('gated', 'a') IS NOT NULL AS silent;
RESET ROLE;
SELECT fernet_assert_rotated('numbers', allow_empty => true);
SELECT fernet_assert_rotated(NULL, 'a');

DROP SCHEMA regress_fernet_table CASCADE;
DROP ROLE regress_fernet_table;
