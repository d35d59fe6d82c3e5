CREATE FUNCTION fernet_example(value text)
	RETURNS text
	AS 'MODULE_PATHNAME', 'fernet_example'
	LANGUAGE C
	STABLE
	STRICT
	PARALLEL SAFE;

COMMENT ON FUNCTION fernet_example(text)
	IS 'the value itself';

REVOKE ALL ON FUNCTION fernet_example(text) FROM PUBLIC;

CREATE VIEW fernet_example_notes WITH (security_invoker = true) AS
SELECT r.id, r.operation AS note FROM fernet_rotation AS r;

COMMENT ON VIEW fernet_example_notes
	IS 'the notes of the ledger';

GRANT SELECT ON fernet_example_notes TO PUBLIC;
