--
-- Keys that other programs derive from their secrets
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
LOAD 'pg_fernet';
\set VERBOSITY terse

-- django-fernet-fields: HKDF; computed by Python's cryptography
SELECT fernet_key_from_hkdf('secret', 'django-fernet-fields-hkdf-salt', 'django-fernet-fields')
	= 'eWHXcUXxud6rRb_yANSEsNsfZ0YFs2P6OTSzfFeL55E=' AS hkdf;
-- sqlalchemy-utils, Redash, Open WebUI: SHA-256; computed by Python's hashlib
SELECT fernet_key_from_sha256('secret') = 'K7gNU3sdo-OL0wNhqoVWhr3g6s1xYv72ol_pe_Unols=' AS sha256;
-- django-fernet-encrypted-fields: PBKDF2; computed by Python's hashlib
SELECT fernet_key_from_pbkdf2('secret', 'salt', 1000) = 'qN-JnzxPIE2WfgrWPAkph8EAVeuwF7PZ0ordIY1Peq0=' AS pbkdf2;

-- bytes give the same as their text, and need not be text
SELECT fernet_key_from_hkdf('secret'::bytea, 'salt', 'info') = fernet_key_from_hkdf('secret', 'salt', 'info') AS hkdf,
	fernet_key_from_pbkdf2('secret'::bytea, 'salt', 7) = fernet_key_from_pbkdf2('secret', 'salt', 7) AS pbkdf2,
	fernet_key_from_sha256('secret'::bytea) = fernet_key_from_sha256('secret') AS sha256,
	fernet_key_from_sha256('\xff00'::bytea) <> fernet_key_from_sha256('\xff'::bytea) AS any_bytes;
-- text counts in UTF-8
SELECT fernet_key_from_sha256('Schlüssel') = fernet_key_from_sha256(convert_to('Schlüssel', 'UTF8')) AS utf8;

-- a salt and an info may be empty, a secret may not
SELECT fernet_key_from_hkdf('secret', '', '') <> fernet_key_from_hkdf('secret', 'x', '') AS hkdf,
	fernet_key_from_pbkdf2('secret', '', 1) <> fernet_key_from_pbkdf2('secret', 'x', 1) AS pbkdf2;
SELECT fernet_key_from_hkdf('', 'salt', 'info');
SELECT fernet_key_from_pbkdf2(''::bytea, 'salt', 1);
SELECT fernet_key_from_sha256('');

-- the number of iterations has limits
SELECT fernet_key_from_pbkdf2('secret', 'salt', 0);
SELECT fernet_key_from_pbkdf2('secret', 'salt', -1);
SELECT fernet_key_from_pbkdf2('secret', 'salt', 10000001);

-- a derivation can be cancelled, however many iterations it has: what comes after
-- it is not reached
CREATE TEMPORARY SEQUENCE reached;
BEGIN;
SET LOCAL statement_timeout = '50 ms';
SELECT length(fernet_key_from_pbkdf2('secret', 'salt', 10000000)), nextval('reached');
ROLLBACK;
BEGIN;
SET LOCAL statement_timeout = '50 ms';
SELECT length(fernet_key_from_pbkdf2('secret'::bytea, 'salt', 10000000)), nextval('reached');
ROLLBACK;
SELECT NOT is_called AS stopped_before_that FROM reached;

-- NULL gives NULL
SELECT num_nulls(
	fernet_key_from_hkdf(NULL, 'salt', 'info'), fernet_key_from_hkdf('secret', NULL, 'info'),
	fernet_key_from_hkdf('secret', 'salt', NULL), fernet_key_from_pbkdf2(NULL, 'salt', 1),
	fernet_key_from_pbkdf2('secret', NULL, 1), fernet_key_from_pbkdf2('secret', 'salt', NULL),
	fernet_key_from_sha256(NULL::text), fernet_key_from_sha256(NULL::bytea)) AS nulls;

-- what is derived is a key: the secret as a bind parameter, and from then on
-- this is a session like any other
PREPARE give_key(text) AS SELECT set_config('fernet.key', fernet_key_from_sha256($1), false);
EXECUTE give_key('secret');
DEALLOCATE give_key;
SELECT fernet_decrypt(fernet_encrypt('hello'));
-- from the derived key to one of its own
SELECT fernet_encrypt('hello') AS old_token \gset
SELECT fernet_generate_key() AS new_key \gset
SELECT set_config('fernet.key', :'new_key' || ',' || fernet_key_from_sha256('secret'), false);
SELECT fernet_rotate(:'old_token') AS new_token \gset
SET fernet.key = :'new_key';
SELECT fernet_decrypt(:'new_token');
RESET fernet.key;

-- not for index expressions or generated columns, where a key would be stored
CREATE TEMP TABLE secrets (secret text);
\set VERBOSITY sqlstate
CREATE INDEX ON secrets (fernet_key_from_sha256(secret));
