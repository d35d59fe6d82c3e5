# shellcheck shell=bash
version=$(sed -n "s/^default_version = '\(.*\)'/\1/p" pg_fernet.control)
# A release, of which one script is gone and the other one has changed since.
plant sql/pg_fernet--0.0.1.sql <<<'-- released'
plant sql/pg_fernet--0.0.0--0.0.1.sql <<<'-- released'
git -c user.name=test -c user.email=test@example.org commit -qm 'Release 0.0.1'
git tag v0.0.1
git rm -qf sql/pg_fernet--0.0.0--0.0.1.sql
plant sql/pg_fernet--0.0.1.sql <<<'-- changed'
edit META.json "s/\"$version\"/\"0.0.9\"/"
edit CHANGELOG.md "s/^## $version/## 0.0.9/"
edit debian/changelog "1s/$version/0.0.9/"
edit packaging/rpm/pg_fernet.spec "s/$version/0.0.9/"
edit docs/pg_fernet.1 "s/$version/0.0.9/"
edit CMakeLists.txt 's/VERSION \$\{fernet_version\}/VERSION 0.0.9/'
expect 'sql/pg_fernet--0.0.1.sql: does not begin by asking for the library 0.0.1' \
  'sql/pg_fernet--0.0.1.sql: is not as it was released' \
  'sql/pg_fernet--0.0.0--0.0.1.sql: is gone' \
  "sql/pg_fernet--0.0.1--$version.sql: does not exist" \
  'META.json: states the version "0.0.9"' 'CHANGELOG.md: states the version "0.0.9"' \
  'debian/changelog: states the version "0.0.9"' \
  'packaging/rpm/pg_fernet.spec: states the version "0.0.9"' \
  'docs/pg_fernet.1: states the version "0.0.9"' \
  'CMakeLists.txt: states the version "0.0.9"'
must_fail

edit pg_fernet.control "s/^default_version = .*/default_version = '0.x'/"
git rm -qf CHANGELOG.md
edit META.json '/"version"/d'
edit CMakeLists.txt 's/VERSION 0.0.9//'
expect 'pg_fernet.control: default_version is "0.x"' 'sql/pg_fernet--0.x.sql: does not' \
  'CHANGELOG.md: does not exist' 'META.json: does not state the version twice' \
  'CMakeLists.txt: does not state the version of the project'
must_fail
