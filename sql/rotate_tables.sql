--
-- Tables of every shape: partitions, inheritance, out-of-line values, constraints that
-- refuse some of the new values, generated columns
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
LOAD 'pg_fernet';
\set old 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set keys 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=,a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
CREATE SCHEMA regress_fernet_tables;
SET search_path = regress_fernet_tables, public;

-- partitions with other column orders and dropped columns, and partitions of a
-- partition
CREATE TABLE parts (id integer, note text, token text) PARTITION BY RANGE (id);
CREATE TABLE part_1 (token text, gone integer, id integer, note text);
ALTER TABLE part_1 DROP COLUMN gone;
ALTER TABLE parts ATTACH PARTITION part_1 FOR VALUES FROM (1) TO (101);
CREATE TABLE part_2 (gone text, id integer, token text, note text) PARTITION BY LIST (note);
ALTER TABLE part_2 DROP COLUMN gone;
CREATE TABLE part_2_a (note text, token text, id integer);
ALTER TABLE part_2 ATTACH PARTITION part_2_a FOR VALUES IN ('a');
CREATE TABLE part_2_b PARTITION OF part_2 DEFAULT;
ALTER TABLE parts ATTACH PARTITION part_2 FOR VALUES FROM (101) TO (201);
CREATE TABLE part_3 PARTITION OF parts DEFAULT;
SET fernet.key = :'old';
INSERT INTO parts SELECT i, chr(ascii('a') + i % 3), fernet_encrypt('secret ' || i) FROM generate_series(1, 300) AS i;
SET fernet.key = :'keys';
CREATE VIEW state AS SELECT tableoid::regclass AS "table", count(*), count(*) FILTER (WHERE fernet_key_index(token) = 1) AS first_key,
	count(*) FILTER (WHERE fernet_decrypt(token) = 'secret ' || id AND note = chr(ascii('a') + id % 3)) AS same
FROM parts GROUP BY tableoid ORDER BY tableoid::regclass::text COLLATE "C";
-- one of them, then all of them
CALL fernet_rotate_column('part_2', 'token');
SELECT * FROM state;
CALL fernet_rotate_column('parts', 'token', dry_run => true);
CALL fernet_rotate_column('parts', 'token');
SELECT * FROM state;
-- what fails is named with its partition
UPDATE part_2_a SET token = 'a plaintext' WHERE id = 102;
\set VERBOSITY sqlstate
CALL fernet_rotate_column('parts', 'token');
\set VERBOSITY default
SELECT count(*) FROM parts WHERE fernet_key_index(token) IS NULL;
-- without partitions
CREATE TABLE no_parts (token text) PARTITION BY HASH (token);
CALL fernet_rotate_column('no_parts', 'token');

-- inheritance: a table and its children, with columns of their own
CREATE TABLE parent (id integer, token text);
CREATE TABLE child (extra integer[]) INHERITS (parent);
CREATE TABLE grandchild (token text, extra integer[], more text) INHERITS (child);
SET fernet.key = :'old';
INSERT INTO parent SELECT i, fernet_encrypt('secret ' || i) FROM generate_series(1, 5) AS i;
INSERT INTO child SELECT i, fernet_encrypt('secret ' || i), ARRAY[i, i] FROM generate_series(6, 10) AS i;
INSERT INTO grandchild SELECT i, fernet_encrypt('secret ' || i), ARRAY[i, i], 'more' FROM generate_series(11, 15) AS i;
SET fernet.key = :'keys';
-- a batch is of one table, the procedure goes down from where it is told to
SELECT * FROM fernet_rotate_batch('parent', 'token');
CALL fernet_rotate_column('child', 'token');
CALL fernet_rotate_column('parent', 'token');
SELECT count(*), count(*) FILTER (WHERE fernet_key_index(token) = 1 AND fernet_decrypt(token) = 'secret ' || id) AS right FROM parent;
SELECT count(*) FILTER (WHERE extra = ARRAY[id, id] AND more = 'more') AS right FROM grandchild;

-- values out of line, compressed or not, in this column and in others
CREATE TABLE toasted (id integer, big bytea, token text, other text);
ALTER TABLE toasted ALTER token SET STORAGE EXTERNAL, ALTER big SET STORAGE EXTERNAL;
SET fernet.key = :'old';
INSERT INTO toasted SELECT i, convert_to(repeat('big', i * 500), 'UTF8'), fernet_encrypt(repeat('secret ', i * 300)), repeat('other', i * 5000)
FROM generate_series(0, 9) AS i;
ALTER TABLE toasted ALTER token SET STORAGE EXTENDED;
INSERT INTO toasted SELECT id + 10, big, token, other FROM toasted;
SET fernet.key = :'keys';
CALL fernet_rotate_column('toasted', 'token');
SELECT count(*), count(*) FILTER (WHERE fernet_key_index(token) = 1) AS first_key,
	count(*) FILTER (WHERE fernet_decrypt(token) = repeat('secret ', id % 10 * 300)) AS same,
	count(*) FILTER (WHERE big = convert_to(repeat('big', id % 10 * 500), 'UTF8') AND other = repeat('other', id % 10 * 5000)) AS others_same
