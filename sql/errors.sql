--
-- Every SQLSTATE of the extension and its message; no error shows a secret
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
RESET client_min_messages;
LOAD 'pg_fernet';
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set key 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set old_key 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set other_key 'a2V5IEMgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='

-- PF001: no key is set. Each function that needs one says so
SELECT fernet_encrypt('secret');
\echo :SQLSTATE
CREATE FUNCTION pg_temp.error_of(expression text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE 'SELECT ' || expression;
	RETURN 'none';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;
SELECT call, pg_temp.error_of(call) FROM (VALUES
	(1, $$fernet_encrypt('x'::bytea)$$),
	(2, $$fernet_decrypt('nonsense')$$),
	(3, $$fernet_decrypt_bytea('nonsense')$$),
	(4, $$fernet_try_decrypt('nonsense')$$),
	(5, $$fernet_try_decrypt_bytea('nonsense')$$),
	(6, $$fernet_verify('nonsense')$$),
	(7, $$fernet_rotate('nonsense')$$),
	(8, $$fernet_timestamp('nonsense')$$),
	(9, $$fernet_key_index('nonsense')$$),
	(10, $$fernet_is_token('nonsense')$$),
	(11, $$fernet_generate_key()$$)
) AS v(n, call) ORDER BY n;

-- PF002: a malformed key
SELECT set_config('fernet.key', 'hunter2', false);
\echo :SQLSTATE

-- with a key, everything works, so that the errors below mean something
SELECT set_config('fernet.key', :'key', false);
SELECT fernet_decrypt(fernet_encrypt('secret'));

-- PF003: a value that is not a token
SELECT fernet_decrypt('xoxb-a-plaintext');
\echo :SQLSTATE

-- PF004: a token that no key decrypts. Its timestamp is not shown: it is not verified
SELECT set_config('fernet.key', :'other_key', false);
SELECT fernet_encrypt('secret', '2020-01-01 00:00:00+00') AS token \gset
SELECT set_config('fernet.key', :'key' || ',' || :'old_key', false);
SELECT fernet_decrypt(:'token');
\echo :SQLSTATE
-- so is a genuine one with bad padding, made with Python's cryptography 38.0.4: of
-- zero, 17, and with differing bytes; and under the second key. It is the same
-- error, so that the padding reveals nothing
SELECT pg_temp.error_of(format('fernet_decrypt(%L)', token)), fernet_try_decrypt(token) AS try, fernet_verify(token),
	fernet_key_index(token), pg_temp.error_of(format('fernet_rotate(%L)', token)) AS rotate,
	pg_temp.error_of(format('fernet_timestamp(%L)', token)) AS timestamp
FROM (VALUES
	('gAAAAABeC-EAAAECAwQFBgcICQoLDA0OD5knxShqXqi1YhvW95TZ-GsGRM_rOvKmLHoDe8G4IgbWOdBCF72gtW2gyr0nThtp6g=='),
	('gAAAAABeC-EAAAECAwQFBgcICQoLDA0OD2qhpEspzLN6As8l_Gd47Z8MFaSlaCQCaG-dEvP3enD6f9T-FPfk1LYpmBGiiBiMgQ=='),
	('gAAAAABeC-EAAAECAwQFBgcICQoLDA0ODzucvmYo_6spSVkwmFjLvkUgOdwRA2GOw-IOaPCtT-iRW_l7KG1ddhzfNOODbBfr2w=='),
	('gAAAAABeC-EAAAECAwQFBgcICQoLDA0OD5knxShqXqi1YhvW95TZ-GvMt0XpR-9zADKPLmNeSl1TADr9OHBTBURlvppdnVj2JQ==')
) AS v(token);

-- PF005: expired, or from the future
SELECT fernet_encrypt('secret', '2020-01-01 00:00:00+00') AS token \gset
SELECT fernet_decrypt(:'token', '1 hour', '2020-01-01 02:00:00+00');
\echo :SQLSTATE
SELECT fernet_decrypt(:'token', '1 hour', '2019-01-01 00:00:00+00');
\echo :SQLSTATE

-- PF006: a key that the server would store
ALTER DATABASE :"DBNAME" SET fernet.key = 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=';
\echo :SQLSTATE

-- PF007: a rotation that leaves values behind
CREATE TABLE regress_fernet_errors AS SELECT 'xoxb-a-plaintext' AS token;
SET client_min_messages = warning;
CALL fernet_rotate_column('regress_fernet_errors', 'token');
\echo :SQLSTATE
RESET client_min_messages;
DROP TABLE regress_fernet_errors;

-- 22021: bytes that are not text
SELECT fernet_decrypt(fernet_encrypt('\xff00'::bytea));
\echo :SQLSTATE
SELECT fernet_try_decrypt(fernet_encrypt('\x00'::bytea));
\echo :SQLSTATE
SELECT fernet_decrypt_bytea(fernet_encrypt('\xff00'::bytea)), fernet_verify(fernet_encrypt('\xff00'::bytea));
-- 22023: arguments
SELECT fernet_decrypt(:'token', '-1 hour');
\echo :SQLSTATE
SELECT fernet_encrypt('secret', '1969-12-31 00:00:00+00');
\echo :SQLSTATE
SELECT fernet_encrypt('secret', 'infinity');
\echo :SQLSTATE
-- 22008: the timestamp 2^64 - 1, which no timestamptz can show
SELECT fernet_timestamp('gP__________AAECAwQFBgcICQoLDA0OD0AggWCYATtLAWeYjflMJyPoZfErvWAGik5wOhrrf_aJoa6csSDQP5ypqcHmzTK5_w==');
\echo :SQLSTATE

-- the session goes on, and so does a transaction that catches them
SELECT fernet_decrypt(:'token');
DO $$
BEGIN
	FOR i IN 1 .. 1000 LOOP
		BEGIN
			PERFORM fernet_decrypt('nonsense');
		EXCEPTION WHEN SQLSTATE 'PF003' THEN
			NULL;
		END;
		BEGIN
			PERFORM fernet_decrypt(fernet_encrypt('x', '2020-01-01'), '1 s');
		EXCEPTION WHEN SQLSTATE 'PF005' THEN
			NULL;
		END;
		BEGIN
			PERFORM set_config('fernet.key', 'nonsense', false);
		EXCEPTION WHEN SQLSTATE 'PF002' THEN
			NULL;
		END;
	END LOOP;
	RAISE NOTICE 'caught, and it still works: %', fernet_decrypt(fernet_encrypt('secret'));
END
$$;
-- an error that is not ours has its context afterwards
DO $$
BEGIN
	BEGIN
		PERFORM fernet_decrypt('nonsense');
	EXCEPTION WHEN SQLSTATE 'PF003' THEN
		NULL;
	END;
	RAISE EXCEPTION 'mine';
END
$$;

-- no message, detail, hint or context holds a key, a token or a plaintext: no eight
-- characters of it that follow each other
CREATE FUNCTION pg_temp.tells(statement text, secret text, OUT code text, OUT tells boolean)
	LANGUAGE plpgsql AS $$
DECLARE
	message text;
	detail text;
	hint text;
	context text;
	said text;
BEGIN
	EXECUTE statement;
	code := 'none';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
		hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
	said := concat_ws(E'\n', message, detail, hint, context);
	tells := EXISTS (SELECT FROM generate_series(1, length(secret) - 7) AS i
		WHERE strpos(said, substr(secret, i, 8)) > 0);
END
$$;
-- the test would notice
SELECT * FROM pg_temp.tells('SELECT 1 / 0 AS division_by_a_secret', 'division_by_a_secret');
SELECT what, t.*
FROM (VALUES
	(1, 'key too long', $$SELECT set_config('fernet.key', 'SECRET', false)$$, :'key' || 'x'),
	(2, 'key in SET', $$SET fernet.key = 'SECRET'$$, 'hunter2hunter2'),
	(3, 'key in SET LOCAL', $$SET LOCAL fernet.key = 'SECRET'$$, overlay(:'key' PLACING '!' FROM 7)),
	(4, 'key as hex', $$SET fernet.key = 'SECRET'$$, encode('key A of pg_fernet regress tests', 'hex')),
	(5, 'key for a role', $$ALTER ROLE CURRENT_USER SET fernet.key = 'SECRET'$$, :'key'),
	(6, 'key for a function', $$CREATE FUNCTION pg_temp.f() RETURNS void LANGUAGE sql SET fernet.key = 'SECRET' AS ''$$, :'key'),
	(7, 'misspelt setting', $$SET fernet.kye = 'SECRET'$$, :'key'),
	(8, 'plaintext for a token', $$SELECT fernet_decrypt('SECRET')$$, 'xoxb-a-plaintext'),
	(9, 'token of another key', $$SELECT fernet_decrypt('SECRET')$$, overlay(:'token' PLACING CASE substr(:'token', 40, 1) WHEN 'x' THEN 'y' ELSE 'x' END FROM 40)),
	(10, 'token, bytea', $$SELECT fernet_decrypt('SECRET'::bytea)$$, overlay(:'token' PLACING CASE substr(:'token', 40, 1) WHEN 'x' THEN 'y' ELSE 'x' END FROM 40)),
	(11, 'expired token', $$SELECT fernet_decrypt('SECRET', '1 day')$$, :'token'),
	(12, 'rotate', $$SELECT fernet_rotate('SECRET')$$, overlay(:'token' PLACING CASE substr(:'token', 40, 1) WHEN 'x' THEN 'y' ELSE 'x' END FROM 40)),
	(13, 'timestamp', $$SELECT fernet_timestamp('SECRET')$$, overlay(:'token' PLACING CASE substr(:'token', 40, 1) WHEN 'x' THEN 'y' ELSE 'x' END FROM 40)),
	(14, 'plaintext, wrong time', $$SELECT fernet_encrypt('SECRET', 'infinity')$$, 'xoxb-a-plaintext'),
	(15, 'plaintext in a nested DO', $$DO 'BEGIN EXECUTE ''SELECT fernet_encrypt(''''SECRET'''', ''''infinity'''')''; END'$$, 'xoxb-a-plaintext'),
	(16, 'decrypted bytes', $$SELECT fernet_decrypt(fernet_encrypt('\xff'::bytea || 'SECRET'::bytea))$$, 'xoxb-a-plaintext')
) AS v(n, what, statement, secret), pg_temp.tells(replace(statement, 'SECRET', secret), secret) AS t ORDER BY n;
