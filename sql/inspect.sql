--
-- fernet_inspect: the diagnosis of a value
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
RESET client_min_messages;
LOAD 'pg_fernet';
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
-- a token of 2020-01-01 of key A, 'token'; and key B
\set key 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set other_key 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set token 'gAAAAABeC-EAAAECAwQFBgcICQoLDA0OD0AggWCYATtLAWeYjflMJyNCeWV0aQsYadoNArhNFGnvRWY6FjVx7EXYB1vxjNrvnA=='
\pset format unaligned
\pset null '(null)'

-- the row, by what the session has for a key: none, its key, that as one of two,
-- another
SELECT (fernet_inspect(:'token')).*;
SELECT set_config('fernet.key', :'key', false) \g /dev/null
SELECT (fernet_inspect(:'token')).*;
SELECT set_config('fernet.key', :'other_key' || ',' || :'key', false) \g /dev/null
SELECT (fernet_inspect(:'token')).*;
SELECT set_config('fernet.key', :'other_key', false) \g /dev/null
SELECT (fernet_inspect(:'token')).*;
-- a changed character looks like another key: the HMAC cannot tell the two apart
SELECT set_config('fernet.key', :'key', false) \g /dev/null
SELECT (fernet_inspect(overlay(:'token' PLACING 'x' FROM 40))).*;
-- without padding, with white space around it: still that token
SELECT status, created, payload_bytes FROM fernet_inspect(E' \n' || rtrim(:'token', '=') || E'\n');
-- sizes of plaintexts, in bytes
SELECT n, i.payload_bytes FROM generate_series(0, 100000, 12345) AS n, fernet_inspect(fernet_encrypt(repeat('x', n))) AS i ORDER BY n;
SELECT i.status, i.payload_bytes FROM fernet_inspect(fernet_encrypt(U&'Gr\00FC\00DFe')) AS i;
SELECT i.status, i.created FROM fernet_inspect(fernet_encrypt('x', '2040-05-06 07:08:09+00')) AS i;

