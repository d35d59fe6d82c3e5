-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION pg_fernet" to load this file. \quit

-- a library older than this script raises a clear error, not one about a missing symbol
CREATE FUNCTION fernet_require_library(version text)
	RETURNS void
	AS 'MODULE_PATHNAME', 'fernet_require_library'
	LANGUAGE C
	VOLATILE
	STRICT
	PARALLEL SAFE;
SELECT fernet_require_library('1.0.0'::pg_catalog.text);
DROP FUNCTION fernet_require_library(text);

--
-- Keys
--

CREATE FUNCTION fernet_generate_key()
	RETURNS text
	AS 'MODULE_PATHNAME', 'fernet_generate_key'
	LANGUAGE C
	VOLATILE
	PARALLEL SAFE;

COMMENT ON FUNCTION fernet_generate_key()
	IS 'a new random Fernet key, 44 characters of URL-safe base64';

CREATE FUNCTION fernet_keys(OUT key_index integer, OUT fingerprint text, OUT is_primary boolean)
	RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'fernet_keys'
	LANGUAGE C
	STABLE
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_keys()
	IS 'the keys of this session by fingerprint, in the order of fernet.key';

CREATE FUNCTION fernet_index_keys(OUT key_index integer, OUT fingerprint text, OUT is_primary boolean)
	RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'fernet_index_keys'
	LANGUAGE C
	STABLE
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_index_keys()
	IS 'the keys of blind indexes of this session by fingerprint, in the order of fernet.index_key';

CREATE FUNCTION fernet_key_from_hkdf(secret text, salt text, info text)
	RETURNS text
	AS 'MODULE_PATHNAME', 'fernet_key_from_hkdf_text'
	LANGUAGE C
	STABLE
	STRICT
	PARALLEL SAFE;

COMMENT ON FUNCTION fernet_key_from_hkdf(text, text, text)
	IS 'the Fernet key that another program derives from its secret by HKDF with SHA-256 (RFC 5869), all three in UTF-8';

CREATE FUNCTION fernet_key_from_hkdf(secret bytea, salt bytea, info bytea)
	RETURNS text
	AS 'MODULE_PATHNAME', 'fernet_key_from_hkdf_bytea'
	LANGUAGE C
	STABLE
	STRICT
	PARALLEL SAFE;

COMMENT ON FUNCTION fernet_key_from_hkdf(bytea, bytea, bytea)
	IS 'the Fernet key that another program derives from its secret by HKDF with SHA-256 (RFC 5869)';

CREATE FUNCTION fernet_key_from_pbkdf2(secret text, salt text, iterations integer)
	RETURNS text
	AS 'MODULE_PATHNAME', 'fernet_key_from_pbkdf2_text'
	LANGUAGE C
	STABLE
	STRICT
	PARALLEL SAFE;

COMMENT ON FUNCTION fernet_key_from_pbkdf2(text, text, integer)
	IS 'the Fernet key that another program derives from its secret by PBKDF2 with HMAC-SHA256 (RFC 8018), secret and salt in UTF-8';

CREATE FUNCTION fernet_key_from_pbkdf2(secret bytea, salt bytea, iterations integer)
	RETURNS text
	AS 'MODULE_PATHNAME', 'fernet_key_from_pbkdf2_bytea'
	LANGUAGE C
	STABLE
	STRICT
	PARALLEL SAFE;

COMMENT ON FUNCTION fernet_key_from_pbkdf2(bytea, bytea, integer)
	IS 'the Fernet key that another program derives from its secret by PBKDF2 with HMAC-SHA256 (RFC 8018)';

CREATE FUNCTION fernet_key_from_sha256(secret text)
	RETURNS text
	AS 'MODULE_PATHNAME', 'fernet_key_from_sha256_text'
	LANGUAGE C
	STABLE
	STRICT
	PARALLEL SAFE;

COMMENT ON FUNCTION fernet_key_from_sha256(text)
	IS 'the Fernet key that another program derives from its secret as the SHA-256 of its UTF-8 form';

CREATE FUNCTION fernet_key_from_sha256(secret bytea)
	RETURNS text
	AS 'MODULE_PATHNAME', 'fernet_key_from_sha256_bytea'
	LANGUAGE C
	STABLE
	STRICT
	PARALLEL SAFE;

COMMENT ON FUNCTION fernet_key_from_sha256(bytea)
	IS 'the Fernet key that another program derives from its secret as the SHA-256 of its bytes';

--
-- Encrypt
--

CREATE FUNCTION fernet_encrypt(plaintext text, at timestamptz DEFAULT NULL)
	RETURNS text
	AS 'MODULE_PATHNAME', 'fernet_encrypt_text'
	LANGUAGE C
	VOLATILE
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_encrypt(text, timestamptz)
	IS 'encrypts the UTF-8 form of a text with the first key of fernet.key; the timestamp is at, by default now';

