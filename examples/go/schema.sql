CREATE EXTENSION IF NOT EXISTS pg_fernet;

-- A column of this type takes tokens only: a plaintext that somebody forgot to
-- encrypt is refused, and not shown in the error.
CREATE DOMAIN fernet_token AS text CHECK (fernet_is_token(VALUE));

CREATE TABLE integration (
  name text PRIMARY KEY,
  api_token fernet_token NOT NULL
);

-- Contacts are found by their email, which is encrypted. The trigger keeps the
-- blind index, whoever writes.
CREATE TABLE contact (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  email fernet_token NOT NULL,
  email_index bytea NOT NULL UNIQUE
);

CREATE TRIGGER keep_index BEFORE INSERT OR UPDATE ON contact
  FOR EACH ROW EXECUTE FUNCTION fernet_blind_index_trigger('email', 'email_index', 'contact.email');
