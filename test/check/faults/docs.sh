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