CREATE FUNCTION fernet_encrypt(plaintext bytea, at timestamptz DEFAULT NULL)
	RETURNS text
	AS 'MODULE_PATHNAME', 'fernet_encrypt_bytea'
	LANGUAGE C
	VOLATILE
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_encrypt(bytea, timestamptz)
	IS 'encrypts bytes with the first key of fernet.key; the timestamp is at, by default now';

CREATE FUNCTION fernet_blind_index(value text, context text, bits integer DEFAULT 256)
	RETURNS bytea
	AS 'MODULE_PATHNAME', 'fernet_blind_index_text'
	LANGUAGE C
	STABLE
	STRICT
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_blind_index(text, text, integer)
	IS 'finds a row by a value: a keyed hash of its UTF-8 form under the first key of fernet.index_key';

CREATE FUNCTION fernet_blind_index(value bytea, context text, bits integer DEFAULT 256)
	RETURNS bytea
	AS 'MODULE_PATHNAME', 'fernet_blind_index_bytea'
	LANGUAGE C
	STABLE
	STRICT
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_blind_index(bytea, text, integer)
	IS 'finds a row by a value: a keyed hash of its bytes under the first key of fernet.index_key';

CREATE FUNCTION fernet_blind_indexes(value text, context text, bits integer DEFAULT 256)
	RETURNS bytea[]
	AS 'MODULE_PATHNAME', 'fernet_blind_indexes_text'
	LANGUAGE C
	STABLE
	STRICT
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_blind_indexes(text, text, integer)
	IS 'the blind indexes of the UTF-8 form of a value, one for each key of fernet.index_key';

CREATE FUNCTION fernet_blind_indexes(value bytea, context text, bits integer DEFAULT 256)
	RETURNS bytea[]
	AS 'MODULE_PATHNAME', 'fernet_blind_indexes_bytea'
	LANGUAGE C
	STABLE
	STRICT
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_blind_indexes(bytea, text, integer)
	IS 'the blind indexes of the bytes of a value, one for each key of fernet.index_key';

CREATE FUNCTION fernet_blind_index_trigger()
	RETURNS trigger
	AS 'MODULE_PATHNAME', 'fernet_blind_index_trigger'
	LANGUAGE C
	VOLATILE
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_blind_index_trigger()
	IS 'keeps the blind index of a column: the arguments of the trigger are the column with the values, the one with the index, the context and the bits';

CREATE FUNCTION fernet_encrypt_trigger()
	RETURNS trigger
	AS 'MODULE_PATHNAME', 'fernet_encrypt_trigger'
	LANGUAGE C
	VOLATILE
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_encrypt_trigger()
	IS 'encrypts the columns that its arguments name, or the strings at a path of a jsonb column (column:path), before each row is inserted or updated; tokens and NULL stay as they are';

--
-- Decrypt
--

CREATE FUNCTION fernet_decrypt(token text, ttl interval DEFAULT NULL, at timestamptz DEFAULT NULL)
	RETURNS text
	AS 'MODULE_PATHNAME', 'fernet_decrypt'
	LANGUAGE C
	STABLE
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_decrypt(text, interval, timestamptz)
	IS 'decrypts a token to text; with a ttl, refuses a token that is older at the time at, by default now';

CREATE FUNCTION fernet_decrypt(token bytea, ttl interval DEFAULT NULL, at timestamptz DEFAULT NULL)
	RETURNS text
	AS 'MODULE_PATHNAME', 'fernet_decrypt'
	LANGUAGE C
	STABLE
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_decrypt(bytea, interval, timestamptz)
	IS 'decrypts a token to text; with a ttl, refuses a token that is older at the time at, by default now';

CREATE FUNCTION fernet_decrypt_bytea(token text, ttl interval DEFAULT NULL, at timestamptz DEFAULT NULL)
	RETURNS bytea
	AS 'MODULE_PATHNAME', 'fernet_decrypt_bytea'
	LANGUAGE C
	STABLE
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_decrypt_bytea(text, interval, timestamptz)
	IS 'decrypts a token to bytes; with a ttl, refuses a token that is older at the time at, by default now';

CREATE FUNCTION fernet_decrypt_bytea(token bytea, ttl interval DEFAULT NULL, at timestamptz DEFAULT NULL)
	RETURNS bytea
	AS 'MODULE_PATHNAME', 'fernet_decrypt_bytea'
	LANGUAGE C
	STABLE
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_decrypt_bytea(bytea, interval, timestamptz)
	IS 'decrypts a token to bytes; with a ttl, refuses a token that is older at the time at, by default now';

CREATE FUNCTION fernet_try_decrypt(token text, ttl interval DEFAULT NULL, at timestamptz DEFAULT NULL)
	RETURNS text
	AS 'MODULE_PATHNAME', 'fernet_try_decrypt'
	LANGUAGE C
	STABLE
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_try_decrypt(text, interval, timestamptz)
	IS 'decrypts a token to text; NULL if it is malformed or expired, or if no key of fernet.key decrypts it';

