-- The tables of the platform. Both versions of the application use them.
CREATE EXTENSION IF NOT EXISTS pg_fernet;

CREATE SCHEMA integrations;

-- A plaintext is refused, whichever version forgets to encrypt. A domain, and not
-- a CHECK of the table, whose error would show the whole row.
CREATE DOMAIN integrations.fernet_token AS text
	CHECK (fernet_is_token(VALUE));

-- "revision" counts how often the credential has been replaced.
CREATE TABLE integrations.slack_connection (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name text NOT NULL UNIQUE,
	revision integer NOT NULL DEFAULT 1,
	bot_token_encrypted integrations.fernet_token
);

CREATE TABLE integrations.confluence_connection (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name text NOT NULL UNIQUE,
	revision integer NOT NULL DEFAULT 1,
	access_token_encrypted integrations.fernet_token
);
