-- Contacts that are found by their email, which is encrypted. The trigger keeps the
-- blind index, whoever writes.
CREATE TABLE integrations.contact (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	email_encrypted integrations.fernet_token NOT NULL,
	email_index bytea NOT NULL UNIQUE
);

CREATE TRIGGER keep_index BEFORE INSERT OR UPDATE ON integrations.contact
	FOR EACH ROW EXECUTE FUNCTION
	fernet_blind_index_trigger('email_encrypted', 'email_index', 'contact.email');
