ALTER FUNCTION fernet_is_token(text) COST 10;

COMMENT ON FUNCTION fernet_generate_key()
	IS 'a new key';

ALTER TABLE fernet_rotation ADD COLUMN note text NOT NULL DEFAULT '';

COMMENT ON COLUMN fernet_rotation.note
	IS 'of the operator';

ALTER POLICY own_rows ON fernet_rotation
	USING (role OPERATOR(pg_catalog.=) current_user);

