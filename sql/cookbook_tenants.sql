--
-- The examples of docs/cookbook/tenants.md, in their order. Made by test/docs/extract: to
-- change them, change docs/cookbook/tenants.md and run that.
--
\set home :DBNAME
SET client_min_messages = warning;
DROP DATABASE IF EXISTS fernet_regression_cookbook_tenants;
CREATE DATABASE fernet_regression_cookbook_tenants;
\c fernet_regression_cookbook_tenants
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
DROP ROLE IF EXISTS fernet_example_tenant_app;
CREATE EXTENSION pg_fernet;

-- docs/cookbook/tenants.md: 1. A partition for each tenant
CREATE TABLE secret (
  tenant text,
  id     int,
  value  text CHECK (fernet_is_token(value)),
  PRIMARY KEY (tenant, id)
) PARTITION BY LIST (tenant);
CREATE TABLE secret_red PARTITION OF secret FOR VALUES IN ('red');
CREATE TABLE secret_blue PARTITION OF secret FOR VALUES IN ('blue');

-- the role of the application, which owns nothing
CREATE ROLE fernet_example_tenant_app;
GRANT SELECT, INSERT, UPDATE ON secret TO fernet_example_tenant_app;
ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON secret USING (tenant = current_setting('app.tenant', true));

-- docs/cookbook/tenants.md: 2. Tenant and key, in each transaction
\set red_key  'this-is-test-key-1-do-not-use-it-anywhere-A='
\set blue_key 'this-is-test-key-2-do-not-use-it-anywhere-A='
SET ROLE fernet_example_tenant_app;

BEGIN;
SELECT set_config('app.tenant', 'red', true), set_config('fernet.key', :'red_key', true);
INSERT INTO secret VALUES ('red', 1, fernet_encrypt('secret of red'));
COMMIT;

BEGIN;
SELECT set_config('app.tenant', 'blue', true), set_config('fernet.key', :'blue_key', true);
INSERT INTO secret VALUES ('blue', 1, fernet_encrypt('secret of blue'));
SELECT tenant, fernet_decrypt(value) FROM secret;
COMMIT;

-- docs/cookbook/tenants.md: 2. Tenant and key, in each transaction
BEGIN;
SELECT set_config('app.tenant', 'red', true), set_config('fernet.key', :'blue_key', true);
SELECT tenant, fernet_try_decrypt(value) IS NULL AS closed FROM secret;
COMMIT;

-- docs/cookbook/tenants.md: 3. Count a tenant
RESET ROLE;
SELECT set_config('fernet.key', :'red_key', false);

SELECT status, key_index, tokens FROM fernet_census('secret_red', 'value');

-- docs/cookbook/tenants.md: 4. Rotate a tenant
\set red_new_key 'this-is-test-key-3-do-not-use-it-anywhere-A='
SELECT set_config('fernet.key', :'red_new_key' || ',' || :'red_key', false);

CALL fernet_rotate_column('secret_red', 'value');

-- docs/cookbook/tenants.md: 4. Rotate a tenant
CREATE TABLE shared (tenant text, id int PRIMARY KEY, value text);
INSERT INTO shared SELECT tenant, row_number() OVER (), value FROM secret;

UPDATE shared SET value = fernet_rotate(value)
WHERE id IN (
  SELECT id FROM shared
  WHERE tenant = 'red' AND fernet_key_index(value) > 1
  LIMIT 1000 FOR UPDATE SKIP LOCKED
);

-- docs/cookbook/tenants.md: Check that it worked
SELECT fernet_assert_rotated('secret_red', 'value');

SELECT set_config('fernet.key', :'blue_key', false);
SELECT fernet_assert_rotated('secret_blue', 'value');

-- docs/cookbook/tenants.md: Check that it worked
DROP OWNED BY fernet_example_tenant_app;
DROP ROLE fernet_example_tenant_app;

-- End of the examples
\c :home
DROP DATABASE fernet_regression_cookbook_tenants WITH (FORCE);
