--
-- Strings in documents: encrypted by the trigger, decrypted for views
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
LOAD 'pg_fernet';
CREATE SCHEMA regress_fernet_encrypt_json;
SET search_path = regress_fernet_encrypt_json, public;
\set VERBOSITY terse
\set key 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set other 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
SET fernet.key = :'other';
SELECT fernet_encrypt('of somebody else') AS stranger \gset
SET fernet.key = :'key';
SELECT fernet_encrypt('made elsewhere') AS token \gset

--
-- fernet_decrypt_json
--
-- d is a document with the word T for each of its tokens.
CREATE FUNCTION d(document jsonb) RETURNS text LANGUAGE sql AS
	$$ SELECT regexp_replace(document::text, 'gAAAAA[A-Za-z0-9_-]{92,}={0,2}', 'T', 'g') $$;
CREATE TABLE secrets AS SELECT jsonb_build_object('a', fernet_encrypt('one'), 'n', 1.50, 'null', NULL,
	'list', jsonb_build_array(fernet_encrypt('two'), jsonb_build_object('a', fernet_encrypt('three')), 'x', 4,
		jsonb_build_array(jsonb_build_object('a', fernet_encrypt('five')))),
	'deep', jsonb_build_object('a', jsonb_build_object('a', fernet_encrypt('six')), 'key "quoted"', fernet_encrypt('sev"en'))) AS document;
SELECT d(document) FROM secrets;
SELECT path, d(fernet_decrypt_json(document, path::jsonpath)) FROM secrets, unnest(ARRAY['$.a', '$.n', '$.nothing', '$', '$.list[0]',
		'$.list[0 to 1, 0]', '$.list[1].a', '$.list.a', '$.list[*].a', '$.list[*][*].a', '$.deep.*', '$.deep.*.a', '$.*.a', '$.**.a', '$.**{2}.a',
		'$.**{last}."key \"quoted\""', '$.deep."key \"quoted\""', '$[0].a[0]', '$.list[last].a', '$.list[4][0].a', '$.list[7]', '$.a.**',
		'strict $.deep.a.a', 'strict $.**.a', 'strict $.list[1].a']) WITH ORDINALITY AS p (path, n)
	ORDER BY n;
