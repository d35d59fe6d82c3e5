--
-- What a value is, at its edges: mistakes in src/pg/value that no other test sees
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
LOAD 'pg_fernet';
CREATE SCHEMA regress_fernet_edges;
SET search_path TO regress_fernet_edges, public;
\set old 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8='
\set new 'Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA='
SET fernet.key = :'old';
SELECT fernet_encrypt('secret'::text, '2020-01-01 UTC'::timestamptz) AS token \gset
SELECT left(:'token', 60) AS remnant \gset
CREATE TABLE t (id int, value text);
SELECT set_config('fernet.key', :'new' || ',' || :'old', false) \g /dev/null
\set VERBOSITY terse

-- A new token around an old one is no sign that somebody still encrypts with the old
-- key. The trigger keeps it as it is.
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.value := OLD.value; RETURN NEW; END';
CREATE TRIGGER keep BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION keep();
INSERT INTO t VALUES (1, fernet_encrypt(:'token', now() + interval '1 hour'));
\set VERBOSITY default
SET client_min_messages = error;
CALL fernet_rotate_column('t', 'value');
RESET client_min_messages;
\set VERBOSITY terse
DROP TRIGGER keep ON t;
-- A plaintext that holds a token, or what is left of one, stays encrypted.
TRUNCATE t;
INSERT INTO t VALUES (1, fernet_encrypt('like ' || :'token')), (2, fernet_encrypt('like ' || :'remnant')), (3, fernet_encrypt('like this'));
CALL fernet_decrypt_column('t', 'value', confirm => true);
SELECT id, value LIKE 'gAAAAA%' AS encrypted FROM t ORDER BY id;
-- What is left of a token in a text is no plaintext.
TRUNCATE t;
INSERT INTO t VALUES (1, 'like ' || :'remnant'), (2, 'like this');
CALL fernet_rotate_column('t', 'value', on_plaintext => 'encrypt');
SELECT id, value LIKE 'gAAAAA%' AS encrypted FROM t ORDER BY id;
-- Inside of a token it is a part of its plaintext, wherever the token is.
SET fernet.key = :'old';
SELECT fernet_encrypt(repeat('like ', 20) || :'remnant') AS holding \gset
SELECT set_config('fernet.key', :'new' || ',' || :'old', false) \g /dev/null
TRUNCATE t;
INSERT INTO t VALUES (1, :'holding'), (2, 'v1:' || :'holding');
CALL fernet_rotate_column('t', 'value');
CREATE TABLE d AS SELECT 1 AS id, jsonb_build_array(:'holding') AS value;
CALL fernet_rotate_column('d', 'value');
SELECT right(fernet_decrypt(value ->> 0), 60) = :'remnant' AS same, fernet_key_index(value ->> 0) FROM d;
-- A token that is the name of an element has another text at its end.
SELECT fernet_rotate_value(('<t>' || :'token' || '</t>')::xml) IS NULL AS content;
SELECT fernet_rotate_value(format('<%s>x</%1$s>', rtrim(:'token', '='))::xml);
-- A large token with a bad character behind its beginning
SELECT status, cause FROM fernet_inspect(overlay(fernet_encrypt(repeat('x', 40000)) PLACING '!' FROM 30000));
-- A text with a token has no blind index, with a key or without.
CREATE TABLE u (email text, email_index bytea);
CREATE TRIGGER u BEFORE INSERT ON u FOR EACH ROW EXECUTE FUNCTION fernet_blind_index_trigger('email', 'email_index', 'u');
SET fernet.index_key = :'old';
INSERT INTO u VALUES ('see ' || :'token');
RESET fernet.key;
INSERT INTO u VALUES ('see ' || :'token');
INSERT INTO u VALUES ('see');
SELECT count(*) FROM u;

SET client_min_messages = warning;
SET search_path TO DEFAULT;
DROP SCHEMA regress_fernet_edges CASCADE;
