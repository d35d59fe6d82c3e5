--
-- The examples of docs/cookbook/postgrest-and-hasura.md, in their order. Made by test/docs/extract: to
-- change them, change docs/cookbook/postgrest-and-hasura.md and run that.
--
\set home :DBNAME
SET client_min_messages = warning;
DROP DATABASE IF EXISTS fernet_regression_cookbook_postgrest_and_hasura;
CREATE DATABASE fernet_regression_cookbook_postgrest_and_hasura;
\c fernet_regression_cookbook_postgrest_and_hasura
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
DROP ROLE IF EXISTS fernet_example_web_anon, fernet_example_web_support;
CREATE EXTENSION pg_fernet;

-- docs/cookbook/postgrest-and-hasura.md: Behind PostgREST or Hasura
\set key 'this-is-test-key-1-do-not-use-it-anywhere-A='
SELECT set_config('fernet.key', :'key', false);

CREATE ROLE fernet_example_web_anon NOLOGIN;
CREATE ROLE fernet_example_web_support NOLOGIN;
CREATE SCHEMA api;
GRANT USAGE ON SCHEMA api TO fernet_example_web_anon, fernet_example_web_support;
CREATE TABLE api.integration (id int PRIMARY KEY, name text, api_token text);
INSERT INTO api.integration VALUES (1, 'chat', fernet_encrypt('xoxb-1'));

-- docs/cookbook/postgrest-and-hasura.md: 2. PostgREST: db-pre-request
CREATE FUNCTION api.pre_request() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT pg_has_role(current_user, 'fernet_example_web_support', 'USAGE') THEN
        PERFORM set_config('fernet.key', '', true);
    END IF;
END
$$;

CREATE VIEW api.integrations AS
SELECT id, name,
       CASE WHEN EXISTS (SELECT FROM fernet_keys()) THEN fernet_decrypt(api_token) ELSE '********' END AS api_token
FROM api.integration;
GRANT SELECT ON api.integrations TO fernet_example_web_anon, fernet_example_web_support;

-- docs/cookbook/postgrest-and-hasura.md: 2. PostgREST: db-pre-request
BEGIN;
SELECT set_config('role', 'fernet_example_web_anon', true);
SELECT api.pre_request();
SELECT * FROM api.integrations;
COMMIT;

-- docs/cookbook/postgrest-and-hasura.md: 2. PostgREST: db-pre-request
BEGIN;
SELECT set_config('role', 'fernet_example_web_support', true);
SELECT api.pre_request();
SELECT * FROM api.integrations;
COMMIT;

-- docs/cookbook/postgrest-and-hasura.md: 3. Hasura: a computed field
CREATE FUNCTION api.integration_token(row_of api.integration, hasura_session json) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN hasura_session ->> 'x-hasura-role' = 'support' THEN fernet_decrypt(row_of.api_token) ELSE '********' END
$$;

SELECT api.integration_token(i, '{"x-hasura-role": "support"}') AS support,
       api.integration_token(i, '{"x-hasura-role": "user"}') AS "user"
FROM api.integration AS i;

-- docs/cookbook/postgrest-and-hasura.md: What remains
DROP SCHEMA api CASCADE;
DROP ROLE fernet_example_web_anon, fernet_example_web_support;

-- End of the examples
\c :home
DROP DATABASE fernet_regression_cookbook_postgrest_and_hasura WITH (FORCE);
