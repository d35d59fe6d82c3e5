--
-- fernet_find_tokens: every place of the database that holds tokens
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
CREATE EXTENSION IF NOT EXISTS hstore;
CREATE EXTENSION IF NOT EXISTS citext;
RESET client_min_messages;
LOAD 'pg_fernet';
\set a 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set b 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set c 'a2V5IEMgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
CREATE SCHEMA regress_fernet_find;
CREATE SCHEMA regress_fernet_other;
SET search_path = regress_fernet_find, public;
CREATE ROLE regress_fernet_finder;
CREATE ROLE regress_fernet_owner;
GRANT USAGE ON SCHEMA regress_fernet_find TO regress_fernet_finder;

-- all types, in one table, under three keys of which the session has two
SELECT set_config('fernet.key', :'a', false) \g /dev/null
CREATE TYPE pair AS (name text, secret text);
CREATE DOMAIN token_text AS text;
CREATE TABLE holder (id integer PRIMARY KEY, whole text, wide varchar(300), padded char(300), raw bytea, folded citext,
	a_domain token_text, document jsonb, text_document json, map hstore, markup xml, list text[], a_pair pair, pairs pair[],
	between int4range, words tsvector, plain text, "a Name" text);
INSERT INTO holder
SELECT i, fernet_encrypt('x'), fernet_encrypt('x'), fernet_encrypt('x'), fernet_encrypt('x')::bytea, encode(fernet_encrypt('x')::bytea, 'hex'),
	fernet_encrypt('x'), jsonb_build_object('a', jsonb_build_array(1, 'v1:' || fernet_encrypt('x'))), to_json(fernet_encrypt('x')),
	hstore(fernet_encrypt('x'), 'x'), ('<t a="' || fernet_encrypt('x') || '"/>')::xml, ARRAY[NULL, fernet_encrypt('x')],
	ROW('x', fernet_encrypt('x'))::pair, ARRAY[ROW('x', fernet_encrypt('x'))::pair], '[1,2)', 'some words', 'nothing',
	fernet_encrypt(fernet_encrypt('x'))
FROM generate_series(1, 3) AS i;
SELECT set_config('fernet.key', :'c', false) \g /dev/null
INSERT INTO holder (id, whole) VALUES (4, fernet_encrypt('x')), (5, left(fernet_encrypt('x'), 60)), (6, repeat('gAAAAA', 6000));
SELECT set_config('fernet.key', :'b' || ',' || :'a', false) \g /dev/null
INSERT INTO holder (id, whole, list) VALUES (7, 'Bearer ' || fernet_encrypt('x'), ARRAY[fernet_encrypt('y'), fernet_encrypt('z')]);
SELECT column_name, type, form, status, key_index, tokens, detail FROM fernet_find_tokens(ARRAY['regress_fernet_find']);
SELECT DISTINCT status, key_index, f.fingerprint = k.fingerprint AS same FROM fernet_find_tokens(relations => '{holder}') AS f LEFT JOIN fernet_keys() AS k USING (key_index) ORDER BY 1;
-- the census of each column says the same
SELECT f.column_name, f.status, f.form, f.key_index, f.tokens
FROM fernet_find_tokens(relations => '{holder}') AS f
WHERE f.status IN ('primary', 'secondary', 'unknown key') AND NOT EXISTS (
	SELECT FROM fernet_census(f.relation, f.column_name) AS c
	WHERE (c.status, c.form, c.tokens) = (f.status, f.form, f.tokens) AND c.key_index IS NOT DISTINCT FROM f.key_index);
-- without a key
SELECT set_config('fernet.key', '', false) \g /dev/null
SELECT column_name, form, status, key_index, tokens FROM fernet_find_tokens(relations => '{holder}') WHERE column_name IN ('whole', 'list', 'a Name');
SELECT set_config('fernet.key', :'b' || ',' || :'a', false) \g /dev/null