-- What a path selects is what jsonb_path_query does.
SELECT path AS different
	FROM (SELECT jsonb_set(document, '{list,2}', to_jsonb(fernet_encrypt('x'))) AS document FROM secrets) AS s,
		unnest(ARRAY['$', '$.a', '$.list[0 to 1]', '$.list.a', '$.list[*].a', '$.deep.*', '$.*.a', '$.**.a', '$.**{2}', '$.**{1 to 3}.a', '$.**{last}',
			'$.**{1 to last}', '$.**{2 to last}.*', '$.**{last}.a', '$.**', '$[0].a', '$.list[last].a', '$.list[4].a', '$.list[1 to last]', '$.list[4 to 1]', '$.list[last to 99]',
			'$.list[1.7]', '$.list[*].**.a', '$.list.*', '$[*].*', '$.**.**', '$.list[*].**.*', 'strict $.**.a', 'strict $.**{0 to 2}.*', 'strict $.**[*]', 'strict $.**[0]']) AS path
	WHERE (SELECT array_agg(DISTINCT fernet_decrypt(item #>> '{}')) FROM jsonb_path_query(document, path::jsonpath) AS item
			WHERE jsonb_typeof(item) = 'string')
		IS DISTINCT FROM (SELECT array_agg(DISTINCT item #>> '{}')
			FROM jsonb_path_query(fernet_decrypt_json(document, path::jsonpath), 'strict $.**') AS item
			WHERE jsonb_typeof(item) = 'string' AND item #>> '{}' NOT LIKE 'gAAAAA%');
SELECT fernet_decrypt_json(to_jsonb(:'token'::text), '$'), fernet_decrypt_json(to_jsonb(:'token'::text), '$[*]'),
	fernet_decrypt_json('{}', '$.a'), fernet_decrypt_json('null', '$.a'), fernet_decrypt_json(NULL, '$.a') IS NULL AS null,
	fernet_decrypt_json('{}', NULL) IS NULL AS null;
-- Errors are those of fernet_decrypt, and of a strict path.
\set VERBOSITY default
SELECT fernet_decrypt_json('{"a": "plaintext"}', '$.a');
SELECT fernet_decrypt_json(jsonb_build_object('a', :'stranger'), '$.a');
SELECT fernet_decrypt_json('{}', 'strict $.a');
SELECT fernet_decrypt_json('[1]', 'strict $[1]');
SELECT fernet_decrypt_json('[]', '$.a ? (@ != "x")');
\set VERBOSITY terse
SELECT fernet_decrypt_json('[1]', 'strict $.*'), 1;
SELECT fernet_decrypt_json('{}', 'strict $[*]');
SELECT fernet_decrypt_json('{}', 'strict $[0]');
SELECT fernet_decrypt_json('{}', '$.a.size()');
SELECT fernet_decrypt_json('{}', '$[last - 1]');
SELECT fernet_decrypt_json('{}', '$x');
SELECT fernet_decrypt_json('{}', '$[$.a]');
SELECT fernet_decrypt_json('{}', '"x"');
SELECT fernet_decrypt_json('{}', '$.a + 1');
SET fernet.key = '';
SELECT fernet_decrypt_json('{}', '$.a');
SET fernet.key = :'key';
SELECT convert_from(fernet_encrypt('\x00ff'::bytea)::bytea, 'UTF8') AS bytes \gset
SELECT fernet_decrypt_json(jsonb_build_array(:'bytes'), '$[0]');

--
-- The trigger
--
CREATE DOMAIN settings AS jsonb CHECK (jsonb_typeof(value) = 'object' AND NOT value ? 'forbidden');
CREATE TABLE connections (id int PRIMARY KEY, metadata jsonb, note text, "odd:name" jsonb, checked settings, plain text);
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON connections
	FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('metadata:$.access_token', 'plain', 'metadata:$.keys[*].secret',
		'odd:name:$.**.password', 'checked:$.token');
CREATE VIEW shown AS SELECT id, fernet_decrypt_json(fernet_decrypt_json(metadata, '$.access_token'), '$.keys[*].secret') AS metadata
	FROM connections;
INSERT INTO connections (id, metadata) VALUES
	(1, '{"access_token": "xoxb-1", "team": "T1", "keys": [{"id": 1, "secret": "s1"}, {"id": 2, "secret": ""}, "x", {"secret": 5}]}'),
	(2, '{"team": "T2"}'), (3, NULL), (4, '[]'), (5, '"a string"'), (6, '{"access_token": null}'), (7, '{"access_token": {"nested": "stays"}}');
SELECT id, d(metadata) FROM connections ORDER BY id;
SELECT * FROM shown WHERE id = 1;
-- tokens pass, whoever made them, without a key too
SET fernet.key = '';
INSERT INTO connections (id, metadata) VALUES (8, jsonb_build_object('access_token', :'token', 'keys', jsonb_build_array(jsonb_build_object('secret', :'stranger'))));
SELECT metadata ->> 'access_token' = :'token' AS same, metadata #>> '{keys,0,secret}' = :'stranger' AS same FROM connections WHERE id = 8;
INSERT INTO connections (id, metadata) VALUES (9, '{"access_token": "xoxb-9"}');
INSERT INTO connections (id, metadata) VALUES (9, '{"other": "no key is needed"}');
SET fernet.key = :'key';
-- COPY, as in a restore: nothing is encrypted twice
CREATE TABLE copied (LIKE connections);
INSERT INTO copied SELECT * FROM connections;
DELETE FROM connections;
INSERT INTO connections SELECT * FROM copied;
SELECT count(*) AS same FROM connections JOIN copied USING (id) WHERE connections.metadata IS NOT DISTINCT FROM copied.metadata;
-- UPDATEs: of another column, of another member, of one string
CREATE TEMP TABLE before AS SELECT * FROM connections;
UPDATE connections SET note = 'x';
UPDATE connections SET metadata = jsonb_set(metadata, '{team}', '"T1 new"') WHERE id = 1;
SELECT c.metadata - 'team' = b.metadata - 'team' AS same FROM connections AS c JOIN before AS b USING (id) WHERE id = 1;
UPDATE connections SET metadata = jsonb_set(metadata, '{access_token}', '"xoxb-1 new"') WHERE id = 1;
SELECT c.metadata -> 'keys' = b.metadata -> 'keys' AS same, fernet_decrypt(c.metadata ->> 'access_token') FROM connections AS c JOIN before AS b USING (id) WHERE id = 1;
-- upserts
INSERT INTO connections (id, metadata) VALUES (1, '{"access_token": "xoxb-1 upserted"}'), (10, '{"access_token": "xoxb-10"}')
	ON CONFLICT (id) DO UPDATE SET metadata = EXCLUDED.metadata;
SELECT * FROM shown WHERE id IN (1, 10) ORDER BY id;
-- a column whose name has a colon, a domain, a column as a whole
INSERT INTO connections (id, "odd:name", checked, plain) VALUES (11, '[{"password": "p1"}, {"x": {"password": "p2", "user": "u"}}]', '{"token": "t"}', 'p');
SELECT d("odd:name"), d(checked), fernet_decrypt(plain) FROM connections WHERE id = 11;
INSERT INTO connections (id, checked) VALUES (12, '{"token": "t", "forbidden": 1}');
-- A string that holds a token of the session is refused, and one that quotes
-- somebody else's is encrypted.
\set VERBOSITY default
INSERT INTO connections (id, metadata) VALUES (12, jsonb_build_object('access_token', 'v1:' || :'token'));
INSERT INTO connections (id, metadata) VALUES (12, jsonb_build_object('access_token', left(:'token', 68)));
\set VERBOSITY terse
INSERT INTO connections (id, metadata) VALUES (12, jsonb_build_object('access_token', 'see ' || :'stranger'));
SELECT metadata ->> 'access_token' = 'see ' || :'stranger' FROM shown WHERE id = 12;
-- What the row had before stays if it cannot be encrypted, also when another member changes.
ALTER TABLE connections DISABLE TRIGGER encrypt;
INSERT INTO connections (id, metadata) VALUES (13, jsonb_build_object('access_token', 'v1:' || :'token', 'n', 1)), (14, '{"access_token": "before the trigger", "n": 1}');
ALTER TABLE connections ENABLE TRIGGER encrypt;
UPDATE connections SET metadata = jsonb_set(metadata, '{n}', '2') WHERE id IN (13, 14);
SELECT id, d(metadata) FROM connections WHERE id IN (13, 14) ORDER BY id;
UPDATE connections SET metadata = metadata WHERE id = 13;
UPDATE connections SET metadata = jsonb_set(metadata, '{access_token}', to_jsonb('v2:' || :'token')) WHERE id = 13;
SET fernet.key = '';
ALTER TABLE connections DISABLE TRIGGER encrypt;
UPDATE connections SET metadata = '{"access_token": "plain", "n": 1}' WHERE id = 14;
ALTER TABLE connections ENABLE TRIGGER encrypt;
UPDATE connections SET metadata = jsonb_set(metadata, '{n}', '3') WHERE id = 14;
SELECT metadata FROM connections WHERE id = 14;
UPDATE connections SET metadata = '{"access_token": "other", "n": 1}' WHERE id = 14;
SET fernet.key = :'key';
-- adoption: an UPDATE that sets the column to itself
UPDATE connections SET metadata = metadata;
SELECT id, d(metadata) FROM connections WHERE id IN (13, 14) ORDER BY id;
-- A moved row keeps what it had.
CREATE TABLE parted (region text, metadata jsonb) PARTITION BY LIST (region);
CREATE TABLE parted_a PARTITION OF parted FOR VALUES IN ('a');
CREATE TABLE parted_b PARTITION OF parted FOR VALUES IN ('b');
INSERT INTO parted VALUES ('a', jsonb_build_object('t', 'v1:' || :'token', 'u', 'plain', 'n', 1));
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON parted FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('metadata:$.t', 'metadata:$.u');
UPDATE parted SET region = 'b';
SELECT region, d(metadata) FROM parted;
UPDATE parted SET region = 'a', metadata = jsonb_set(metadata, '{n}', '2');
SELECT region, d(metadata) FROM parted;
DROP TABLE parted;

-- Rotation goes through it; the gate proves it; decryption is the way back.
DELETE FROM connections WHERE id IN (8, 12, 13);
SET fernet.key = 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=,a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=';
SELECT fernet_assert_rotated('connections', 'metadata');
CALL fernet_rotate_column('connections', 'metadata');
CALL fernet_rotate_column('connections', 'checked');
SELECT fernet_assert_rotated('connections', 'metadata');
SET fernet.key = :'other';
SELECT * FROM shown WHERE id IN (1, 2, 10) ORDER BY id;
CALL fernet_decrypt_column('connections', 'metadata', confirm => true);
CALL fernet_decrypt_column('connections', 'odd:name', confirm => true);
ALTER TABLE connections DISABLE TRIGGER encrypt;
CALL fernet_decrypt_column('connections', 'metadata', confirm => true);
SELECT id, metadata FROM connections ORDER BY id;
CALL fernet_decrypt_column('connections', 'metadata', confirm => true);
CALL fernet_decrypt_column('connections', 'checked', confirm => true);
SELECT d(checked) FROM connections WHERE checked IS NOT NULL;
-- What is no token but holds one, what nobody can decrypt, and what is not text, stays.
SELECT fernet_encrypt('ours') AS ours \gset
SET fernet.key = :'key';
SELECT fernet_encrypt('of nobody') AS stranger \gset
SET fernet.key = :'other';
TRUNCATE connections;
INSERT INTO connections (id, metadata) VALUES (1, jsonb_build_array('v1:' || :'ours')), (2, jsonb_build_array(:'ours', :'stranger')),
	(3, jsonb_build_object(:'ours', 1)), (4, jsonb_build_array(fernet_encrypt(:'ours'))), (5, jsonb_build_array(:'ours', 'x', 1.0, NULL, '{}'::jsonb)),
	(6, jsonb_build_array(:'ours', convert_from(fernet_encrypt('\x00ff'::bytea)::bytea, 'UTF8')));
\set VERBOSITY default
CALL fernet_decrypt_column('connections', 'metadata', confirm => true);
\set VERBOSITY terse
SELECT id, d(metadata) FROM connections ORDER BY id;

-- Arguments that are wrong
CREATE TABLE wrong (j json, jb jsonb, t text, g jsonb GENERATED ALWAYS AS (jb) STORED);
CREATE FUNCTION tried(argument text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE OR REPLACE TRIGGER encrypt BEFORE INSERT ON wrong FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger(%L)', argument);
	INSERT INTO wrong (jb) VALUES ('{}');
	RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
SELECT argument, tried(argument) FROM unnest(ARRAY['jb', 'j:$.a', 't:$.a', 'g:$.a', 'jb:', 'jb:$.', 'jb:a b', 'jb:$ ? (@.a == 1)', 'jb:$.a.type()', 'none:$.a', ':$', 'jb:$.a'])
	AS argument;
DROP TABLE wrong;
SET search_path TO DEFAULT;
DROP SCHEMA regress_fernet_encrypt_json CASCADE;
