# Several sessions, test/isolation/specs/*.spec. Sourced by scripts/test.
# shellcheck shell=bash
# Names that scripts/test and scripts/lib define, or use:
# shellcheck disable=SC2034,SC2154

packages_isolation=''

tests_isolation() {
  file_names .spec "$1"/test/isolation/specs/*.spec
}

run_isolation() {
  run_pg_regress "$tree/output_iso" ISOLATION
}