FROM toasted;

-- constraints that refuse some of the new values: those fail, by the constraint's
-- SQLSTATE, and the others are rotated. Here they are without padding, which is
-- added: 98 characters become 100, and 119 become 120
CREATE DOMAIN odd_token AS text CHECK (length(VALUE) <> 100);
CREATE TABLE checked (id integer, narrow varchar(119), d odd_token, c text, CHECK (id <> 3 OR right(c, 1) <> '='));
SET fernet.key = :'old';
INSERT INTO checked SELECT i, t, t, t
FROM (SELECT i, rtrim(fernet_encrypt(repeat('x', i * 6)), '=') AS t FROM generate_series(1, 4) AS i) AS v;
SELECT id, length(narrow) FROM checked ORDER BY id;
SET fernet.key = :'keys';
CALL fernet_rotate_column('checked', 'narrow');
\echo :SQLSTATE
CALL fernet_rotate_column('checked', 'd');
CALL fernet_rotate_column('checked', 'c');
\set VERBOSITY sqlstate
CALL fernet_rotate_column('checked', 'narrow');
CALL fernet_rotate_column('checked', 'd');
\set VERBOSITY default
SELECT id, fernet_key_index(narrow) AS narrow, fernet_key_index(d) AS d, fernet_key_index(c) AS c FROM checked ORDER BY id;

-- generated columns that depend on the token are made anew, others stay
CREATE TABLE generated (id integer, token text, size integer GENERATED ALWAYS AS (length(token)) STORED,
	tail text GENERATED ALWAYS AS (right(token, 20)) STORED CHECK (id <> 2 OR tail NOT LIKE '%='),
	twice integer GENERATED ALWAYS AS (id * 2) STORED);
SET fernet.key = :'old';
INSERT INTO generated SELECT i, rtrim(fernet_encrypt('secret'), '=') FROM generate_series(1, 3) AS i;
SET fernet.key = :'keys';
CALL fernet_rotate_column('generated', 'token');
SELECT id, size, tail = right(token, 20) AS tail, twice, fernet_key_index(token) FROM generated ORDER BY id;
-- one that must not be NULL, and one that cannot be made, refuse the value as well,
-- and nobody is told what it was
CREATE TABLE never_null (id integer, token text, whole text GENERATED ALWAYS AS (CASE WHEN id <> 2 OR right(token, 1) <> '=' THEN 'whole' END) STORED NOT NULL);
CREATE TABLE never_made (id integer, token text, whole integer GENERATED ALWAYS AS (CASE WHEN id <> 2 OR right(token, 1) <> '=' THEN 1 ELSE token::integer END) STORED);
SET fernet.key = :'old';
INSERT INTO never_null SELECT i, rtrim(fernet_encrypt('secret'), '=') FROM generate_series(1, 3) AS i;
INSERT INTO never_made SELECT id, token FROM never_null;
SET fernet.key = :'keys';
CALL fernet_rotate_column('never_null', 'token');
CALL fernet_rotate_column('never_made', 'token');
\set VERBOSITY sqlstate
CALL fernet_rotate_column('never_null', 'token');
CALL fernet_rotate_column('never_made', 'token');
\set VERBOSITY default
SELECT id, fernet_key_index(token) FROM never_null ORDER BY id;
SELECT id, fernet_key_index(token) FROM never_made ORDER BY id;

-- what a dropped column held goes with the rotation, out of line values too, as it
-- goes with UPDATE
CREATE TABLE dropped (id integer, plain text, big text, token text);
ALTER TABLE dropped ALTER big SET STORAGE EXTERNAL;
SET fernet.key = :'old';
INSERT INTO dropped SELECT i, repeat('p', 500), repeat('b', 10000), fernet_encrypt('secret ' || i) FROM generate_series(1, 20) AS i;
SET fernet.key = :'keys';
SELECT reltoastrelid::regclass AS toast FROM pg_class WHERE oid = 'dropped'::regclass \gset
CREATE EXTENSION pageinspect;
PREPARE look AS
SELECT count(*) AS rows, count(*) FILTER (WHERE position(convert_to(repeat('p', 100), 'UTF8') IN t_data) > 0) AS with_the_dropped
FROM generate_series(0, pg_relation_size('dropped') / 8192 - 1) AS page, heap_page_items(get_raw_page('dropped', page::integer))
WHERE t_data IS NOT NULL;
EXECUTE look;
ALTER TABLE dropped DROP COLUMN plain, DROP COLUMN big;
CALL fernet_rotate_column('dropped', 'token');
VACUUM (TRUNCATE) dropped;
SELECT count(*) AS chunks FROM :toast;
EXECUTE look;
DEALLOCATE look;
DROP EXTENSION pageinspect;
SELECT count(*) FILTER (WHERE fernet_decrypt(token) = 'secret ' || id) AS same FROM dropped;

SET search_path TO DEFAULT;
DROP SCHEMA regress_fernet_tables CASCADE;