-- partitions are under their root, other children are tables of their own
CREATE TABLE root (id integer, secret text) PARTITION BY RANGE (id);
CREATE TABLE low PARTITION OF root FOR VALUES FROM (0) TO (10);
CREATE TABLE high (secret text, id integer) PARTITION BY RANGE (id);
CREATE TABLE regress_fernet_other.higher (gone integer, secret text, id integer);
ALTER TABLE regress_fernet_other.higher DROP COLUMN gone;
ALTER TABLE high ATTACH PARTITION regress_fernet_other.higher FOR VALUES FROM (10) TO (20);
ALTER TABLE root ATTACH PARTITION high FOR VALUES FROM (10) TO (20);
INSERT INTO root SELECT i, fernet_encrypt('x') FROM generate_series(0, 19) AS i;
CREATE TABLE parent (secret text);
CREATE TABLE child (more text) INHERITS (parent);
INSERT INTO parent VALUES (fernet_encrypt('x'));
INSERT INTO child VALUES (fernet_encrypt('x'), fernet_encrypt('x'));
CREATE TABLE regress_fernet_other.history (secret text);
INSERT INTO regress_fernet_other.history SELECT secret FROM root;
CREATE MATERIALIZED VIEW kept AS SELECT secret FROM parent;
CREATE MATERIALIZED VIEW not_filled AS SELECT secret FROM parent WITH NO DATA;
CREATE UNLOGGED TABLE unlogged AS SELECT secret FROM parent;
CREATE TEMPORARY TABLE temporary AS SELECT secret FROM parent;
CREATE VIEW a_view AS SELECT secret FROM parent;
SELECT relation, column_name, status, tokens FROM fernet_find_tokens('{regress_fernet_find}') WHERE relation <> 'holder'::regclass;
SELECT relation, column_name, status, tokens FROM fernet_find_tokens('{regress_fernet_other}');
SELECT relation, column_name, status, tokens FROM fernet_find_tokens('{regress_fernet_find, regress_fernet_other}') WHERE relation <> 'holder'::regclass;
SELECT relation, column_name, status, tokens, detail FROM fernet_find_tokens(relations => '{high, low, temporary, a_view, kept, not_filled}');
SELECT relation, column_name, status, tokens FROM fernet_find_tokens('{regress_fernet_other}', '{root, regress_fernet_other.history}');

