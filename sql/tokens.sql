--
-- Which values are tokens, and how long one is good
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
RESET client_min_messages;
LOAD 'pg_fernet';
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';

-- what fernet_decrypt_bytea says of a token: the bytes, or SQLSTATE, message and detail
CREATE FUNCTION pg_temp.outcome(token text, ttl interval DEFAULT NULL, at timestamptz DEFAULT NULL)
	RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	detail text;
BEGIN
	RETURN convert_from(fernet_decrypt_bytea(token, ttl, at), 'UTF8');
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(E'\n', SQLSTATE || ' ' || message, nullif(detail, ''));
END
$$;

-- the vectors of the Fernet specification (test/vectors, commit 20dead4): the one to
-- accept
\set spec_key 'cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4='
SELECT set_config('fernet.key', :'spec_key', false);
SELECT pg_temp.outcome('gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==',
	'60 s', '1985-10-26 01:20:01-07');
-- and those to refuse: malformed, a wrong HMAC or padding, a genuine token at the
-- wrong time
SELECT description, pg_temp.outcome(token, '60 s', at)
FROM (VALUES
	(1, 'incorrect mac', 'gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykQUFBQUFBQUFBQQ==', timestamptz '1985-10-26 01:20:01-07'),
	(2, 'too short', 'gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPA==', '1985-10-26 01:20:01-07'),
	(3, 'invalid base64', '%%%%%%%%%%%%%AECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykRtfsH-p1YsUD2Q==', '1985-10-26 01:20:01-07'),
	(4, 'payload size not multiple of block size', 'gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPOm73QeoCk9uGib28Xe5vz6oxq5nmxbx_v7mrfyudzUm', '1985-10-26 01:20:01-07'),
	(5, 'payload padding error', 'gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0ODz4LEpdELGQAad7aNEHbf-JkLPIpuiYRLQ3RtXatOYREu2FWke6CnJNYIbkuKNqOhw==', '1985-10-26 01:20:01-07'),
	(6, 'far-future TS (unacceptable clock skew)', 'gAAAAAAdwStRAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAnja1xKYyhd-Y6mSkTOyTGJmw2Xc2a6kBd-iX9b_qXQcw==', '1985-10-26 01:20:01-07'),
	(7, 'expired TTL', 'gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykRtfsH-p1YsUD2Q==', '1985-10-26 01:21:31-07'),
	(8, 'incorrect IV (causes padding error)', 'gAAAAAAdwJ6xBQECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAkLhFLHpGtDBRLRTZeUfWgHSv49TF2AUEZ1TIvcZjK1zQ==', '1985-10-26 01:20:01-07')
) AS v(n, description, token, at) ORDER BY n;

