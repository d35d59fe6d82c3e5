# shellcheck shell=bash
plant src/pg/newroom/planted.cpp <<<'int planted;'
plant src/pg/newroom/planted.o <<<'generated'
# For git.
# shellcheck disable=SC2016
plant src/pg/newroom/planted.txt <<<'$Format:%H$'
plant .gitattributes <<'END_OF_FILE'
src/pg/newroom/planted.cpp export-ignore
src/pg/newroom/planted.txt export-subst
END_OF_FILE
git rm -qf LICENSE
chmod -x scripts/test
expect '< src/pg/newroom/planted.cpp' 'The archive \(>\) does not hold what the tag does' \
  'The archive holds other text than the tag' 'The archive lacks LICENSE' \
  'scripts/test cannot be run in the archive' '.*/src/pg/newroom/planted.o$' \
  'These are generated'
must_fail
