-- What the functions are measured beside.
CREATE EXTENSION pg_fernet;
CREATE EXTENSION pgcrypto;

CREATE FUNCTION trivial(text) RETURNS text AS 'trivial' LANGUAGE c STRICT;
CREATE FUNCTION trivial(bytea) RETURNS bytea AS 'trivial' LANGUAGE c STRICT;

-- A Fernet put together from pgcrypto; in PL/pgSQL, for as a function in SQL it
-- takes longer.
CREATE FUNCTION composed_encrypt(plaintext text, key bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	iv bytea := gen_random_bytes(16);
	signed bytea := '\x80'::bytea || int8send(extract(epoch FROM clock_timestamp())::bigint) || iv
		|| encrypt_iv(convert_to(plaintext, 'UTF8'), substr(key, 17, 16), iv, 'aes-cbc');
BEGIN
	RETURN translate(encode(signed || hmac(signed, substr(key, 1, 16), 'sha256'), 'base64'), E'+/\n', '-_');
END
$$;
CREATE FUNCTION composed_decrypt(token text, key bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	whole bytea := decode(translate(token, '-_', '+/'), 'base64');
	signed bytea := substr(whole, 1, octet_length(whole) - 32);
BEGIN
	IF hmac(signed, substr(key, 1, 16), 'sha256') <> substr(whole, octet_length(whole) - 31) THEN
		RAISE EXCEPTION 'not genuine';
	END IF;
	RETURN convert_from(decrypt_iv(substr(signed, 26), substr(key, 17, 16), substr(signed, 10, 16), 'aes-cbc'), 'UTF8');
END
$$;