-- what is no token, each with what has probably happened to it. The same answer
-- without a key, with one and with another
CREATE TEMPORARY TABLE cases (n integer GENERATED ALWAYS AS IDENTITY, what text, value text);
INSERT INTO cases (what, value) VALUES
	('cut by varchar(64)', :'token'::varchar(64)),
	('cut by varchar(98), in the HMAC', left('gAAAAABeC-EAv3qIFiUzV2R_VRQNGGgWNQVOMZBtH8MXfEty0CiOVMwyyxUzkrzCNCLIE8Owu7C66ctcAbMcr0yPBU628SPTqP2ICbPdkScAf5J8MCXeuwU=', 98)),
	('a block cut out', left(:'token', 38) || substr(:'token', 60)),
	('base64 a second time', encode(:'token'::bytea, 'base64')),
	('the standard alphabet', translate(:'token', '-_', '+/')),
	('a JSON string', to_json(:'token'::text)),
	('a jsonb value as text', (jsonb_build_object('t', :'token') -> 't')::text),
	('quoted by SQL', quote_literal(:'token')),
	('Python''s repr of bytes', 'b''' || :'token' || ''''),
	('Python''s repr of bytes, double quotes', 'b"' || :'token' || '"'),
	('fernet: before it', 'fernet:' || :'token'),
	('enc:fernet: before it', 'enc:fernet:k1:' || encode(:'token'::bytea, 'base64')),
	('Fernet256', '$encrypted$UTF8$AESCBC$' || encode(:'token'::bytea, 'base64')),
	('a key', :'key'),
	('a key without its =', rtrim(:'key', '=')),
	('broken into lines', regexp_replace(:'token', '(.{64})', E'\\1\n')),
	('bytea as text', (:'token'::bytea)::text),
	('hexadecimal', encode(:'token'::bytea, 'hex')),
	('URL-encoded', replace(:'token', '=', '%3D')),
	('URL-encoded, small letters', replace(:'token', '=', '%3d')),
	('a character replaced', overlay(:'token' PLACING '*' FROM 40)),
	('a Unicode character put in', overlay(:'token' PLACING U&'\2026' FROM 40)),
	('two after each other', :'token' || :'token'),
	('trailing bits', left(:'token', 97) || 'x=='),
	('four = after a token (langflow)', :'token' || '===='),
	('another version byte', overlay(:'token' PLACING 'gQ' FROM 1)),
	('a plaintext', 'hunter2'),
	('a JSON object', '{"client_secret": "hunter2"}'),
	('a JWT', 'eyJhbGciOiJIUzI1NiJ9.e30.c2ln'),
	('empty', ''),
	('white space', E' \n');
SELECT format(E'%s. %s: %s\n\t%s', n, what, i.status, i.detail) AS "case"
FROM cases, fernet_inspect(value) AS i ORDER BY n;
CREATE TEMPORARY VIEW answers AS
SELECT md5(string_agg(format('%s %s %s', n, i.status, i.cause), ' ' ORDER BY n)) AS answers, count(*) AS cases
FROM cases, fernet_inspect(value) AS i;
SELECT answers FROM answers \gset with_
SELECT set_config('fernet.key', :'other_key', false) \g /dev/null
SELECT cases, answers = :'with_answers' AS with_another_key FROM answers;
SELECT set_config('fernet.key', '', false) \g /dev/null
SELECT cases, answers = :'with_answers' AS without_key FROM answers;
-- as bytea, too
SELECT count(*), count(*) FILTER (WHERE b IS DISTINCT FROM t) AS differ
FROM cases, fernet_inspect(value) AS t, fernet_inspect(convert_to(value, 'UTF8')) AS b;
-- each of them is what fernet_is_token refuses
SELECT count(*) AS tokens FROM cases WHERE fernet_is_token(value);

-- nothing of a value is in what is said of it: no four bytes in a row but those
-- that are the same in each of its kind
INSERT INTO cases (what, value) VALUES ('the token', :'token'), ('its key', :'key');
CREATE FUNCTION pg_temp.repeats(value text, said text) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FROM generate_series(1, length(value) - 3) AS at
	WHERE position(substr(value, at, 4) IN said) > 0
		AND position(substr(value, at, 4) IN 'gAAAAA enc:fernet: $encrypted$ b''gAAAAA') = 0
$$;
SELECT set_config('fernet.key', k, false) = '' AS no_key, count(*),
	coalesce(sum(pg_temp.repeats(value, i.detail)), 0) AS repeats
FROM (VALUES (1, ''), (2, :'key'), (3, :'other_key')) AS v(turn, k), cases, LATERAL fernet_inspect(value) AS i
GROUP BY turn, k ORDER BY turn;

-- a genuine HMAC over a bad padding: the vector of the Fernet specification
SELECT set_config('fernet.key', 'cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=', false) \g /dev/null
SELECT (fernet_inspect('gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0ODz4LEpdELGQAad7aNEHbf-JkLPIpuiYRLQ3RtXatOYREu2FWke6CnJNYIbkuKNqOhw==')).*;
-- and a token without a whole block, which Python refuses too
SELECT (fernet_inspect('gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPOm73QeoCk9uGib28Xe5vz6oxq5nmxbx_v7mrfyudzUm')).*;
-- timestamps of 1970, of PostgreSQL's last second, of the next, and 2^64 - 1, made
-- with Python's cryptography 38.0.4: with their key and without
SELECT set_config('fernet.key', :'key', false) \g /dev/null
CREATE TEMPORARY TABLE times (n integer, token text);
INSERT INTO times VALUES
	(1, 'gAAAAAAAAAAAAAECAwQFBgcICQoLDA0OD0AggWCYATtLAWeYjflMJyPeD3g1z-NydlUGqzc7dFAiEEkX8ZUzSWHCAK28jpFATw=='),
	(2, 'gAAACGO0Mtn_AAECAwQFBgcICQoLDA0OD0AggWCYATtLAWeYjflMJyN6r7XQHK4ijZi-YqC8A0yD-JNqgyvNEDXiKhtnbs5jbw=='),
	(3, 'gAAACGO0MtoAAAECAwQFBgcICQoLDA0OD0AggWCYATtLAWeYjflMJyOj3HKRMFF5sPPIZSmbjflp0F-OpFOx_6tZHARhpKqjcQ=='),
	(4, 'gP__________AAECAwQFBgcICQoLDA0OD0AggWCYATtLAWeYjflMJyPoZfErvWAGik5wOhrrf_aJoa6csSDQP5ypqcHmzTK5_w==');
SELECT n, i.* FROM times, fernet_inspect(token) AS i ORDER BY n;
SELECT set_config('fernet.key', :'other_key', false) \g /dev/null
SELECT n, i.status, i.detail FROM times, fernet_inspect(token) AS i ORDER BY n;
SELECT set_config('fernet.key', '', false) \g /dev/null
SELECT n, i.status, i.detail FROM times, fernet_inspect(token) AS i ORDER BY n;

-- NULL gives a row of NULLs in a select list and in FROM
SELECT (fernet_inspect(NULL::text)).*;
SELECT i.* FROM fernet_inspect(NULL::bytea) AS i;

-- any bytes, as bytea: NUL, and bytes that are not text
SELECT value, i.status, i.detail FROM (VALUES
	(1, '\x00'::bytea),
	(2, '\xff'),
	(3, '\xc3'),
	(4, ''),
	(5, '\x674141414141002041'),
	(6, '\x67414141414180'),
	(7, '\x80')) AS v(n, value), fernet_inspect(value) AS i ORDER BY n;
-- thousands of them, from one seed: random bytes, tokens with a byte replaced, cut
-- out or put in, tokens after each other; with and without a key. None raises, and
-- none opens that is not the token itself, white space and padding aside
SELECT setseed(0.5) \g /dev/null
CREATE FUNCTION pg_temp.noise(size integer) RETURNS bytea LANGUAGE sql VOLATILE AS $$
	SELECT coalesce(string_agg(decode(lpad(to_hex(floor(random() * 256)::integer), 2, '0'), 'hex'), ''), '') FROM generate_series(1, size)
$$;
CREATE FUNCTION pg_temp.mutate(value bytea) RETURNS bytea LANGUAGE sql VOLATILE AS $$
	SELECT substr(value, 1, at) || pg_temp.noise((random() * 2)::integer) || substr(value, at + 1 + (random() * 3)::integer)
	FROM (SELECT floor(random() * (length(value) + 1))::integer AS at OFFSET 0) AS place
$$;
CREATE FUNCTION pg_temp.torture(token bytea, OUT tried integer, OUT raised integer, OUT wrong integer, OUT opened integer) LANGUAGE plpgsql AS $$
DECLARE
	value bytea;
	seen record;
BEGIN
	tried := 0; raised := 0; wrong := 0; opened := 0;
	FOR i IN 1..6000 LOOP
		value := CASE i % 6
			WHEN 0 THEN pg_temp.noise(i % 200)
			WHEN 1 THEN pg_temp.mutate(token)
			WHEN 2 THEN pg_temp.mutate(pg_temp.mutate(token))
			WHEN 3 THEN substr(token, 1, i % 120)
			WHEN 4 THEN token || substr(token, 1, i % 120)
			ELSE 'gAAAAA'::bytea || pg_temp.noise(i % 120) END;
		tried := tried + 1;
		BEGIN
			SELECT * INTO STRICT seen FROM fernet_inspect(value);
			IF seen.status IS NULL OR seen.detail IS NULL OR seen.detail = ''
				OR (seen.status IN ('malformed', 'empty')) = fernet_is_token(value)
				OR (seen.key_index IS NULL) <> (seen.fingerprint IS NULL)
				OR (seen.key_index IS NULL) <> (seen.status NOT IN ('primary', 'secondary')) THEN
				wrong := wrong + 1;
			END IF;
			IF seen.key_index IS NOT NULL AND rtrim(btrim(encode(value, 'escape'), E' \t\n\v\f\r'), '=') <> rtrim(encode(token, 'escape'), '=') THEN
				opened := opened + 1;
			END IF;
		EXCEPTION WHEN OTHERS THEN
			raised := raised + 1;
		END;
	END LOOP;
END
$$;
SELECT * FROM pg_temp.torture(:'token');
SELECT set_config('fernet.key', :'other_key' || ',' || :'key', false) \g /dev/null
SELECT * FROM pg_temp.torture(:'token');
-- large ones: 20 MB of a token, of what begins like one, of anything
SELECT i.status, i.payload_bytes FROM fernet_inspect(fernet_encrypt(repeat('x', 15000000))) AS i;
SELECT i.status, i.detail FROM fernet_inspect('gAAAAA' || repeat('A', 20000000)) AS i;
SELECT i.status, i.detail FROM fernet_inspect(repeat('%', 20000000)) AS i;