CREATE FUNCTION fernet_try_decrypt(token bytea, ttl interval DEFAULT NULL, at timestamptz DEFAULT NULL)
	RETURNS text
	AS 'MODULE_PATHNAME', 'fernet_try_decrypt'
	LANGUAGE C
	STABLE
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_try_decrypt(bytea, interval, timestamptz)
	IS 'decrypts a token to text; NULL if it is malformed or expired, or if no key of fernet.key decrypts it';

CREATE FUNCTION fernet_try_decrypt_bytea(token text, ttl interval DEFAULT NULL, at timestamptz DEFAULT NULL)
	RETURNS bytea
	AS 'MODULE_PATHNAME', 'fernet_try_decrypt_bytea'
	LANGUAGE C
	STABLE
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_try_decrypt_bytea(text, interval, timestamptz)
	IS 'decrypts a token to bytes; NULL if it is malformed or expired, or if no key of fernet.key decrypts it';

CREATE FUNCTION fernet_try_decrypt_bytea(token bytea, ttl interval DEFAULT NULL, at timestamptz DEFAULT NULL)
	RETURNS bytea
	AS 'MODULE_PATHNAME', 'fernet_try_decrypt_bytea'
	LANGUAGE C
	STABLE
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_try_decrypt_bytea(bytea, interval, timestamptz)
	IS 'decrypts a token to bytes; NULL if it is malformed or expired, or if no key of fernet.key decrypts it';

CREATE FUNCTION fernet_decrypt_json(document jsonb, path jsonpath)
	RETURNS jsonb
	AS 'MODULE_PATHNAME', 'fernet_decrypt_json'
	LANGUAGE C
	STABLE
	STRICT
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_decrypt_json(jsonb, jsonpath)
	IS 'the document with the tokens at path decrypted';

CREATE FUNCTION fernet_verify(token text, ttl interval DEFAULT NULL, at timestamptz DEFAULT NULL)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'fernet_verify'
	LANGUAGE C
	STABLE
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_verify(text, interval, timestamptz)
	IS 'whether fernet_decrypt_bytea would succeed';

CREATE FUNCTION fernet_verify(token bytea, ttl interval DEFAULT NULL, at timestamptz DEFAULT NULL)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'fernet_verify'
	LANGUAGE C
	STABLE
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_verify(bytea, interval, timestamptz)
	IS 'whether fernet_decrypt_bytea would succeed';

--
-- Examine
--

CREATE FUNCTION fernet_timestamp(token text)
	RETURNS timestamptz
	AS 'MODULE_PATHNAME', 'fernet_timestamp'
	LANGUAGE C
	STABLE
	STRICT
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_timestamp(text)
	IS 'when a token was made, authenticated by its key';

CREATE FUNCTION fernet_timestamp(token bytea)
	RETURNS timestamptz
	AS 'MODULE_PATHNAME', 'fernet_timestamp'
	LANGUAGE C
	STABLE
	STRICT
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_timestamp(bytea)
	IS 'when a token was made, authenticated by its key';

CREATE FUNCTION fernet_key_index(token text)
	RETURNS integer
	AS 'MODULE_PATHNAME', 'fernet_key_index'
	LANGUAGE C
	STABLE
	STRICT
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_key_index(text)
	IS 'the position in fernet.key, from 1, of the key that decrypts a token; NULL if none does';

CREATE FUNCTION fernet_key_index(token bytea)
	RETURNS integer
	AS 'MODULE_PATHNAME', 'fernet_key_index'
	LANGUAGE C
	STABLE
	STRICT
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_key_index(bytea)
	IS 'the position in fernet.key, from 1, of the key that decrypts a token; NULL if none does';

CREATE FUNCTION fernet_is_token(token text)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'fernet_is_token'
	LANGUAGE C
	IMMUTABLE
	STRICT
	PARALLEL SAFE;

COMMENT ON FUNCTION fernet_is_token(text)
	IS 'whether a value has the structure of a Fernet token; needs no key';

CREATE FUNCTION fernet_is_token(token bytea)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'fernet_is_token'
	LANGUAGE C
	IMMUTABLE
	STRICT
	PARALLEL SAFE;

COMMENT ON FUNCTION fernet_is_token(bytea)
	IS 'whether a value has the structure of a Fernet token; needs no key';

CREATE FUNCTION fernet_inspect(
	token text,
	OUT status text,
	OUT cause text,
	OUT detail text,
	OUT key_index integer,
	OUT fingerprint text,
	OUT created timestamptz,
	OUT payload_bytes integer)
	AS 'MODULE_PATHNAME', 'fernet_inspect'
	LANGUAGE C
	STABLE
	STRICT
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_inspect(text)
	IS 'the diagnosis of a value: status, cause in a word, detail in plain words, key, time and size; no value makes it raise an error';

CREATE FUNCTION fernet_inspect(
	token bytea,
	OUT status text,
	OUT cause text,
	OUT detail text,
	OUT key_index integer,
	OUT fingerprint text,
	OUT created timestamptz,
	OUT payload_bytes integer)
	AS 'MODULE_PATHNAME', 'fernet_inspect'
	LANGUAGE C
	STABLE
	STRICT
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_inspect(bytea)
	IS 'the diagnosis of a value: status, cause in a word, detail in plain words, key, time and size; no value makes it raise an error';

