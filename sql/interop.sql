--
-- Tokens that Python's cryptography 38.0.4 has made, of 2020-01-01 00:00:00 UTC:
-- Fernet(key).encrypt_at_time(plaintext, 1577836800)
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
RESET client_min_messages;
LOAD 'pg_fernet';
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
-- base64.urlsafe_b64encode(b'key A of pg_fernet regress tests'), B and C
\set a 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set b 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set c 'a2V5IEMgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
SELECT set_config('fernet.key', :'a', false);

-- Fernet: text
\set hello 'gAAAAABeC-EAnr96Et7xhMD04nu0-JC4deGhjMEOLhP4As2oo_AVrzbbdz0b_sbXCVV3lznRndkN7E5SWta7XbpKIbus0HPYhso1XovEdzWqPI1QC9PvsMM='
SELECT fernet_decrypt(:'hello'), fernet_timestamp(:'hello'), fernet_verify(:'hello', '1 hour', '2020-01-01 00:30:00+00') AS in_time;
-- of no character, and of one block
SELECT fernet_decrypt('gAAAAABeC-EAHF7UcctQCyyLROGAsE6SDpR6iIQe3U7NpU6b_g_MgsCHDFMwp1RCY4JV6h2H_eyL-B47eduIPnAq1yVbswyFzw==') = '' AS empty;
SELECT fernet_decrypt('gAAAAABeC-EA5qdx_wqlGCir0RFto9oA1AW0IZsW_GEYITKQp23VYzUdxTBCbOwGlJe23eH2d_qp0b9wwb6Cs8Ff7udnkrnS-XGeWxe9QrUvxgOHd1vYJDk=');
-- 'Grüße, 世界'.encode()
SELECT fernet_decrypt(token) = U&'Gr\00FC\00DFe, \4E16\754C' AS same, fernet_decrypt_bytea(token)
FROM (VALUES ('gAAAAABeC-EAwK6RFmL2Vn73erX2nMbW1fmRsOTag3kSQuvf34w7M0zoPnNyS-aNsosyl-Yg5N582fOqnJ8Cfdgv_XYlKWBHoQ==')) AS v(token);
-- bytes(range(256))
SELECT sha256(fernet_decrypt_bytea(token)) = sha256(bytes) AS same, octet_length(fernet_decrypt_bytea(token))
FROM (VALUES ('gAAAAABeC-EAjSqyznO4tm6hjfhEENnFsC3qJqfi5DVkJ8Ub7D9z9a3dg15CxsgSn9V_-t6sXfX2Mk6TdHpTao0BkvRMVKHXCDVi1rMGhv4dOERmMFO_NQ5lV7ZjFqfowUYXmjzSY3SZ1hzDiEtzz_Wea7M9jMAQfBHZDRn1XPBBMzbUHJyJ4Gbmeep7ErlzCAy0VSKk5zLKUl40rbOcMrrK9pbWK_P1ITYkL87vOCYSqmnad0y4tn_t-HoXgg2NqIL36xcWVJzLrJBTCXOA6U7f3r11hNErK7qlHpTurwbsVSzQCt4jBHe5zssFVah_VP5Hw5zuS6_b_A3-X1AP8HRDfSUKiqZwHpVYEdHVysUr8no5PZBDz_yu9cZIRX1rpoBTNb4ozBzZmLAGkX_ZgL-eu1JBPDJ6pLrV5FPcEsgYi1NaiuA55XY=')) AS v(token),
	(SELECT string_agg(decode(lpad(to_hex(i), 2, '0'), 'hex'), NULL ORDER BY i) FROM generate_series(0, 255) AS i) AS b(bytes);
-- as bytes, as Python's encrypt returns it and an application may store it
SELECT fernet_decrypt(:'hello'::bytea), fernet_decrypt_bytea(:'hello'::bytea);

-- MultiFernet([Fernet(a), Fernet(b)]): the first encrypts, both decrypt
\set multi 'gAAAAABeC-EA2dFbWf4uxw_vV7Deysh0E85sfYPdmD0L0mQxohXHiS6OhQv7QKN6qGwLBCWxgkJDQuZOw9gSXcw3gVY5CRhMag=='
\set under_b 'gAAAAABeC-EAv3qIFiUzV2R_VRQNGGgWNQVOMZBtH8MXfEty0CiOVMwyyxUzkrzCNCLIE8Owu7C66ctcAbMcr0yPBU628SPTqP2ICbPdkScAf5J8MCXeuwU='
\set under_c 'gAAAAABeC-EAWOHBI9K-WjHpINeK-wqF6UUeSASrEP6VA_NBaId4RGrcIbNor-0MY5OfisDLTzKgQHIpXieBvbwLj1b25Cetb1H7omNaDdxdjRdxFjeGyT8='
SELECT set_config('fernet.key', :'a' || ',' || :'b', false);
SELECT fernet_decrypt(:'multi') AS multi, fernet_key_index(:'multi') AS key, fernet_decrypt(:'under_b') AS second,
	fernet_key_index(:'under_b') AS key, fernet_try_decrypt(:'under_c') AS other, fernet_key_index(:'under_c') AS key;
-- MultiFernet.rotate re-encrypts a token of the second key with the first and keeps
-- its timestamp, as fernet_rotate does
\set before 'gAAAAABeC-EAxbW1pZwLIlpMbA7JgyouWhqNGHsg1B1cuYZfXtKlEor6DJZuM0_USvckwcpyDsvAi6Uz9n0o8WQOGyKr1iLJKbHitHje1CGYpjjpE53wGaI='
\set after 'gAAAAABeC-EAo0llswQ3mzhF7O-LQKA9wbawlKEFmNngZ531XewRaALxs_fTS9XZ90JYGvzfidzskUx6No0IMzfnuX7l-EMyzrjecUMLgJq-DGgtKuaTH-g='
SELECT fernet_key_index(:'before') AS before, fernet_key_index(:'after') AS after, fernet_decrypt(:'after'),
	fernet_timestamp(:'after');
SELECT fernet_key_index(r) AS ours, fernet_decrypt(r), fernet_timestamp(r), length(r) = length(:'after') AS same_length
FROM fernet_rotate(:'before') AS r;
-- each key alone
SELECT set_config('fernet.key', :'b', false);
SELECT fernet_decrypt(:'under_b'), fernet_try_decrypt(:'multi') AS multi, fernet_try_decrypt(:'after') AS after;
SELECT set_config('fernet.key', :'c', false);
SELECT fernet_decrypt(:'under_c'), fernet_try_decrypt(:'hello') AS hello;
