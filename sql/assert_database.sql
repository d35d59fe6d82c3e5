--
-- fernet_assert_database_rotated: may the old key be dropped, everywhere?
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
RESET client_min_messages;
LOAD 'pg_fernet';
\set a 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set b 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set c 'a2V5IEMgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
CREATE SCHEMA regress_fernet_gate;
CREATE SCHEMA "regress_fernet Gate";
SET search_path = regress_fernet_gate, public;
CREATE ROLE regress_fernet_gatekeeper;
GRANT USAGE ON SCHEMA regress_fernet_gate TO regress_fernet_gatekeeper;
CREATE FUNCTION gate(except_places text[] DEFAULT NULL, on_unknown text DEFAULT 'fail') RETURNS void LANGUAGE sql
	AS $$ SELECT fernet_assert_database_rotated('{regress_fernet_gate, "regress_fernet Gate"}', except_places, on_unknown) $$;

SELECT set_config('fernet.key', :'c', false) \g /dev/null
SELECT set_config('gate.strange', fernet_encrypt('x'), false) \g /dev/null
SELECT set_config('fernet.key', :'a', false) \g /dev/null
CREATE TABLE root (id integer, secret text) PARTITION BY RANGE (id);
CREATE TABLE low PARTITION OF root FOR VALUES FROM (0) TO (10);
CREATE TABLE high PARTITION OF root FOR VALUES FROM (10) TO (20);
INSERT INTO root SELECT i, fernet_encrypt('x') FROM generate_series(0, 19) AS i;
CREATE TABLE "regress_fernet Gate"."a Table" ("a Column" jsonb, other text);
INSERT INTO "regress_fernet Gate"."a Table" VALUES (to_jsonb('v1:' || fernet_encrypt('x')), NULL);
CREATE MATERIALIZED VIEW kept AS SELECT secret FROM root WHERE id = 1;
CREATE MATERIALIZED VIEW not_filled AS SELECT secret FROM root WITH NO DATA;

-- nothing is encrypted with the first key yet
SELECT set_config('fernet.key', :'b' || ',' || :'a', false) \g /dev/null
SELECT gate();
SET client_min_messages = error;
CALL fernet_rotate_column('root', 'secret');
RESET client_min_messages;
SELECT gate();
-- what is left out is named, whether or not something was left there
SELECT gate('{"\"regress_fernet Gate\".\"a Table\"", kept}');
SELECT gate('{"\"regress_fernet Gate\".\"a Table\".\"a Column\"", regress_fernet_gate.kept.secret, regress_fernet_gate.low}');
SELECT gate('{no_such_place}');
REFRESH MATERIALIZED VIEW kept;
UPDATE "regress_fernet Gate"."a Table" SET "a Column" = fernet_rotate_value("a Column");
SELECT gate();

-- tokens that no key decrypts, whole and inside of a value
INSERT INTO root VALUES (2, current_setting('gate.strange'));
SELECT gate();
SELECT gate(on_unknown => 'leave');
SELECT gate(on_unknown => 'plaintext');
UPDATE root SET secret = 'quoted: ' || secret WHERE secret = current_setting('gate.strange');
SELECT gate(on_unknown => 'plaintext');
DELETE FROM root WHERE secret LIKE 'quoted%';
-- what was cut, and what is too much
INSERT INTO root VALUES (3, left(fernet_encrypt('x'), 60)), (4, repeat('gAAAAA', 6000));
SELECT gate();
DELETE FROM root WHERE id IN (3, 4);
SELECT gate();

-- what was not read is an error, unless it is left out
ALTER TABLE "regress_fernet Gate"."a Table" ADD COLUMN words tsvector DEFAULT 'some words';
SELECT gate();
SELECT gate('{"\"regress_fernet Gate\".\"a Table\".words"}');
ALTER TABLE "regress_fernet Gate"."a Table" DROP COLUMN words;
GRANT SELECT ON root, kept, not_filled TO regress_fernet_gatekeeper;
SET ROLE regress_fernet_gatekeeper;
SELECT gate();
SELECT gate('{"\"regress_fernet Gate\".\"a Table\""}');
RESET ROLE;
CREATE FUNCTION holder() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN ''; END $$;
SELECT set_config('fernet.key', :'a', false) \g /dev/null
DO $$ BEGIN EXECUTE format('CREATE OR REPLACE FUNCTION holder() RETURNS text LANGUAGE plpgsql AS %L', 'BEGIN RETURN ''' || fernet_encrypt('x') || '''; END'); END $$;
SELECT set_config('fernet.key', :'b' || ',' || :'a', false) \g /dev/null
SELECT gate();
SELECT gate('{function regress_fernet_gate.holder()}');
DROP FUNCTION holder();

-- the first key, and no token
SELECT fernet_assert_database_rotated('{regress_fernet_gate}', fingerprint => '0123456789abcdef');
SELECT fernet_assert_database_rotated('{regress_fernet_gate}', fingerprint => k.fingerprint) FROM fernet_keys() AS k WHERE is_primary;
-- as many as one likes in a statement
SELECT concat(fernet_assert_database_rotated(schemas), fernet_assert_database_rotated(schemas), fernet_assert_database_rotated(schemas),
	fernet_assert_database_rotated(schemas), fernet_assert_database_rotated(schemas)) = '' AS silent
FROM (VALUES ('{regress_fernet_gate}'::name[])) AS v (schemas);
SELECT fernet_assert_database_rotated('{regress_fernet_gate}', except_places => '{regress_fernet_gate.root, regress_fernet_gate.kept}');
SELECT fernet_assert_database_rotated('{regress_fernet_gate}', except_places => '{regress_fernet_gate.root, regress_fernet_gate.kept}', allow_empty => true);
SELECT fernet_assert_database_rotated('{regress_fernet_gate}', on_unknown => NULL);
SELECT fernet_assert_database_rotated('{regress_fernet_gate}', on_unknown => 'no');
SELECT fernet_assert_database_rotated('{regress_fernet_gate}', ARRAY[NULL]);
SELECT fernet_assert_database_rotated('{regress_fernet_gate}', allow_empty => NULL);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT fernet_assert_database_rotated('{regress_fernet_gate}');
ROLLBACK;
SELECT set_config('fernet.key', '', false) \g /dev/null
SELECT fernet_assert_database_rotated('{regress_fernet_gate}');

SET client_min_messages = warning;
DROP SCHEMA regress_fernet_gate, "regress_fernet Gate" CASCADE;
DROP ROLE regress_fernet_gatekeeper;