--
-- Rotate
--

CREATE FUNCTION fernet_rotate(token text)
	RETURNS text
	AS 'MODULE_PATHNAME', 'fernet_rotate'
	LANGUAGE C
	VOLATILE
	STRICT
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_rotate(text)
	IS 're-encrypts a token with the first key of fernet.key and keeps its timestamp; a token that is encrypted with that key already stays unchanged';

CREATE FUNCTION fernet_rotate(token bytea)
	RETURNS bytea
	AS 'MODULE_PATHNAME', 'fernet_rotate'
	LANGUAGE C
	VOLATILE
	STRICT
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_rotate(bytea)
	IS 're-encrypts a token with the first key of fernet.key and keeps its timestamp; a token that is encrypted with that key already stays unchanged';

CREATE FUNCTION fernet_rotate_value(value anyelement)
	RETURNS anyelement
	AS 'MODULE_PATHNAME', 'fernet_rotate_value'
	LANGUAGE C
	VOLATILE
	STRICT
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_rotate_value(anyelement)
	IS 're-encrypts every token in a value of any type with the first key of fernet.key where it stands, and keeps its timestamp; a value without a token stays unchanged';

--
-- Jobs on columns
--

CREATE PROCEDURE fernet_rotate_column(
	relation regclass,
	column_name name,
	batch_rows integer DEFAULT 5000,
	pause interval DEFAULT '0',
	slice integer DEFAULT 1,
	slices integer DEFAULT 1,
	dry_run boolean DEFAULT false,
	on_plaintext text DEFAULT 'fail',
	on_unknown text DEFAULT 'fail',
	max_lag interval DEFAULT NULL,
	INOUT rotated bigint DEFAULT NULL,
	INOUT unchanged bigint DEFAULT NULL,
	INOUT failed bigint DEFAULT NULL)
	AS 'MODULE_PATHNAME', 'fernet_rotate_column'
	LANGUAGE C;

COMMENT ON PROCEDURE fernet_rotate_column(regclass, name, integer, interval, integer, integer, boolean, text, text, interval, bigint, bigint, bigint)
	IS 're-encrypts every token of a column with the first key of fernet.key; commits after each batch';

CREATE PROCEDURE fernet_rotate_table(
	relation regclass,
	columns name[] DEFAULT NULL,
	batch_rows integer DEFAULT 5000,
	pause interval DEFAULT '0',
	slice integer DEFAULT 1,
	slices integer DEFAULT 1,
	dry_run boolean DEFAULT false,
	on_unknown text DEFAULT 'fail',
	max_lag interval DEFAULT NULL,
	INOUT rotated bigint DEFAULT NULL,
	INOUT unchanged bigint DEFAULT NULL,
	INOUT failed bigint DEFAULT NULL)
	AS 'MODULE_PATHNAME', 'fernet_rotate_table'
	LANGUAGE C;

COMMENT ON PROCEDURE fernet_rotate_table(regclass, name[], integer, interval, integer, integer, boolean, text, interval, bigint, bigint, bigint)
	IS 're-encrypts every token of several columns with the first key of fernet.key, with one write for each row; commits after each batch';

CREATE FUNCTION fernet_rotate_batch(
	relation regclass,
	column_name name,
	from_position bigint DEFAULT 0,
	batch_rows integer DEFAULT 5000,
	OUT next_position bigint,
	OUT rotated bigint,
	OUT unchanged bigint,
	OUT failed bigint)
	AS 'MODULE_PATHNAME', 'fernet_rotate_batch'
	LANGUAGE C
	VOLATILE
	PARALLEL UNSAFE;

COMMENT ON FUNCTION fernet_rotate_batch(regclass, name, bigint, integer)
	IS 're-encrypts the tokens of about batch_rows rows of a table, from a position on, in the transaction of the caller';

CREATE PROCEDURE fernet_decrypt_column(
	relation regclass,
	column_name name,
	confirm boolean DEFAULT false,
	batch_rows integer DEFAULT 5000,
	pause interval DEFAULT '0',
	slice integer DEFAULT 1,
	slices integer DEFAULT 1,
	max_lag interval DEFAULT NULL,
	INOUT decrypted bigint DEFAULT NULL,
	INOUT unchanged bigint DEFAULT NULL,
	INOUT failed bigint DEFAULT NULL)
	AS 'MODULE_PATHNAME', 'fernet_decrypt_column'
	LANGUAGE C;

COMMENT ON PROCEDURE fernet_decrypt_column(regclass, name, boolean, integer, interval, integer, integer, interval, bigint, bigint, bigint)
	IS 'replaces every token of a column by its plaintext; commits after each batch';

