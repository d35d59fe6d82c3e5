--
-- The examples of docs/cookbook/pgbouncer.md, in their order. Made by test/docs/extract: to
-- change them, change docs/cookbook/pgbouncer.md and run that.
--
\set home :DBNAME
SET client_min_messages = warning;
DROP DATABASE IF EXISTS fernet_regression_cookbook_pgbouncer;
CREATE DATABASE fernet_regression_cookbook_pgbouncer;
\c fernet_regression_cookbook_pgbouncer
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
CREATE EXTENSION pg_fernet;

-- docs/cookbook/pgbouncer.md: 2. The key in each transaction
\set key 'this-is-test-key-1-do-not-use-it-anywhere-A='

BEGIN;
SELECT set_config('fernet.key', :'key', true);
CREATE TABLE connection (id int PRIMARY KEY, password text);
INSERT INTO connection VALUES (1, fernet_encrypt('secret'));
COMMIT;

BEGIN;
SELECT set_config('fernet.key', :'key', true);
SELECT id, fernet_decrypt(password) FROM connection;
COMMIT;

-- docs/cookbook/pgbouncer.md: 4. RDS Proxy, Neon, Supavisor
BEGIN;
SELECT set_config('fernet.key', :'key', true);
SELECT count(*) AS keys FROM fernet_keys();
COMMIT;

-- docs/cookbook/pgbouncer.md: Check that it worked
SELECT fernet_encrypt('x');

-- End of the examples
\c :home
DROP DATABASE fernet_regression_cookbook_pgbouncer WITH (FORCE);
