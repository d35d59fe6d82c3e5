--
-- Text is encrypted in UTF-8, whatever the encoding of the database
--
-- databases of four encodings, dropped at the end
\set home :DBNAME
CREATE DATABASE regress_fernet_latin1 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
CREATE DATABASE regress_fernet_win1252 ENCODING 'WIN1252' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
CREATE DATABASE regress_fernet_euc_jp ENCODING 'EUC_JP' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
CREATE DATABASE regress_fernet_sql_ascii ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
\set key 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
-- made with Python's cryptography 38.0.4 of 'Grüße'.encode() and of 'Schlüssel €'.encode()
\set latin 'gAAAAABeC-EAlOXPyNEhgPhBP9yY-YJFySOFe47wOCZR_wnAOsPA7gOCx9f2dUYZPgS_wfteBWddIrVJB8Rl_pMKKncSCaVtEg=='
\set euro 'gAAAAABeC-EAAAECAwQFBgcICQoLDA0OD0n_1eH1ETJiqZWYcHHbPk151NWfoh59Uwe4PRqIPbmpeH3J7BOo7LKIuytqFoZo8g=='

-- a column of plaintexts, given in UTF-8 as :plaintext, is adopted, counted, rotated, and
-- decrypted again; there is one value that is not to be read in the encoding
\set new 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
SELECT $$
SET client_min_messages = error;
CREATE TABLE secrets AS SELECT i AS id, convert_from(:'plaintext', 'UTF8') || i AS token FROM generate_series(1, 10) AS i;
CALL fernet_rotate_column('secrets', 'token', on_plaintext => 'encrypt');
SET fernet.key = :'new_and_old';
SELECT status, tokens FROM fernet_census('secrets', 'token');
CALL fernet_rotate_column('secrets', 'token');
SELECT fernet_assert_rotated('secrets', 'token') IS NOT NULL AS silent;
SELECT count(*) FILTER (WHERE fernet_decrypt_bytea(token) = :'plaintext'::bytea || i::text::bytea) AS in_utf8 FROM secrets AS s(i);
INSERT INTO secrets VALUES (11, fernet_encrypt('\xfcff'::bytea));
CALL fernet_decrypt_column('secrets', 'token', confirm => true);
SELECT count(*) FILTER (WHERE token = convert_from(:'plaintext', 'UTF8') || id) AS as_before,
	count(*) FILTER (WHERE fernet_decrypt_bytea(token) = '\xfcff') AS still_a_token FROM secrets;
SELECT operation, state, rotated, failed FROM fernet_rotation ORDER BY id;
RESET client_min_messages;
$$ AS column_job \gset
\set new_and_old :new ',' :key

--
-- LATIN1
--
\c regress_fernet_latin1
SET client_encoding = 'UTF8';
CREATE EXTENSION pg_fernet;
SELECT set_config('fernet.key', :'key', false);
-- the bytes in the database are others than those in the token
SELECT plaintext::bytea AS in_database, fernet_decrypt_bytea(fernet_encrypt(plaintext)) AS in_token,
	fernet_decrypt(fernet_encrypt(plaintext)) = plaintext AS same
FROM (VALUES (chr(252) || 'ber')) AS v(plaintext);
SELECT fernet_decrypt(:'latin') = 'Gr' || chr(252) || chr(223) || 'e' AS same, length(fernet_decrypt(:'latin'));
-- every character there is
SELECT count(*), count(*) FILTER (WHERE fernet_decrypt(fernet_encrypt(chr(i))) = chr(i)
	AND fernet_decrypt_bytea(fernet_encrypt(chr(i))) = convert(chr(i)::bytea, 'LATIN1', 'UTF8')) AS same
FROM generate_series(1, 255) AS i WHERE chr(i) <> '\';
SELECT length(fernet_decrypt(fernet_encrypt(repeat(chr(252), 100000))));
-- what the encoding lacks, here the euro sign, cannot be given back as text
SELECT fernet_decrypt(:'euro');
\echo :SQLSTATE
SELECT fernet_try_decrypt(:'euro');
SELECT convert_from(substr(fernet_decrypt_bytea(:'euro'), 1, 10), 'UTF8') = 'Schl' || chr(252) || 'ssel' AS same_so_far,
	substr(fernet_decrypt_bytea(:'euro'), 11) AS euro_in_utf8;
-- nor can bytes that are no text at all
SELECT fernet_decrypt(fernet_encrypt('\xfc'::bytea));
SELECT fernet_decrypt(fernet_encrypt('\x610062'::bytea));
-- bytes are not converted
SELECT fernet_decrypt_bytea(fernet_encrypt('\xfc'::bytea));
-- a token with a character of the encoding in it
SELECT fernet_is_token(chr(252) || :'latin'), fernet_try_decrypt(chr(252) || :'latin');
\set plaintext '\\x4772c3bcc39f65'
:column_job

--
-- WIN1252, where some bytes are no character
--
\c regress_fernet_win1252
SET client_encoding = 'UTF8';
CREATE EXTENSION pg_fernet;
SELECT set_config('fernet.key', :'key', false);
SELECT fernet_decrypt(:'euro') = 'Schl' || chr(252) || 'ssel ' || chr(128) AS same;
SELECT fernet_encrypt('secret ' || chr(129));
\echo :SQLSTATE
SELECT fernet_decrypt_bytea(fernet_encrypt(('secret ' || chr(129))::bytea));

--
-- EUC_JP, of two and three bytes for a character
--
\c regress_fernet_euc_jp
SET client_encoding = 'UTF8';
CREATE EXTENSION pg_fernet;
SELECT set_config('fernet.key', :'key', false);
-- the name of Japan
SELECT plaintext::bytea AS in_database, fernet_decrypt_bytea(fernet_encrypt(plaintext)) AS in_token,
	fernet_decrypt(fernet_encrypt(plaintext)) = plaintext AS same
FROM convert_from('\xe697a5e69cac', 'UTF8') AS plaintext;
SELECT fernet_decrypt(:'euro');
\echo :SQLSTATE
\set plaintext '\\xe697a5e69cac'
:column_job

--
-- SQL_ASCII, where a character is a byte: text must be UTF-8 to be encrypted
--
\c regress_fernet_sql_ascii
CREATE EXTENSION pg_fernet;
SELECT set_config('fernet.key', :'key', false);
SELECT fernet_decrypt_bytea(fernet_encrypt(E'\xC3\xBCber'));
SELECT fernet_decrypt(:'latin') = E'Gr\xC3\xBC\xC3\x9Fe' AS same;
SELECT fernet_encrypt(E'secret \xFC');
\echo :SQLSTATE
SELECT fernet_decrypt_bytea(fernet_encrypt('secret \374'::bytea));
SELECT fernet_decrypt(fernet_encrypt('\xfc'::bytea));
\set plaintext '\\x4772c3bcc39f65'
:column_job
-- bytes of another encoding are left, and said to have failed
SET fernet.key = :'key';
CREATE TABLE others AS SELECT E'secret \xFC' AS token UNION ALL SELECT 'secret';
SET client_min_messages = warning;
CALL fernet_rotate_column('others', 'token', on_plaintext => 'encrypt');
\echo :SQLSTATE
SELECT fernet_is_token(token), count(*) FROM others GROUP BY 1 ORDER BY 1;

\c :home
DROP DATABASE regress_fernet_latin1 WITH (FORCE);
DROP DATABASE regress_fernet_win1252 WITH (FORCE);
DROP DATABASE regress_fernet_euc_jp WITH (FORCE);
DROP DATABASE regress_fernet_sql_ascii WITH (FORCE);