CREATE PROCEDURE fernet_index_column(
	relation regclass,
	source name,
	index name,
	context text,
	bits integer DEFAULT 256,
	batch_rows integer DEFAULT 5000,
	pause interval DEFAULT '0',
	max_lag interval DEFAULT NULL,
	INOUT indexed bigint DEFAULT NULL,
	INOUT unchanged bigint DEFAULT NULL,
	INOUT failed bigint DEFAULT NULL)
	AS 'MODULE_PATHNAME', 'fernet_index_column'
	LANGUAGE C;

COMMENT ON PROCEDURE fernet_index_column(regclass, name, name, text, integer, integer, interval, interval, bigint, bigint, bigint)
	IS 'fills or renews a column with the blind indexes of another column, under the first key of fernet.index_key; commits after each batch';

CREATE FUNCTION fernet_census(
	relation regclass,
	column_name name,
	OUT status text,
	OUT form text,
	OUT key_index integer,
	OUT fingerprint text,
	OUT tokens bigint,
	OUT oldest timestamptz,
	OUT newest timestamptz,
	OUT oldest_unverified timestamptz,
	OUT newest_unverified timestamptz)
	RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'fernet_census'
	LANGUAGE C
	VOLATILE
	STRICT
	PARALLEL UNSAFE;

COMMENT ON FUNCTION fernet_census(regclass, name)
	IS 'the tokens in a column by status, form and key, with the times of the oldest and the newest one; and the values without a token';

CREATE FUNCTION fernet_assert_rotated(
	relation regclass,
	column_name name DEFAULT NULL,
	on_plaintext text DEFAULT 'fail',
	on_unknown text DEFAULT 'fail',
	fingerprint text DEFAULT NULL,
	allow_empty boolean DEFAULT false)
	RETURNS void
	AS 'MODULE_PATHNAME', 'fernet_assert_rotated'
	LANGUAGE C
	VOLATILE
	PARALLEL UNSAFE;

COMMENT ON FUNCTION fernet_assert_rotated(regclass, name, text, text, text, boolean)
	IS 'raises an error unless every value of a column is a token that is encrypted with the first key of fernet.key, or, without a column, every token of the table is';

CREATE FUNCTION fernet_assert_indexed(
	relation regclass,
	source name,
	index name,
	context text,
	bits integer DEFAULT 256)
	RETURNS void
	AS 'MODULE_PATHNAME', 'fernet_assert_indexed'
	LANGUAGE C
	VOLATILE
	PARALLEL UNSAFE;

COMMENT ON FUNCTION fernet_assert_indexed(regclass, name, name, text, integer)
	IS 'raises an error unless a column holds the blind indexes of another column under the first key of fernet.index_key';

CREATE FUNCTION fernet_find_tokens(
	schemas name[] DEFAULT NULL,
	relations regclass[] DEFAULT NULL,
	sample_percent double precision DEFAULT 100,
	OUT relation regclass,
	OUT column_name name,
	OUT type text,
	OUT form text,
	OUT status text,
	OUT key_index integer,
	OUT fingerprint text,
	OUT tokens bigint,
	OUT detail text)
	RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'fernet_find_tokens'
	LANGUAGE C
	VOLATILE
	PARALLEL UNSAFE;

COMMENT ON FUNCTION fernet_find_tokens(name[], regclass[], double precision)
	IS 'every place of the database that holds tokens, by form and key, and every place that was not read';

CREATE FUNCTION fernet_assert_database_rotated(
	schemas name[] DEFAULT NULL,
	except_places text[] DEFAULT NULL,
	on_unknown text DEFAULT 'fail',
	fingerprint text DEFAULT NULL,
	allow_empty boolean DEFAULT false)
	RETURNS void
	AS 'MODULE_PATHNAME', 'fernet_assert_database_rotated'
	LANGUAGE C
	VOLATILE
	PARALLEL UNSAFE;

COMMENT ON FUNCTION fernet_assert_database_rotated(name[], text[], text, text, boolean)
	IS 'raises an error unless the first key encrypted every token of the database, and every place was read';

CREATE FUNCTION fernet_doctor(OUT item text, OUT status text, OUT detail text, OUT hint text)
	RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'fernet_doctor'
	LANGUAGE C
	VOLATILE
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_doctor()
	IS 'settings and surroundings by which keys or plaintexts could leak, and what to do about each';

--
-- Counters
--

CREATE FUNCTION fernet_stat(
	OUT datid oid,
	OUT roleid oid,
	OUT encrypted bigint,
	OUT decrypted bigint,
	OUT rotated bigint,
	OUT malformed bigint,
	OUT no_key_opens bigint,
	OUT wrong_age bigint,
	OUT key_errors bigint,
	OUT stats_reset timestamptz)
	RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'fernet_stat'
	LANGUAGE C
	VOLATILE
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_stat()
	IS 'the rows of the views pg_stat_fernet and pg_stat_fernet_roles';

CREATE VIEW pg_stat_fernet AS
SELECT s.datid, d.datname, s.encrypted, s.decrypted, s.rotated, s.malformed,
	s.no_key_opens, s.wrong_age, s.key_errors, s.stats_reset
