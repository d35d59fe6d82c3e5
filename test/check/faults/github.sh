# shellcheck shell=bash
plant .github/planted.yml <<<'a: b: c'
edit .github/workflows/ci.yml -e 's/bookworm/planted/; s/postgresql: 17/postgresql: 99/' \
  -e 's/contents: read/contents: write/; s/pull_request/planted/' \
  -e 's,scripts/test$,scripts/test; planted,'
edit .github/ISSUE_TEMPLATE/bug.yml -e 's/label: SQLSTATE/label: Your key/; s/id: sqlstate/id: planted/' \
  -e 's/Never write/Write/'
expect '.github/planted.yml: is no YAML' 'ci.yml: tests PostgreSQL 15 on planted' \
  'ci.yml: tests PostgreSQL 99 on trixie' 'ci.yml: does not test PostgreSQL 15, 17 and 18' \
  'ci.yml: may do more than read' 'ci.yml: does not run for each push' \
  'ci.yml: runs something else than scripts/test' 'bug.yml: does not ask for sqlstate' \
  'bug.yml: asks for a secret: Your key' 'bug.yml: does not say what never to write'
must_fail

rm .github/workflows/ci.yml
expect 'ci.yml: is not there'
must_fail
