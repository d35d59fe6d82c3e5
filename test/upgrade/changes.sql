ALTER FUNCTION fernet_is_token(text) COST 10;

COMMENT ON FUNCTION fernet_generate_key()
	IS 'a new key';

ALTER VIEW fernet_rotation_progress SET (security_barrier = false);

COMMENT ON VIEW fernet_rotation_progress
	IS 'the jobs under way';

ALTER FUNCTION fernet_ledger_rows() ROWS 100;