FROM fernet_stat() AS s
LEFT JOIN pg_catalog.pg_database AS d ON d.oid OPERATOR(pg_catalog.=) s.datid
WHERE s.roleid IS NULL;

COMMENT ON VIEW pg_stat_fernet
	IS 'how often tokens were encrypted, decrypted, rotated and refused, by database; empty before PostgreSQL 17 without shared_preload_libraries';
COMMENT ON COLUMN pg_stat_fernet.datid
	IS 'the database, by oid';
COMMENT ON COLUMN pg_stat_fernet.datname
	IS 'the database, by name; NULL if it was dropped';
COMMENT ON COLUMN pg_stat_fernet.encrypted
	IS 'values encrypted';
COMMENT ON COLUMN pg_stat_fernet.decrypted
	IS 'tokens decrypted';
COMMENT ON COLUMN pg_stat_fernet.rotated
	IS 'tokens re-encrypted with the first key';
COMMENT ON COLUMN pg_stat_fernet.malformed
	IS 'values refused because they are not tokens (PF003)';
COMMENT ON COLUMN pg_stat_fernet.no_key_opens
	IS 'tokens that no key decrypted (PF004)';
COMMENT ON COLUMN pg_stat_fernet.wrong_age
	IS 'tokens expired or from the future (PF005)';
COMMENT ON COLUMN pg_stat_fernet.key_errors
	IS 'keys refused or missing (PF001, PF002, PF006)';
COMMENT ON COLUMN pg_stat_fernet.stats_reset
	IS 'when the counting began';

GRANT SELECT ON pg_stat_fernet TO PUBLIC;

-- NULL in roleid is a row of pg_stat_fernet; 0 is what had no place of its own.
CREATE VIEW pg_stat_fernet_roles AS
SELECT s.datid, d.datname, s.roleid, r.rolname, s.encrypted, s.decrypted, s.rotated, s.malformed,
	s.no_key_opens, s.wrong_age, s.key_errors, s.stats_reset
FROM fernet_stat() AS s
LEFT JOIN pg_catalog.pg_database AS d ON d.oid OPERATOR(pg_catalog.=) s.datid
LEFT JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) s.roleid
WHERE s.roleid IS NOT NULL;

COMMENT ON VIEW pg_stat_fernet_roles
	IS 'how often tokens were encrypted, decrypted, rotated and refused, by database and role: your own, or all as a member of pg_monitor';
COMMENT ON COLUMN pg_stat_fernet_roles.datid
	IS 'the database, by oid; 0 for those without a place of their own';
COMMENT ON COLUMN pg_stat_fernet_roles.datname
	IS 'the database, by name; NULL if it was dropped';
COMMENT ON COLUMN pg_stat_fernet_roles.roleid
	IS 'the role of the session, after SET ROLE the other one, by oid';
COMMENT ON COLUMN pg_stat_fernet_roles.rolname
	IS 'the role, by name; NULL if it was dropped';
COMMENT ON COLUMN pg_stat_fernet_roles.encrypted
	IS 'values encrypted';
COMMENT ON COLUMN pg_stat_fernet_roles.decrypted
	IS 'tokens decrypted';
COMMENT ON COLUMN pg_stat_fernet_roles.rotated
	IS 'tokens re-encrypted with the first key';
COMMENT ON COLUMN pg_stat_fernet_roles.malformed
	IS 'values refused because they are not tokens (PF003)';
COMMENT ON COLUMN pg_stat_fernet_roles.no_key_opens
	IS 'tokens that no key decrypted (PF004)';
COMMENT ON COLUMN pg_stat_fernet_roles.wrong_age
	IS 'tokens expired or from the future (PF005)';
COMMENT ON COLUMN pg_stat_fernet_roles.key_errors
	IS 'keys refused or missing (PF001, PF002, PF006)';
COMMENT ON COLUMN pg_stat_fernet_roles.stats_reset
	IS 'when the counting began';

GRANT SELECT ON pg_stat_fernet_roles TO PUBLIC;

CREATE FUNCTION fernet_stat_reset()
	RETURNS void
	AS 'MODULE_PATHNAME', 'fernet_stat_reset'
	LANGUAGE C
	VOLATILE
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_stat_reset()
	IS 'sets the counters of this database to zero';

REVOKE ALL ON FUNCTION fernet_stat_reset() FROM PUBLIC;

--
-- Ledger of jobs on columns
--

-- What lies behind the ledger is a materialized view, whose pages the library
-- writes itself: see ledger_pages.hpp. REFRESH reads them and writes them again.
-- A view has no part in dumps, publications or logical decoding, and what belongs
-- to the superuser is not for the extension's owner to change.
CREATE FUNCTION fernet_ledger_rows(
	OUT id bigint,
	OUT started timestamptz,
	OUT updated timestamptz,
	OUT finished timestamptz,
	OUT done bigint,
	OUT total bigint,
	OUT rotated bigint,
	OUT unchanged bigint,
	OUT failed bigint,
	OUT reloid oid,
	OUT role_id oid,
	OUT lock_part oid,
	OUT pid integer,
	OUT slice integer,
	OUT slices integer,
	OUT pass integer,
	OUT state name,
	OUT operation text,
	OUT relation text,
	OUT columns name[],
	OUT role text,
	OUT fingerprint text)
	RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'fernet_ledger_rows'
	LANGUAGE C
	VOLATILE
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_ledger_rows()
	IS 'the rows of the view fernet_rotation: the jobs of the calling role, or of all roles for a member of pg_monitor';

