# shellcheck shell=bash
for page in docs/keys.md docs/newroom/planted.md; do
  mkdir -p docs/newroom
  cat >>"$page" <<'END_OF_PAGE'

# Planted

```sql
SELECT 1;
```
END_OF_PAGE
done
rm sql/docs_reference.sql
plant sql/docs_planted.sql <<<'SELECT 1;'
edit expected/docs_rotation.out '/^-- docs\/rotation\.md: /d'
expect 'sql/docs_keys.sql is not what docs/keys.md gives' \
  'No test runs docs/newroom/planted.md' 'sql/docs_reference.sql is not what' \
  'sql/docs_planted.sql has no page' 'expected/docs_rotation.out is missing or older'
must_fail

renew
edit docs/rotation.md 's/^```text$/&\nplanted/'
expect 'docs/rotation.md, ".*", shows this:'
must_fail

renew
edit docs/functions.md 's/^### fernet_verify$/### fernet_planted/'
edit docs/functions.md '/^### fernet_keys$/,/^### /s/is_primary/planted/'
edit sql/pg_fernet--1.0.0.sql 's/^CREATE FUNCTION fernet_is_token\(token text\)/CREATE FUNCTION fernet_new(fresh text)/'
edit src/pg/report/events.hpp 's/"fernet\.log"/"fernet.newsetting"/'
expect 'docs/functions.md has no entry "### fernet_new"' 'docs/functions.md has no entry "### fernet_verify"' \
  'docs/functions.md has no entry "### fernet.newsetting"' 'docs/functions.md, fernet_keys: does not name is_primary' \
  'docs/functions.md, fernet_planted: there is no such' 'docs/functions.md, fernet.log: there is no such'
must_fail

renew
edit docs/functions.md '/^### fernet_rotate$/,/^### /s/^(...)sql$/\1text/'
expect 'docs/functions.md, fernet_rotate: has no example in SQL'
must_fail

renew
edit docs/cookbook/tenants.md 's/fernet_example_tenant_app/tenant_app/'
edit docs/who-decrypted.md 's/fernet_example_support/fernet_example_web_support/'
test/docs/extract
expect 'docs/cookbook/tenants.md creates the role tenant_app, which somebody may have' \
  'docs/cookbook/postgrest-and-hasura.md and docs/who-decrypted.md create the role fernet_example_web_support'
must_fail
