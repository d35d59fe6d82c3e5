-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION pg_fernet" to load this file. \quit

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
	IS 'encrypts the UTF-8 form of a text under the first key of fernet.key, with the timestamp at or now';

CREATE FUNCTION fernet_encrypt(plaintext bytea, at timestamptz DEFAULT NULL)
	RETURNS text
	AS 'MODULE_PATHNAME', 'fernet_encrypt_bytea'
	LANGUAGE C
	VOLATILE
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_encrypt(bytea, timestamptz)
	IS 'encrypts bytes under the first key of fernet.key, with the timestamp at or now';

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
	IS 'decrypts a token to text; with a ttl, one that is no older than that at the time at or now';

CREATE FUNCTION fernet_decrypt(token bytea, ttl interval DEFAULT NULL, at timestamptz DEFAULT NULL)
	RETURNS text
	AS 'MODULE_PATHNAME', 'fernet_decrypt'
	LANGUAGE C
	STABLE
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_decrypt(bytea, interval, timestamptz)
	IS 'decrypts a token to text; with a ttl, one that is no older than that at the time at or now';

CREATE FUNCTION fernet_decrypt_bytea(token text, ttl interval DEFAULT NULL, at timestamptz DEFAULT NULL)
	RETURNS bytea
	AS 'MODULE_PATHNAME', 'fernet_decrypt_bytea'
	LANGUAGE C
	STABLE
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_decrypt_bytea(text, interval, timestamptz)
	IS 'decrypts a token to bytes; with a ttl, one that is no older than that at the time at or now';

CREATE FUNCTION fernet_decrypt_bytea(token bytea, ttl interval DEFAULT NULL, at timestamptz DEFAULT NULL)
	RETURNS bytea
	AS 'MODULE_PATHNAME', 'fernet_decrypt_bytea'
	LANGUAGE C
	STABLE
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_decrypt_bytea(bytea, interval, timestamptz)
	IS 'decrypts a token to bytes; with a ttl, one that is no older than that at the time at or now';

CREATE FUNCTION fernet_try_decrypt(token text, ttl interval DEFAULT NULL, at timestamptz DEFAULT NULL)
	RETURNS text
	AS 'MODULE_PATHNAME', 'fernet_try_decrypt'
	LANGUAGE C
	STABLE
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_try_decrypt(text, interval, timestamptz)
	IS 'decrypts a token to text, or NULL if it is malformed, expired or under no key of fernet.key';

CREATE FUNCTION fernet_try_decrypt(token bytea, ttl interval DEFAULT NULL, at timestamptz DEFAULT NULL)
	RETURNS text
	AS 'MODULE_PATHNAME', 'fernet_try_decrypt'
	LANGUAGE C
	STABLE
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_try_decrypt(bytea, interval, timestamptz)
	IS 'decrypts a token to text, or NULL if it is malformed, expired or under no key of fernet.key';

CREATE FUNCTION fernet_try_decrypt_bytea(token text, ttl interval DEFAULT NULL, at timestamptz DEFAULT NULL)
	RETURNS bytea
	AS 'MODULE_PATHNAME', 'fernet_try_decrypt_bytea'
	LANGUAGE C
	STABLE
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_try_decrypt_bytea(text, interval, timestamptz)
	IS 'decrypts a token to bytes, or NULL if it is malformed, expired or under no key of fernet.key';

CREATE FUNCTION fernet_try_decrypt_bytea(token bytea, ttl interval DEFAULT NULL, at timestamptz DEFAULT NULL)
	RETURNS bytea
	AS 'MODULE_PATHNAME', 'fernet_try_decrypt_bytea'
	LANGUAGE C
	STABLE
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_try_decrypt_bytea(bytea, interval, timestamptz)
	IS 'decrypts a token to bytes, or NULL if it is malformed, expired or under no key of fernet.key';

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
	IS 'which key of fernet.key opens a token, from 1; NULL if none does';

CREATE FUNCTION fernet_key_index(token bytea)
	RETURNS integer
	AS 'MODULE_PATHNAME', 'fernet_key_index'
	LANGUAGE C
	STABLE
	STRICT
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_key_index(bytea)
	IS 'which key of fernet.key opens a token, from 1; NULL if none does';

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
	IS 'a token under the first key of fernet.key with the same plaintext and timestamp; unchanged if it is under that key already';

CREATE FUNCTION fernet_rotate(token bytea)
	RETURNS bytea
	AS 'MODULE_PATHNAME', 'fernet_rotate'
	LANGUAGE C
	VOLATILE
	STRICT
	PARALLEL RESTRICTED;

COMMENT ON FUNCTION fernet_rotate(bytea)
	IS 'a token under the first key of fernet.key with the same plaintext and timestamp; unchanged if it is under that key already';

CREATE PROCEDURE fernet_rotate_column(
	relation regclass,
	column_name name,
	batch_rows integer DEFAULT 5000,
	INOUT rotated bigint DEFAULT NULL,
	INOUT unchanged bigint DEFAULT NULL,
	INOUT failed bigint DEFAULT NULL)
	AS 'MODULE_PATHNAME', 'fernet_rotate_column'
	LANGUAGE C;

COMMENT ON PROCEDURE fernet_rotate_column(regclass, name, integer, bigint, bigint, bigint)
	IS 'rotates every token of a column to the first key of fernet.key, with a commit after each batch';