CREATE MATERIALIZED VIEW fernet_ledger USING heap AS
SELECT r.id, r.started, r.updated, r.finished, r.done, r.total, r.rotated, r.unchanged, r.failed, r.reloid, r.role_id, r.lock_part, r.pid, r.slice, r.slices, r.pass, r.state, r.operation, r.relation, r.columns, r.role, r.fingerprint
FROM fernet_ledger_rows() AS r;

REVOKE ALL ON fernet_ledger FROM PUBLIC;

COMMENT ON MATERIALIZED VIEW fernet_ledger
	IS 'where the library keeps the rows of fernet_rotation';
COMMENT ON COLUMN fernet_ledger.id
	IS 'the job; one for each slice';
COMMENT ON COLUMN fernet_ledger.started
	IS 'when the job began';
COMMENT ON COLUMN fernet_ledger.updated
	IS 'when the row was last written, after a batch';
COMMENT ON COLUMN fernet_ledger.finished
	IS 'when the job ended; -infinity until then';
COMMENT ON COLUMN fernet_ledger.done
	IS 'how much of this pass is done, in units of the job';
COMMENT ON COLUMN fernet_ledger.total
	IS 'how much this pass has to do, in the same units';
COMMENT ON COLUMN fernet_ledger.rotated
	IS 'values changed so far';
COMMENT ON COLUMN fernet_ledger.unchanged
	IS 'values that needed no change';
COMMENT ON COLUMN fernet_ledger.failed
	IS 'values that could not be changed';
COMMENT ON COLUMN fernet_ledger.reloid
	IS 'the table, by oid';
COMMENT ON COLUMN fernet_ledger.role_id
	IS 'the role that called the job, by oid';
COMMENT ON COLUMN fernet_ledger.lock_part
	IS 'with reloid, the advisory lock that the job holds while it works';
COMMENT ON COLUMN fernet_ledger.pid
	IS 'the process of the session';
COMMENT ON COLUMN fernet_ledger.slice
	IS 'the slice of the table, from 1';
COMMENT ON COLUMN fernet_ledger.slices
	IS 'the number of slices';
COMMENT ON COLUMN fernet_ledger.pass
	IS 'the number of the pass over the table, from 1';
COMMENT ON COLUMN fernet_ledger.state
	IS 'running, waiting, done, failed or interrupted';
COMMENT ON COLUMN fernet_ledger.operation
	IS 'rotate, decrypt or index';
COMMENT ON COLUMN fernet_ledger.relation
	IS 'the table, by its name at that time';
COMMENT ON COLUMN fernet_ledger.columns
	IS 'the columns, at most the first 64';
COMMENT ON COLUMN fernet_ledger.role
	IS 'the role that called the job, by its name at that time';
COMMENT ON COLUMN fernet_ledger.fingerprint
	IS 'the fingerprint of the first key of fernet.key, or of fernet.index_key for an index';

CREATE VIEW fernet_rotation WITH (security_barrier = true) AS
SELECT r.id, r.operation, r.relation, r.columns, r.role, r.pid, r.slice, r.slices,
	r.fingerprint, r.started, r.updated,
	CASE WHEN pg_catalog.isfinite(r.finished) THEN r.finished END AS finished,
	r.state::pg_catalog.text AS state,
	r.pass, r.done, r.total, r.rotated, r.unchanged, r.failed
FROM fernet_ledger_rows() AS r;

COMMENT ON VIEW fernet_rotation
	IS 'one row for each call of fernet_rotate_column, fernet_rotate_table, fernet_decrypt_column or fernet_index_column and slice; a role sees its own, a member of pg_monitor all';
COMMENT ON COLUMN fernet_rotation.id
	IS 'the job; one for each slice';
COMMENT ON COLUMN fernet_rotation.operation
	IS 'rotate, decrypt or index';
COMMENT ON COLUMN fernet_rotation.relation
	IS 'the table, by its name at that time';
COMMENT ON COLUMN fernet_rotation.columns
	IS 'the columns, at most the first 64';
COMMENT ON COLUMN fernet_rotation.role
	IS 'the role that called the job, by its name at that time';
COMMENT ON COLUMN fernet_rotation.pid
	IS 'the process of the session';
COMMENT ON COLUMN fernet_rotation.slice
	IS 'the slice of the table, from 1';
COMMENT ON COLUMN fernet_rotation.slices
	IS 'the number of slices';
COMMENT ON COLUMN fernet_rotation.fingerprint
	IS 'the fingerprint of the first key of fernet.key, or of fernet.index_key for an index';
