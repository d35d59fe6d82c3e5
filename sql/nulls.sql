--
-- NULL: in a required argument the result is NULL, in an optional one the default
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
RESET client_min_messages;
LOAD 'pg_fernet';
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\pset null '(null)'
\set key 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='

-- nothing to do: NULL, even without a key
SELECT fernet_encrypt(NULL::text) AS encrypt, fernet_encrypt(NULL::bytea) AS encrypt_bytea,
	fernet_encrypt(NULL::text, '2020-01-01') AS encrypt_at;
SELECT fernet_decrypt(NULL::text) AS decrypt, fernet_decrypt_bytea(NULL::text) AS decrypt_bytea,
	fernet_try_decrypt(NULL::text) AS try_decrypt, fernet_try_decrypt_bytea(NULL::text) AS try_decrypt_bytea,
	fernet_verify(NULL::text) AS verify;
SELECT fernet_rotate(NULL::text) AS rotate, fernet_timestamp(NULL::text) AS timestamp,
	fernet_key_index(NULL::text) AS key_index, fernet_is_token(NULL::text) AS is_token;
-- the bytea forms
SELECT fernet_decrypt(NULL::bytea) AS decrypt, fernet_decrypt_bytea(NULL::bytea) AS decrypt_bytea,
	fernet_try_decrypt(NULL::bytea) AS try_decrypt, fernet_try_decrypt_bytea(NULL::bytea) AS try_decrypt_bytea,
	fernet_verify(NULL::bytea) AS verify;
SELECT fernet_rotate(NULL::bytea) AS rotate, fernet_timestamp(NULL::bytea) AS timestamp,
	fernet_key_index(NULL::bytea) AS key_index, fernet_is_token(NULL::bytea) AS is_token;
-- with a key the same, whatever the other arguments are
SELECT set_config('fernet.key', :'key', false);
SELECT fernet_encrypt(NULL::text, 'infinity') AS encrypt, fernet_decrypt(NULL::text, '-1 s') AS decrypt,
	fernet_verify(NULL::bytea, '1 day', 'infinity') AS verify;

-- a NULL ttl judges no age, whatever "at" is; a NULL "at" is now
SELECT fernet_encrypt('old', '2020-01-01 00:00:00+00') AS token \gset
SELECT fernet_decrypt(:'token', NULL, NULL) AS decrypt, fernet_decrypt(:'token', NULL, '2000-01-01') AS at,
	fernet_verify(:'token', NULL, 'infinity') AS infinite_at;
SELECT fernet_try_decrypt(:'token', '1 day', NULL) AS expired, fernet_try_decrypt_bytea(:'token', '1 day', NULL) AS bytea,
	fernet_verify(:'token', '1 day', NULL) AS verify, fernet_decrypt(fernet_encrypt('new', NULL), '1 day', NULL) AS new;
-- by name
SELECT fernet_decrypt(token => :'token', at => '2020-01-01 00:00:30+00', ttl => '1 minute') AS by_name,
	fernet_encrypt(plaintext => NULL::text, at => NULL) AS encrypt;

-- NULLs in a column stay NULL, and are not counted
SET client_min_messages = warning;
CREATE TABLE regress_fernet_nulls (id integer, token text);
INSERT INTO regress_fernet_nulls VALUES (1, :'token'), (2, NULL);
SELECT id, fernet_decrypt(token) FROM regress_fernet_nulls ORDER BY id;
CALL fernet_rotate_column('regress_fernet_nulls', 'token');
SELECT * FROM fernet_rotate_batch('regress_fernet_nulls', 'token');
CALL fernet_rotate_column('regress_fernet_nulls', 'token', on_plaintext => 'encrypt');
SELECT id, fernet_decrypt(token) FROM regress_fernet_nulls ORDER BY id;

-- the procedures and the function on columns cannot do without their arguments
CALL fernet_rotate_column(NULL, 'token');
\echo :SQLSTATE
CALL fernet_rotate_column('regress_fernet_nulls', NULL);
\echo :SQLSTATE
CALL fernet_rotate_column('regress_fernet_nulls', 'token', NULL);
CALL fernet_rotate_column('regress_fernet_nulls', 'token', pause => NULL);
CALL fernet_rotate_column('regress_fernet_nulls', 'token', slice => NULL);
CALL fernet_rotate_column('regress_fernet_nulls', 'token', slices => NULL);
CALL fernet_rotate_column('regress_fernet_nulls', 'token', dry_run => NULL);
CALL fernet_rotate_column('regress_fernet_nulls', 'token', on_plaintext => NULL);
\echo :SQLSTATE
SELECT * FROM fernet_rotate_batch(NULL, 'token');
\echo :SQLSTATE
SELECT * FROM fernet_rotate_batch('regress_fernet_nulls', NULL);
SELECT * FROM fernet_rotate_batch('regress_fernet_nulls', 'token', NULL);
SELECT * FROM fernet_rotate_batch('regress_fernet_nulls', 'token', batch_rows => NULL);
CALL fernet_decrypt_column(NULL, 'token', confirm => true);
\echo :SQLSTATE
CALL fernet_decrypt_column('regress_fernet_nulls', NULL, confirm => true);
CALL fernet_decrypt_column('regress_fernet_nulls', 'token', confirm => NULL);
CALL fernet_decrypt_column('regress_fernet_nulls', 'token', true, NULL);
CALL fernet_decrypt_column('regress_fernet_nulls', 'token', true, pause => NULL);
CALL fernet_decrypt_column('regress_fernet_nulls', 'token', true, slice => NULL);
CALL fernet_decrypt_column('regress_fernet_nulls', 'token', true, slices => NULL);
-- what they give back may be given, and is ignored
CALL fernet_rotate_column('regress_fernet_nulls', 'token', rotated => 7, unchanged => 7, failed => NULL);
CALL fernet_decrypt_column('regress_fernet_nulls', 'token', true, decrypted => 7, unchanged => 7, failed => NULL);
SELECT * FROM regress_fernet_nulls ORDER BY id;
DROP TABLE regress_fernet_nulls;
