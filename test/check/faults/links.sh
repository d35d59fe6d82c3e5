# shellcheck shell=bash
plant docs/newroom/planted.md <<'END_OF_PAGE'
# Planted

[gone](gone.md), [no heading](../keys.md#planted), [none at all](../../LICENSE#planted)
END_OF_PAGE
plant src/pg/newroom/planted.cpp <<'CODE'
// See docs/planted.md and README.md#planted.
CODE
expect 'docs/newroom/planted.md: there is no docs/newroom/gone.md' \
  'docs/newroom/planted.md: docs/keys.md has no heading #planted' \
  'docs/newroom/planted.md: LICENSE has no headings' \
  'docs/newroom/planted.md: is not in docs/newroom/README.md' \
  'src/pg/newroom/planted.cpp: there is no docs/planted.md' \
  'src/pg/newroom/planted.cpp: README.md has no heading #planted'
must_fail

renew
git rm -rqf --cached .
printf '*\n' >.gitignore
expect 'no page has a link: this check reads the wrong files'
must_fail