-- places that are not in tables
SELECT set_config('find.token', fernet_encrypt('x'), false) \g /dev/null
\set token 'current_setting(''find.token'')'
CREATE FUNCTION run(statement text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE replace(statement, 'TOKEN', quote_literal(current_setting('find.token'))); END $$;
SELECT run('CREATE FUNCTION as_text() RETURNS text LANGUAGE plpgsql AS ''BEGIN RETURN ''TOKEN''; END''') \g /dev/null
SELECT run('CREATE FUNCTION as_tree(a text DEFAULT TOKEN) RETURNS text LANGUAGE sql RETURN TOKEN') \g /dev/null
SELECT run('CREATE FUNCTION as_setting() RETURNS text LANGUAGE sql SET find.other = TOKEN AS ''SELECT 1''') \g /dev/null
CREATE TABLE around (id integer);
INSERT INTO around VALUES (1);
SELECT run('ALTER TABLE around ADD COLUMN added text DEFAULT TOKEN, ADD COLUMN made text GENERATED ALWAYS AS (TOKEN || id) STORED') \g /dev/null
SELECT run('ALTER TABLE around ADD COLUMN later token_text[] DEFAULT ARRAY[TOKEN]::token_text[]') \g /dev/null
SELECT run('ALTER TABLE around ADD CONSTRAINT is_other CHECK (added <> ''x'' || TOKEN)') \g /dev/null
SELECT run('CREATE POLICY mine ON around USING (added = TOKEN) WITH CHECK (made <> TOKEN)') \g /dev/null
SELECT run('CREATE TRIGGER changed BEFORE UPDATE ON around FOR EACH ROW WHEN (NEW.added <> TOKEN) EXECUTE FUNCTION suppress_redundant_updates_trigger()') \g /dev/null
SELECT run('CREATE TRIGGER given BEFORE UPDATE ON around FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger(''added'', TOKEN)') \g /dev/null
SELECT run('CREATE VIEW around_view AS SELECT id FROM around WHERE added = TOKEN') \g /dev/null
SELECT run('CREATE INDEX around_index ON around (id) WHERE added = TOKEN') \g /dev/null
SELECT run('CREATE DOMAIN around_domain AS text DEFAULT TOKEN CHECK (VALUE <> TOKEN)') \g /dev/null
SELECT run('CREATE TABLE around_list (t text) PARTITION BY LIST (t)') \g /dev/null
SELECT run('CREATE TABLE around_part PARTITION OF around_list FOR VALUES IN (TOKEN)') \g /dev/null
SELECT run('ALTER ROLE regress_fernet_finder SET find.other = TOKEN') \g /dev/null
SELECT lo_from_bytea(4000000001, convert_to('a stream: ' || :token, 'UTF8')) \g /dev/null
SELECT lo_from_bytea(4000000002, convert_to(:token, 'UTF8')) \g /dev/null
-- across pages and windows of a stream, around holes, and without an end of its digits
SELECT lo_from_bytea(4000000003, convert_to(repeat('a b ', 262144 - 20) || :token || repeat(' a', 900), 'UTF8')) \g /dev/null
SELECT lo_create(4000000004), lo_put(4000000004, 5000, convert_to(left(:token, 80), 'UTF8')), lo_put(4000000004, 9000, convert_to(substr(:token, 81), 'UTF8')) \g /dev/null
SELECT lo_from_bytea(4000000005, convert_to(repeat(encode(convert_to(:token, 'UTF8'), 'base64') || E'\n-\n', 20000), 'UTF8')) \g /dev/null
SELECT relation, column_name, type, form, status, tokens, detail FROM fernet_find_tokens()
WHERE type <> 'text' AND detail ~ 'regress_fernet_find|large object 40000|finder' OR relation::text ~ '^around' ORDER BY type COLLATE "C", detail COLLATE "C", form COLLATE "C";
-- only whole databases have settings and large objects
SELECT DISTINCT type FROM fernet_find_tokens('{regress_fernet_find}') WHERE relation IS NULL ORDER BY 1;
SELECT DISTINCT type FROM fernet_find_tokens(relations => '{around}') WHERE type <> 'text' ORDER BY 1;

-- what is not read is named
ALTER TABLE holder OWNER TO regress_fernet_owner;
GRANT SELECT (whole, list, words) ON holder TO regress_fernet_finder;
GRANT SELECT ON root TO regress_fernet_finder;
CREATE TABLE guarded (secret text);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON guarded TO regress_fernet_finder;
CREATE TABLE numbers (id integer, at timestamptz, amounts numeric[], flag boolean, letter "char", number uuid);
INSERT INTO numbers VALUES (1, now(), '{1}', true, 'x', gen_random_uuid());
GRANT SELECT ON numbers TO regress_fernet_finder;
SET ROLE regress_fernet_finder;
SELECT relation, column_name, type, status, tokens, detail FROM fernet_find_tokens('{regress_fernet_find, regress_fernet_other}')
WHERE type IS DISTINCT FROM 'function' AND detail !~ '^(the|policy|trigger|constraint|view|index|domain)' OR detail IS NULL;
SELECT type, status, detail ~ '^This role may not read [0-9]+ of [0-9]+ large objects' AS told FROM fernet_find_tokens() WHERE relation IS NULL AND type = 'large object';
RESET ROLE;

-- a sample says that it is one
SELECT relation, column_name, status, tokens, detail FROM fernet_find_tokens(relations => '{root}', sample_percent => 1);
SELECT detail FROM fernet_find_tokens(sample_percent => 99.9) WHERE type = 'sample' AND status <> 'not read';

-- arguments
SELECT fernet_find_tokens(sample_percent => 0);
SELECT fernet_find_tokens(sample_percent => 100.1);
SELECT fernet_find_tokens(sample_percent => 'NaN');
SELECT fernet_find_tokens(sample_percent => NULL);
SELECT fernet_find_tokens('{no_such_schema}');
SELECT fernet_find_tokens('{}');
SELECT fernet_find_tokens(ARRAY[NULL]::name[]);
SELECT fernet_find_tokens(relations => '{4294967295}');
SELECT fernet_find_tokens(relations => '{}');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT fernet_find_tokens();
ROLLBACK;
-- the path of the session is as it was, and no lock is left
BEGIN;
SELECT count(*) > 0 AS found FROM fernet_find_tokens('{regress_fernet_find}');
SHOW search_path;
SELECT count(*) FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation WHERE l.pid = pg_backend_pid() AND c.relnamespace = 'regress_fernet_find'::regnamespace;
COMMIT;

SET client_min_messages = warning;
SELECT count(lo_unlink(oid)) FROM pg_largeobject_metadata WHERE oid > 4000000000;
DROP SCHEMA regress_fernet_find, regress_fernet_other CASCADE;
DROP ROLE regress_fernet_finder, regress_fernet_owner;
DROP EXTENSION hstore, citext;