COMMENT ON COLUMN fernet_rotation.started
	IS 'when the job began';
COMMENT ON COLUMN fernet_rotation.updated
	IS 'when the row was last written, after a batch';
COMMENT ON COLUMN fernet_rotation.finished
	IS 'when the job ended; NULL until then';
COMMENT ON COLUMN fernet_rotation.state
	IS 'running, waiting for a standby or for transactions, done, failed, or interrupted when its session is gone';
COMMENT ON COLUMN fernet_rotation.pass
	IS 'the number of the pass over the table, from 1';
COMMENT ON COLUMN fernet_rotation.done
	IS 'how much of this pass is done, in units of the job';
COMMENT ON COLUMN fernet_rotation.total
	IS 'how much this pass has to do, in the same units';
COMMENT ON COLUMN fernet_rotation.rotated
	IS 'values changed so far';
COMMENT ON COLUMN fernet_rotation.unchanged
	IS 'values that needed no change';
COMMENT ON COLUMN fernet_rotation.failed
	IS 'values that could not be changed';

GRANT SELECT ON fernet_rotation TO PUBLIC;

CREATE VIEW fernet_rotation_progress WITH (security_barrier = true) AS
SELECT r.id, r.operation, r.relation, r.columns, r.role, r.pid, r.slice, r.slices,
	r.fingerprint, r.started, r.updated, r.state,
	r.pass, r.done, r.total, r.rotated, r.unchanged, r.failed,
	share, rate,
	CASE WHEN r.pass OPERATOR(pg_catalog.=) 1 AND share OPERATOR(pg_catalog.>) 0
		THEN (r.updated OPERATOR(pg_catalog.-) r.started)
			OPERATOR(pg_catalog.*) ((1 OPERATOR(pg_catalog.-) share)
			OPERATOR(pg_catalog./) share) END AS time_left
FROM fernet_rotation AS r,
	LATERAL (SELECT
		r.done::pg_catalog.float8 OPERATOR(pg_catalog./)
			NULLIF(r.total::pg_catalog.float8, 0::pg_catalog.float8) AS share,
		r.rotated::pg_catalog.float8 OPERATOR(pg_catalog./)
			NULLIF(pg_catalog.date_part('epoch', r.updated OPERATOR(pg_catalog.-) r.started),
				0::pg_catalog.float8)
			AS rate) AS derived
WHERE r.state OPERATOR(pg_catalog.=) 'running'
	OR r.state OPERATOR(pg_catalog.=) 'waiting';

COMMENT ON VIEW fernet_rotation_progress
	IS 'running jobs on columns, with share, values per second and time left';
COMMENT ON COLUMN fernet_rotation_progress.id
	IS 'the job; one for each slice';
COMMENT ON COLUMN fernet_rotation_progress.operation
	IS 'rotate, decrypt or index';
COMMENT ON COLUMN fernet_rotation_progress.relation
	IS 'the table, by its name at that time';
COMMENT ON COLUMN fernet_rotation_progress.columns
	IS 'the columns, at most the first 64';
COMMENT ON COLUMN fernet_rotation_progress.role
	IS 'the role that called the job, by its name at that time';
COMMENT ON COLUMN fernet_rotation_progress.pid
	IS 'the process of the session';
COMMENT ON COLUMN fernet_rotation_progress.slice
	IS 'the slice of the table, from 1';
COMMENT ON COLUMN fernet_rotation_progress.slices
	IS 'the number of slices';
COMMENT ON COLUMN fernet_rotation_progress.fingerprint
	IS 'the fingerprint of the first key of fernet.key, or of fernet.index_key for an index';
COMMENT ON COLUMN fernet_rotation_progress.started
	IS 'when the job began';
COMMENT ON COLUMN fernet_rotation_progress.updated
	IS 'when the row was last written, after a batch';
COMMENT ON COLUMN fernet_rotation_progress.state
	IS 'running, or waiting for a standby or for transactions';
COMMENT ON COLUMN fernet_rotation_progress.pass
	IS 'the number of the pass over the table, from 1';
COMMENT ON COLUMN fernet_rotation_progress.done
	IS 'how much of this pass is done, in units of the job';
COMMENT ON COLUMN fernet_rotation_progress.total
	IS 'how much this pass has to do, in the same units';
COMMENT ON COLUMN fernet_rotation_progress.rotated
	IS 'values changed so far';
COMMENT ON COLUMN fernet_rotation_progress.unchanged
	IS 'values that needed no change';
COMMENT ON COLUMN fernet_rotation_progress.failed
	IS 'values that could not be changed';
COMMENT ON COLUMN fernet_rotation_progress.share
	IS 'done of total, from 0 to 1';
COMMENT ON COLUMN fernet_rotation_progress.rate
	IS 'values changed per second since the job began';
COMMENT ON COLUMN fernet_rotation_progress.time_left
	IS 'the estimate at this rate; NULL before the first batch and after the first pass';

GRANT SELECT ON fernet_rotation_progress TO PUBLIC;
