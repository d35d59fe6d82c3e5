CREATE EXTENSION IF NOT EXISTS pg_fernet;

-- A column of this type takes tokens only: a plaintext that somebody forgot to
-- encrypt is refused, and not shown in the error.
CREATE DOMAIN fernet_token AS text CHECK (fernet_is_token(VALUE));

CREATE TABLE integration (
  name text PRIMARY KEY,
  api_token fernet_token NOT NULL
);
