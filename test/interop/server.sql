-- What the server does with the cases: server.py runs this in psql, in a folder
-- with the files that it reads. Values in them are hexadecimal.
\set ON_ERROR_STOP on
\set VERBOSITY sqlstate
\set QUIET on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
DROP SCHEMA IF EXISTS interop CASCADE;
CREATE SCHEMA interop;
SET search_path = interop, public;

CREATE TABLE open_tasks (number integer, keys text, token text, ttl bigint, at bigint);
CREATE TABLE seal_tasks (number integer, keys text, plaintext text, at bigint);
CREATE TABLE rotate_tasks (number integer, keys text, token text);
\copy open_tasks FROM 'open_tasks'
\copy seal_tasks FROM 'seal_tasks'
\copy rotate_tasks FROM 'rotate_tasks'

CREATE TABLE opened (number integer, outcome text, plaintext text, sqlstate text, key_index integer, quirk text);
CREATE TABLE sealed (number integer, token text);
CREATE TABLE rotated (number integer, outcome text, token text);

-- Sets the keys of a task, which are hexadecimal, with commas between them. Says
-- whether they are accepted.
CREATE FUNCTION set_keys(keys text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('fernet.key', string_agg(convert_from(decode(key, 'hex'), 'UTF8'), ',' ORDER BY i), false)
	FROM regexp_split_to_table(keys, ',') WITH ORDINALITY AS k(key, i);
	RETURN true;
EXCEPTION WHEN SQLSTATE 'PF002' THEN
	RETURN false;
END
$$;

-- The first 12 digits of a token, which are the version and the timestamp.
CREATE FUNCTION start_of(token bytea) RETURNS text LANGUAGE sql
	RETURN left(btrim(convert_from(token, 'UTF8'), E'\t\n\x0b\f\r '), 12);

-- The timestamp of a token as a number, negative from 2^63 on.
CREATE FUNCTION seconds_of(token bytea) RETURNS bigint LANGUAGE sql
	RETURN ('x' || encode(substr(decode(translate(start_of(token), '-_', '+/'), 'base64'), 2), 'hex'))::bit(64)::bigint;

-- The functions that read a token agree with what fernet_decrypt_bytea has said:
-- the name of the first that does not, or NULL.
CREATE FUNCTION quirk(token bytea, ttl interval, at timestamptz, opened bytea, failure text) RETURNS text
	LANGUAGE plpgsql AS $$
DECLARE
	is_opened boolean := failure IS NULL;
	-- All but the age.
	is_genuine boolean := failure IS NULL OR failure = 'PF005';
	rotated bytea;
BEGIN
	IF failure NOT IN ('PF003', 'PF004', 'PF005') THEN
		RETURN 'SQLSTATE';
	ELSIF fernet_try_decrypt_bytea(token, ttl, at) IS DISTINCT FROM opened THEN
		RETURN 'fernet_try_decrypt_bytea';
	ELSIF fernet_verify(token, ttl, at) IS DISTINCT FROM is_opened THEN
		RETURN 'fernet_verify';
	ELSIF fernet_is_token(token) IS DISTINCT FROM (failure IS DISTINCT FROM 'PF003') THEN
		RETURN 'fernet_is_token';
	ELSIF (fernet_key_index(token) IS NOT NULL) IS DISTINCT FROM is_genuine THEN
		RETURN 'fernet_key_index';
	ELSIF (SELECT replace(status, 'empty', 'malformed') FROM fernet_inspect(token)) IS DISTINCT FROM (CASE
		WHEN failure = 'PF003' THEN 'malformed' WHEN failure = 'PF004' THEN 'unknown key'
		WHEN fernet_key_index(token) = 1 THEN 'primary' ELSE 'secondary' END)
	THEN
		RETURN 'fernet_inspect';
	-- A text has no zero byte.
	ELSIF position('\x00'::bytea IN token) = 0 THEN
		IF fernet_try_decrypt_bytea(convert_from(token, 'UTF8'), ttl, at) IS DISTINCT FROM opened THEN
			RETURN 'fernet_try_decrypt_bytea(text)';
		ELSIF fernet_is_token(convert_from(token, 'UTF8')) IS DISTINCT FROM fernet_is_token(token) THEN
			RETURN 'fernet_is_token(text)';
		END IF;
	END IF;
	IF is_genuine THEN
		rotated := fernet_rotate(token);
		IF fernet_key_index(rotated) IS DISTINCT FROM 1
			OR fernet_try_decrypt_bytea(rotated) IS DISTINCT FROM fernet_try_decrypt_bytea(token)
			OR start_of(rotated) IS DISTINCT FROM start_of(token)
		THEN
			RETURN 'fernet_rotate';
		-- Later, PostgreSQL has no time.
		ELSIF seconds_of(token) BETWEEN 0 AND 9000000000000
			AND extract(epoch FROM fernet_timestamp(token)) IS DISTINCT FROM seconds_of(token)
		THEN
			RETURN 'fernet_timestamp';
		END IF;
	END IF;
	RETURN NULL;
END
$$;

CREATE PROCEDURE open_all() LANGUAGE plpgsql AS $$
DECLARE
	task record;
	opened bytea;
	failure text;
BEGIN
	FOR task IN SELECT number, keys, decode(token, 'hex') AS token, make_interval(secs => ttl) AS ttl,
		to_timestamp(at) AS at FROM open_tasks ORDER BY number
	LOOP
		IF NOT set_keys(task.keys) THEN
			INSERT INTO opened VALUES (task.number, 'refused', '', 'PF002');
			CONTINUE;
		END IF;
		opened := NULL;
		failure := NULL;
		BEGIN
			opened := fernet_decrypt_bytea(task.token, task.ttl, task.at);
		EXCEPTION WHEN OTHERS THEN
			failure := SQLSTATE;
		END;
		INSERT INTO opened SELECT task.number, CASE WHEN failure IS NULL THEN 'opened' ELSE 'refused' END,
			coalesce(encode(opened, 'hex'), ''), coalesce(failure, '00000'),
			CASE WHEN failure IS NULL THEN fernet_key_index(task.token) END,
			CASE WHEN failure IS DISTINCT FROM 'PF001'
				THEN quirk(task.token, task.ttl, task.at, opened, failure) END;
	END LOOP;
END
$$;

-- Every second text is encrypted as text, the others and what is none as bytes.
CREATE PROCEDURE seal_all() LANGUAGE plpgsql AS $$
DECLARE
	task record;
	result text;
BEGIN
	FOR task IN SELECT number, keys, decode(plaintext, 'hex') AS plaintext, to_timestamp(at) AS at
		FROM seal_tasks ORDER BY number
	LOOP
		IF NOT set_keys(task.keys) THEN
			RAISE 'a key is refused';
		END IF;
		BEGIN
			IF task.number % 2 = 0 THEN
				result := fernet_encrypt(task.plaintext, task.at);
			ELSE
				result := fernet_encrypt(convert_from(task.plaintext, 'UTF8'), task.at);
			END IF;
		EXCEPTION WHEN character_not_in_repertoire THEN
			result := fernet_encrypt(task.plaintext, task.at);
		END;
		INSERT INTO sealed VALUES (task.number, encode(result::bytea, 'hex'));
	END LOOP;
END
$$;

-- Every second token is rotated as text.
CREATE PROCEDURE rotate_all() LANGUAGE plpgsql AS $$
DECLARE
	task record;
	result bytea;
BEGIN
	FOR task IN SELECT number, keys, decode(token, 'hex') AS token FROM rotate_tasks ORDER BY number LOOP
		IF NOT set_keys(task.keys) THEN
			RAISE 'a key is refused';
		END IF;
		BEGIN
			IF task.number % 2 = 0 THEN
				result := fernet_rotate(task.token);
			ELSE
				result := fernet_rotate(convert_from(task.token, 'UTF8'))::bytea;
			END IF;
			INSERT INTO rotated VALUES (task.number, 'rotated', encode(result, 'hex'));
		EXCEPTION WHEN SQLSTATE 'PF003' OR SQLSTATE 'PF004' THEN
			INSERT INTO rotated VALUES (task.number, 'refused', '');
		END;
	END LOOP;
END
$$;

CALL open_all();
CALL seal_all();
CALL rotate_all();
CREATE TABLE made_keys AS SELECT encode(fernet_generate_key()::bytea, 'hex') FROM generate_series(1, 100);

\copy (SELECT number, outcome, plaintext, sqlstate, coalesce(key_index, 0), coalesce(quirk, '') FROM opened) TO 'opened'
\copy sealed TO 'sealed'
\copy rotated TO 'rotated'
\copy made_keys TO 'made_keys'

-- A whole column, of tokens under both keys.
CREATE TABLE vault (number integer, token text);
\copy vault FROM 'column'
SELECT count(*) > 0 AS has_column FROM vault \gset
\if :has_column
SELECT set_keys(:'column_keys') \g /dev/null
UPDATE vault SET token = convert_from(decode(token, 'hex'), 'UTF8');
CALL fernet_rotate_column('vault', 'token', batch_rows => 50) \g /dev/null
\endif
\copy (SELECT number, encode(token::bytea, 'hex') FROM vault ORDER BY number) TO 'column_rotated'