-- a token of 2020-01-01, and every way for a value not to be one
\set key 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set token 'gAAAAABeC-EAAAECAwQFBgcICQoLDA0OD0AggWCYATtLAWeYjflMJyNCeWV0aQsYadoNArhNFGnvRWY6FjVx7EXYB1vxjNrvnA=='
SELECT set_config('fernet.key', :'key', false);
SELECT what, fernet_is_token(token) AS is_token, pg_temp.outcome(token)
FROM (VALUES
	(1, 'the token', :'token'),
	(2, 'no padding', rtrim(:'token', '=')),
	(3, 'space around', E' \t' || :'token' || E'\r\n'),
	(4, 'one = of two', rtrim(:'token', '=') || '='),
	(5, 'three =', :'token' || '='),
	(6, '= inside', overlay(:'token' PLACING '=' FROM 51)),
	(7, 'empty', ''),
	(8, 'only space', '   '),
	(9, 'plaintext', 'not a token'),
	(10, 'standard +', overlay(:'token' PLACING '+' FROM 9)),
	(11, 'standard /', overlay(:'token' PLACING '/' FROM 9)),
	(12, 'line end inside', overlay(:'token' PLACING E'\n' FROM 77)),
	(13, 'space before, bad character', '  ' || overlay(:'token' PLACING '*' FROM 1)),
	(14, 'non-ASCII', 'ü' || :'token'),
	(15, 'one character lost', left(rtrim(:'token', '='), -1)),
	(16, 'three lost', left(rtrim(:'token', '='), -3)),
	(17, 'trailing bits', left(:'token', 97) || 'x=='),
	(18, 'version 0x81', overlay(:'token' PLACING 'gQ' FROM 1)),
	(19, 'a JWT', 'eyJhbGciOiJIUzI1NiJ9'),
	(20, 'too short by a byte', 'gAAA' || repeat('A', 92)),
	(21, 'only the version', 'gA=='),
	(22, 'ciphertext of 20 bytes', left(:'token', 8) || repeat('A', 96)),
	(23, 'ciphertext of 16 bytes, wrong HMAC', left(:'token', 8) || repeat('A', 90) || '==')
) AS v(n, what, token) ORDER BY n;
-- a token that was cut or changed is never decrypted. White space and padding aside
SELECT count(*) AS cut, count(fernet_try_decrypt(left(:'token', n))) AS opened FROM generate_series(0, 97) AS n;
SELECT count(*) AS changed, count(fernet_try_decrypt(overlay(:'token' PLACING
	CASE substr(:'token', n, 1) WHEN 'A' THEN 'B' ELSE 'A' END FROM n))) AS opened
FROM generate_series(1, 98) AS n;

-- good as long as its age is at most the ttl, in whole seconds; the HMAC first
SELECT n, ttl, at, pg_temp.outcome(:'token', ttl, at)
FROM (VALUES
	(1, interval '60 s', timestamptz '2020-01-01 00:00:00+00'),
	(2, '60 s', '2020-01-01 00:01:00+00'),
	(3, '60 s', '2020-01-01 00:01:00.999999+00'),
	(4, '60 s', '2020-01-01 00:01:01+00'),
	(5, '60.9 s', '2020-01-01 00:01:01+00'),
	(6, '0', '2020-01-01 00:00:00+00'),
	(7, '0', '2020-01-01 00:00:01+00'),
	(8, '1 day', '2020-01-02 00:00:01+00'),
	(9, '1 month', '2020-01-31 00:00:00+00'),
	(10, '1 month', '2020-01-31 00:00:01+00'),
	(11, '1 month -30 days', '2020-01-01 00:00:00+00'),
	(12, '178000000 years', '294276-12-31 00:00:00+00'),
	(13, NULL, '294276-12-31 00:00:00+00')
) AS v(n, ttl, at) ORDER BY n;
-- a clock that is slow by up to 60 s is forgiven; without a ttl any clock is
SELECT n, ttl, at, pg_temp.outcome(:'token', ttl, at)
FROM (VALUES
	(1, interval '1 day', timestamptz '2019-12-31 23:59:00+00'),
	(2, '1 day', '2019-12-31 23:58:59+00'),
	(3, NULL, '2019-12-31 23:58:59+00'),
	(4, '1 day', '1969-12-31 00:00:00+00'),
	(5, '1 day', '4713-01-01 00:00:00+00 BC')
) AS v(n, ttl, at) ORDER BY n;
-- by the clock
SELECT fernet_try_decrypt(:'token', '1 year') IS NULL AS old, fernet_try_decrypt(fernet_encrypt('new'), '1 minute');
SELECT fernet_verify(fernet_encrypt('x', now() + interval '30 s'), '1 minute') AS half_a_minute_ahead,
	fernet_verify(fernet_encrypt('x', now() + interval '10 min'), '1 minute') AS ten_minutes_ahead;
-- a ttl below zero and an infinite time are mistakes of the caller, also for a try
SELECT fernet_decrypt(:'token', '-1 s');
SELECT fernet_try_decrypt(:'token', '-0.001 s');
SELECT fernet_verify(:'token', '1 day', 'infinity');
SELECT fernet_try_decrypt_bytea(:'token', '1 day', '-infinity');

