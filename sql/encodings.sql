--
-- Text is encrypted in UTF-8, whatever the encoding of the database
--
-- databases of three encodings, dropped at the end
\set home :DBNAME
CREATE DATABASE regress_fernet_latin1 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
CREATE DATABASE regress_fernet_win1252 ENCODING 'WIN1252' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
CREATE DATABASE regress_fernet_sql_ascii ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
\set key 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
-- made with Python's cryptography 38.0.4 of 'Grüße'.encode() and of 'Schlüssel €'.encode()
\set latin 'gAAAAABeC-EAlOXPyNEhgPhBP9yY-YJFySOFe47wOCZR_wnAOsPA7gOCx9f2dUYZPgS_wfteBWddIrVJB8Rl_pMKKncSCaVtEg=='
\set euro 'gAAAAABeC-EAAAECAwQFBgcICQoLDA0OD0n_1eH1ETJiqZWYcHHbPk151NWfoh59Uwe4PRqIPbmpeH3J7BOo7LKIuytqFoZo8g=='

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

\c :home
DROP DATABASE regress_fernet_latin1;
DROP DATABASE regress_fernet_win1252;
DROP DATABASE regress_fernet_sql_ascii;
