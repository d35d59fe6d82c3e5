--
-- Tokens that sit in values in another form, and inside of other tokens
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
RESET client_min_messages;
LOAD 'pg_fernet';
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set VERBOSITY terse
\set old 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8='
\set new 'Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA='
\set other 'MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE='

-- One token of the old key, and one of a key that the session does not have.
SET fernet.key = :'old';
SELECT fernet_encrypt('secret'::text, '2020-01-01 UTC'::timestamptz) AS token \gset
SET fernet.key = :'other';
SELECT fernet_encrypt('secret'::text, '2020-01-01 UTC'::timestamptz) AS stranger \gset

CREATE TEMP TABLE shapes (id serial, name text, value text);
INSERT INTO shapes (name, value) VALUES
	('version before it', 'v1:' || :'token'),
	('enc: before it', 'enc:' || :'token'),
	('fernet: before it', 'fernet:' || :'token'),
	('enc:fernet: before it', 'enc:fernet:k1:' || :'token'),
	('Bearer', 'Bearer ' || :'token'),
	('a header', 'Authorization: Bearer ' || :'token' || E'\r\nHost: a.example'),
	('JSON object', '{"token": "' || :'token' || '", "n": 1}'),
	('JSON array', '[1, "' || :'token' || '"]'),
	('JSON in JSON', '"{\"token\": \"' || :'token' || '\"}"'),
	('byte order mark', U&'\FEFF' || :'token'),
	('no-break space', U&'\00A0' || :'token'),
	('zero width space', U&'\200B' || :'token' || U&'\200B'),
	('double quotes', '"' || :'token' || '"'),
	('single quotes', '''' || :'token' || ''''),
	('backquotes', '`' || :'token' || '`'),
	('curly quotes', U&'\201C' || :'token' || U&'\201D'),
	('guillemets', U&'\00AB' || :'token' || U&'\00BB'),
	('Python bytes', 'b''' || :'token' || ''''),
	('braces', '{' || :'token' || '}'),
	('parentheses', '(1,' || :'token' || ')'),
	('angle brackets', '<' || :'token' || '>'),
	('XML', '<t>' || :'token' || '</t>'),
	('YAML', E'token: ' || :'token' || E'\nn: 1\n'),
	('URL parameter', 'https://a.example/?t=' || :'token' || '&n=1'),
	('URL path', 'https://a.example/t/' || :'token' || '/n'),
	('semicolon', :'token' || ';'),
	('words after it', :'token' || ' is the token'),
	('one = of two', rtrim(:'token', '=') || '='),
	('three =', :'token' || '='),
	('URL encoding', rtrim(:'token', '=') || '%3D%3D'),
	('base64', encode(:'token'::bytea, 'base64')),
	('base64, one line', replace(encode(:'token'::bytea, 'base64'), E'\n', '')),
	('base64, a byte before', encode(('x' || :'token')::bytea, 'base64')),
	('base64, two bytes before', encode(('xy' || :'token')::bytea, 'base64')),
	('base64 with a prefix', 'v1:' || encode(:'token'::bytea, 'base64')),
	('base64 in base64', encode(encode(:'token'::bytea, 'base64')::bytea, 'base64')),
	('hex', encode(:'token'::bytea, 'hex')),
	('hex in upper case', upper(encode(:'token'::bytea, 'hex'))),
	('\x before hex', '\x' || encode(:'token'::bytea, 'hex')),
	('0x before hex', '0x' || encode(('v1:' || :'token')::bytea, 'hex')),
	('hex in base64', encode(encode(:'token'::bytea, 'hex')::bytea, 'base64')),
	('three encodings', encode(encode(encode(:'token'::bytea, 'hex')::bytea, 'base64')::bytea, 'hex'));

-- The cause, and where the token begins
SET fernet.key = :'old';
SELECT name, status, cause, substring(detail FROM 'A token begins.*') AS found
	FROM shapes, fernet_inspect(value)
	ORDER BY id;
SELECT DISTINCT key_index, fingerprint, created, payload_bytes FROM shapes, fernet_inspect(value);

-- What is no token has a cause as well.
SELECT value, status, cause
	FROM unnest(ARRAY['', ' ', 'secret', 'A token begins with gAAAAA and so on.',
		'gAAAAABeC', 'v1:gAAAAABeC-EAoKGio6SlpqeoqaqrrK2ur_cut_off', '$encrypted$AESCBC$x'])
		WITH ORDINALITY AS v (value, n), fernet_inspect(value)
	ORDER BY n;
SELECT cause FROM fernet_inspect(:'old');

-- A genuine token that other libraries refuse
SELECT name, status, cause, detail
	FROM (VALUES
		(1, 'as it is', :'token'),
		(2, 'no padding', rtrim(:'token', '=')),
		(3, 'line end', :'token' || E'\n'),
		(4, 'one = of two', rtrim(:'token', '=') || '='),
		(5, 'something after it', :'token' || ' x')) AS v (n, name, value), fernet_inspect(value)
	ORDER BY n;

-- A job re-encrypts each where it stands. None is a plaintext: not to leave it,
SELECT set_config('fernet.key', :'new' || ',' || :'old', false) \g /dev/null
SET client_min_messages = error;
CREATE TABLE recognised AS SELECT id, value FROM shapes;
SELECT * FROM fernet_rotate_batch('recognised', 'value');
SELECT count(*) FILTER (WHERE r.value <> s.value) AS changed, count(*) FILTER (WHERE length(r.value) = length(s.value)) AS same_length
	FROM recognised AS r JOIN shapes AS s USING (id);
UPDATE recognised SET value = shapes.value FROM shapes WHERE shapes.id = recognised.id;
CALL fernet_rotate_column('recognised', 'value', on_plaintext => 'leave', dry_run => true);
SELECT fernet_assert_rotated('recognised', 'value', 'leave');
CALL fernet_rotate_column('recognised', 'value', on_plaintext => 'leave');
-- not to encrypt it,
CALL fernet_rotate_column('recognised', 'value', on_plaintext => 'encrypt');
-- and not to pass it by when the column is decrypted.
CALL fernet_decrypt_column('recognised', 'value', confirm => true);
SELECT fernet_assert_rotated('recognised', 'value', 'leave');
SELECT set_config('fernet.key', :'new', false) \g /dev/null
SELECT status, form, key_index, tokens, oldest = '2020-01-01 UTC' AS oldest
	FROM fernet_census('recognised', 'value');
SELECT fernet_assert_rotated('recognised', 'value');
SELECT id, fernet_decrypt(substring(value FROM 'gAAAAA[A-Za-z0-9_-]*'))
	FROM recognised WHERE value ~ 'gAAAAA' ORDER BY id LIMIT 1;
SELECT count(*) AS inside, count(*) FILTER (WHERE replace(r.value, substring(r.value FROM 'gAAAAA[A-Za-z0-9_-]*'), '') = replace(s.value, rtrim(:'token', '='), '')) AS same_around
	FROM recognised AS r JOIN shapes AS s USING (id) WHERE r.value ~ 'gAAAAA';

-- The warning of a job that decrypts says where the token begins.
SELECT set_config('fernet.key', :'new' || ',' || :'old', false) \g /dev/null
TRUNCATE recognised;
INSERT INTO recognised VALUES (1, 'v1:' || :'token');
SET client_min_messages = warning;
\set VERBOSITY default
CALL fernet_decrypt_column('recognised', 'value', confirm => true);
\set VERBOSITY terse

-- Several tokens in a value. The key that is needed for longest counts.
TRUNCATE recognised;
SELECT fernet_encrypt('new'::text) AS done \gset
INSERT INTO recognised VALUES
	(1, :'token' || ' ' || :'done'), (2, :'done' || ' ' || :'done'), (3, 'see ' || :'token' || ' ' || left(:'token', 60)),
	(4, 'see ' || :'token' || ' and ' || encode(convert_to(fernet_encrypt(:'token'), 'UTF8'), 'base64'));
SELECT status, form, key_index, tokens FROM fernet_census('recognised', 'value');
\set VERBOSITY default
CALL fernet_rotate_column('recognised', 'value');
\set VERBOSITY terse
SELECT fernet_assert_rotated('recognised', 'value');
DELETE FROM recognised WHERE id = 3;
SELECT fernet_assert_rotated('recognised', 'value');
SELECT status, form, key_index, tokens FROM fernet_census('recognised', 'value');
SET fernet.key = '';
SELECT status, form, key_index, tokens FROM fernet_census('recognised', 'value');
SELECT set_config('fernet.key', :'new' || ',' || :'old', false) \g /dev/null
-- Types with a width, bytes, and a domain that wants what stands around the token
CREATE DOMAIN versioned AS text CHECK (value LIKE 'v1:gAAAAA%' AND length(value) = 103);
CREATE TABLE typed (v varchar(103), c char(120), b bytea, d versioned, n varchar(103)[]);
INSERT INTO typed SELECT t, t, '\xff00'::bytea || t::bytea || '\x00'::bytea, t, ARRAY[NULL, t] FROM (VALUES ('v1:' || :'token')) AS v (t);
CREATE TABLE typed_before AS SELECT * FROM typed;
SELECT set_config('client_min_messages', 'error', false) \g /dev/null
CALL fernet_rotate_column('typed', 'v');
CALL fernet_rotate_column('typed', 'c');
CALL fernet_rotate_column('typed', 'b');
CALL fernet_rotate_column('typed', 'd');
CALL fernet_rotate_column('typed', 'n');
RESET client_min_messages;
SELECT fernet_decrypt(substr(v, 4)) AS v, fernet_decrypt(substr(c, 4)) AS c, octet_length(c) AS c_length,
		fernet_decrypt(substring(b FROM 6 FOR 100)) AS b, substring(b FROM 1 FOR 5) AS b_before, substring(b FROM 106) AS b_after,
		fernet_decrypt(substr(d, 4)) AS d, n[1] IS NULL AS null, fernet_decrypt(substr(n[2], 4)) AS n,
		fernet_key_index(substr(v, 4)) AS key, v <> (SELECT v FROM typed_before) AS changed
	FROM typed;
SELECT fernet_assert_rotated('typed', name) FROM unnest(ARRAY['v', 'c', 'b', 'd', 'n']) AS name;
DROP TABLE typed, typed_before;
DROP DOMAIN versioned;

-- The trigger refuses a text with a token of the session, and encrypts one that
-- quotes a token of somebody else.
TRUNCATE recognised;
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON recognised
	FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('value');
\set VERBOSITY default
INSERT INTO recognised VALUES (1, 'v1:' || :'token');
INSERT INTO recognised VALUES (1, encode(('x' || :'token')::bytea, 'base64'));
\set VERBOSITY terse
INSERT INTO recognised VALUES (1, 'The token ' || :'stranger' || ' is yours.');
INSERT INTO recognised VALUES (2, encode(('x' || :'stranger')::bytea, 'base64'));
INSERT INTO recognised VALUES (3, :'stranger');
SELECT id, status, cause, substring(detail FROM 'The plaintext holds.*') AS found
	FROM recognised, fernet_inspect(value) ORDER BY id;

--
-- Encrypted twice
--
CREATE TABLE nested (id int, value text);
SELECT set_config('fernet.key', :'old', false) \g /dev/null
INSERT INTO nested VALUES (1, fernet_encrypt(:'token')), (2, fernet_encrypt('v1:' || :'token')),
	(3, fernet_encrypt(encode(:'token'::bytea, 'hex')));
SELECT set_config('fernet.key', :'new' || ',' || :'old', false) \g /dev/null
INSERT INTO nested VALUES (4, fernet_encrypt(:'token')), (5, fernet_encrypt(fernet_encrypt(:'token'))),
	(6, fernet_encrypt(repeat('no token ', 20)));
SELECT id, status, cause, detail FROM nested, fernet_inspect(value) ORDER BY id;
SELECT status, form, key_index, tokens FROM fernet_census('nested', 'value');
SELECT fernet_assert_rotated('nested', 'value');
-- The gate fails for the inner token alone.
DELETE FROM nested WHERE id IN (1, 2, 3);
SELECT fernet_assert_rotated('nested', 'value');
INSERT INTO nested
	SELECT id - 3, fernet_encrypt(fernet_encrypt(:'token')) FROM nested WHERE id IN (4, 5);
SELECT set_config('fernet.key', :'new' || ',' || :'old', false) \g /dev/null
-- One function, all layers; the same size
SELECT id, length(fernet_rotate(value)) = length(value) AS same_length FROM nested ORDER BY id;
CREATE TABLE before AS SELECT * FROM nested;
CALL fernet_rotate_column('nested', 'value');
SELECT id, n.value <> b.value AS changed, length(n.value) = length(b.value) AS same_length
	FROM nested AS n JOIN before AS b USING (id) ORDER BY id;
SELECT status, form, key_index, tokens FROM fernet_census('nested', 'value');
SELECT fernet_assert_rotated('nested', 'value');
SELECT set_config('fernet.key', :'new', false) \g /dev/null
SELECT fernet_decrypt(fernet_decrypt(value)) AS inner_plaintext,
		fernet_timestamp(fernet_decrypt(value)) = '2020-01-01 UTC' AS same_time
	FROM nested WHERE id = 4;
SELECT fernet_decrypt(fernet_decrypt(fernet_decrypt(value))) FROM nested WHERE id IN (1, 5);
-- An inner token of an unknown key fails the gate.
INSERT INTO nested VALUES (7, fernet_encrypt(:'stranger'));
SELECT id, cause, detail FROM nested, fernet_inspect(value) WHERE id = 7;
SELECT status, form, key_index, tokens, oldest IS NULL AS no_oldest, oldest_unverified = '2020-01-01 UTC' AS unverified
	FROM fernet_census('nested', 'value');
SELECT fernet_assert_rotated('nested', 'value');

--
-- Empty strings are a class of their own.
--
CREATE TABLE empty (id int, value text NOT NULL DEFAULT '');
INSERT INTO empty VALUES (1, fernet_encrypt('secret'));
INSERT INTO empty (id) VALUES (2), (3);
CALL fernet_rotate_column('empty', 'value');
-- They are not tokens of the first key either.
CREATE TABLE only_empty AS SELECT ''::text AS value;
CALL fernet_rotate_column('only_empty', 'value');
\set VERBOSITY default
SELECT fernet_assert_rotated('only_empty', 'value');
DROP TABLE only_empty;
\set VERBOSITY terse
CALL fernet_rotate_column('empty', 'value', on_plaintext => 'leave');
SELECT status, form, key_index, tokens FROM fernet_census('empty', 'value');
SELECT fernet_assert_rotated('empty', 'value');
CALL fernet_decrypt_column('empty', 'value', confirm => true);
SELECT id, value FROM empty ORDER BY id;
INSERT INTO empty VALUES (4, ' ');
SELECT status, form, key_index, tokens FROM fernet_census('empty', 'value');
CALL fernet_rotate_column('empty', 'value', on_plaintext => 'encrypt');
SELECT id, fernet_decrypt(value) FROM empty ORDER BY id;

--
-- A value with more candidates than can be tried is failed, never passed.
--
CREATE TABLE hostile (id int, value text);
INSERT INTO hostile VALUES (1, repeat('gAAAAA', 500000));
SELECT status, cause FROM hostile, fernet_inspect(value);
SET client_min_messages = warning;
\set VERBOSITY default
CALL fernet_rotate_column('hostile', 'value', on_plaintext => 'encrypt');
RESET client_min_messages;
SELECT fernet_encrypt(value) AS plaintext FROM hostile \gset
\set VERBOSITY terse
SELECT length(:'plaintext') > 4000000 AS encrypted, fernet_rotate(:'plaintext') IS NULL;
DROP TABLE recognised, nested, before, empty, hostile;

-- A token that needs the old key does not pass for one that only quotes a token of
-- somebody else
SET client_min_messages = warning;
SET fernet.key = :'old';
CREATE TABLE quoting AS SELECT fernet_encrypt('see ' || :'stranger') AS token;
SELECT set_config('fernet.key', :'new' || ',' || :'old', false) \g /dev/null
INSERT INTO quoting SELECT fernet_encrypt('simple');
SELECT fernet_assert_rotated('quoting', 'token', on_unknown => 'leave');
DROP TABLE quoting;

-- Binary data of other kinds, in base64, may begin somewhere as a token does: the
-- time shows that it is none
SELECT status, cause FROM fernet_inspect('data:image/jpeg;base64,'
	|| replace(encode('\xffd8ff80000000000114' || sha256('a') || sha256('b') || sha256('c'), 'base64'), E'\n', ''));