-- the timestamp may be any unsigned 64-bit number. Made with Python's cryptography
-- 38.0.4: of 1970, of PostgreSQL's last second, of the next, and 2^64 - 1
\set at_0 'gAAAAAAAAAAAAAECAwQFBgcICQoLDA0OD0AggWCYATtLAWeYjflMJyPeD3g1z-NydlUGqzc7dFAiEEkX8ZUzSWHCAK28jpFATw=='
\set at_last 'gAAACGO0Mtn_AAECAwQFBgcICQoLDA0OD0AggWCYATtLAWeYjflMJyN6r7XQHK4ijZi-YqC8A0yD-JNqgyvNEDXiKhtnbs5jbw=='
\set at_next 'gAAACGO0MtoAAAECAwQFBgcICQoLDA0OD0AggWCYATtLAWeYjflMJyOj3HKRMFF5sPPIZSmbjflp0F-OpFOx_6tZHARhpKqjcQ=='
\set at_max 'gP__________AAECAwQFBgcICQoLDA0OD0AggWCYATtLAWeYjflMJyPoZfErvWAGik5wOhrrf_aJoa6csSDQP5ypqcHmzTK5_w=='
SELECT fernet_timestamp(:'token'), fernet_timestamp(:'at_0') AS at_0, fernet_timestamp(:'at_last') AS at_last;
SELECT fernet_timestamp(:'at_next');
SELECT fernet_timestamp(:'at_max');
SELECT fernet_decrypt(:'at_next'), fernet_decrypt(:'at_max');
SELECT n, pg_temp.outcome(token, '1 day', at) FROM (VALUES
	(1, :'at_max', timestamptz '2020-01-01 00:00:00+00'),
	(2, :'at_max', '1969-12-31 23:00:00+00'),
	(3, :'at_next', '294276-12-31 23:59:59+00'),
	(4, :'at_0', '2020-01-01 00:00:00+00'),
	(5, :'at_0', '1969-12-31 23:59:00+00'),
	(6, :'at_0', '1969-12-31 23:58:59+00')
) AS v(n, token, at) ORDER BY n;

-- fernet_verify says whether fernet_decrypt_bytea would succeed
SELECT fernet_verify(:'token'), fernet_verify(:'token', '1 day', '2020-01-01 12:00+00') AS in_time,
	fernet_verify(:'token', '1 hour', '2020-01-01 12:00+00') AS expired, fernet_verify('nonsense') AS nonsense,
	fernet_verify(overlay(:'token' PLACING 'x' FROM 40)) AS changed;
-- only a genuine token shows its timestamp
SELECT fernet_timestamp(overlay(:'token' PLACING 'x' FROM 40));
SELECT fernet_timestamp('nonsense');

-- the key that decrypts it
\set other_key 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
SELECT set_config('fernet.key', concat_ws(',', :'other_key', :'key'), false);
SELECT fernet_key_index(:'token') AS second, fernet_key_index(fernet_encrypt('x')) AS first,
	fernet_key_index('nonsense') AS nonsense, fernet_key_index(overlay(:'token' PLACING 'x' FROM 40)) AS changed;

-- fernet_is_token needs no key, so it serves in constraints and indexes
RESET fernet.key;
CREATE TABLE regress_fernet_tokens (id integer, token text CHECK (fernet_is_token(token)));
INSERT INTO regress_fernet_tokens VALUES (1, :'token'), (2, NULL);
\set VERBOSITY terse
INSERT INTO regress_fernet_tokens VALUES (3, 'a plaintext by mistake');
CREATE INDEX ON regress_fernet_tokens (fernet_is_token(token));
CREATE INDEX ON regress_fernet_tokens (id) WHERE NOT fernet_is_token(token);
-- functions that read the key are not immutable: an index would hold plaintexts
\set VERBOSITY sqlstate
CREATE INDEX ON regress_fernet_tokens (fernet_decrypt(token));
CREATE INDEX ON regress_fernet_tokens (fernet_key_index(token));
\set VERBOSITY default
DROP TABLE regress_fernet_tokens;
