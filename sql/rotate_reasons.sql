--
-- Why a value was not changed: a refusal by the table is told as one, whatever
-- its SQLSTATE, and names the constraint or the triggers, never the row
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;

SELECT fernet_generate_key() AS old_key, fernet_generate_key() AS new_key \gset
SELECT set_config('fernet.key', :'old_key', false);
CREATE TABLE refusing (id integer PRIMARY KEY, code text, token text);
INSERT INTO refusing
SELECT row_number() OVER (), code, fernet_encrypt('secret ' || code)
FROM unnest('{22000,22001,22021,PF003,PF004,09000,23514,54000}'::text[]) AS code;
INSERT INTO refusing VALUES (100, NULL, fernet_encrypt('secret'));

CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.code IS NOT NULL THEN
		RAISE 'refused the row of %', NEW.token
			USING ERRCODE = NEW.code, CONSTRAINT = 'secret ' || NEW.code;
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER "Refuse" BEFORE UPDATE ON refusing FOR EACH ROW EXECUTE FUNCTION refuse();

SELECT set_config('fernet.key', :'new_key' || ',' || :'old_key', false);

-- each SQLSTATE is a refusal by the trigger, by its name; the name of a constraint
-- that the table does not have is part of the row, and is not told
CALL fernet_rotate_column('refusing', 'token', on_plaintext => 'leave');

SELECT count(*) AS left FROM refusing WHERE fernet_key_index(token) = 2;

-- after the row, from an AFTER trigger
DROP TRIGGER "Refuse" ON refusing;
DELETE FROM refusing WHERE id > 1 AND id < 100;
CREATE TRIGGER "Refuse later" AFTER UPDATE ON refusing FOR EACH ROW EXECUTE FUNCTION refuse();
CALL fernet_rotate_column('refusing', 'token');
DROP TRIGGER "Refuse later" ON refusing;

-- a constraint of the table by its name, and an index
ALTER TABLE refusing ADD CONSTRAINT "Even" CHECK (id % 2 = 0) NOT VALID;
CALL fernet_rotate_column('refusing', 'token');
ALTER TABLE refusing DROP CONSTRAINT "Even";

-- a trigger that suppresses the update
CREATE FUNCTION suppress() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER suppress BEFORE UPDATE ON refusing FOR EACH ROW EXECUTE FUNCTION suppress();
CALL fernet_rotate_column('refusing', 'token');

DROP TABLE refusing;
DROP FUNCTION refuse(), suppress();
