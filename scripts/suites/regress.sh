# SQL in one session, sql/*.sql. Sourced by scripts/test.
# shellcheck shell=bash
# Names that scripts/test and scripts/lib define, or use:
# shellcheck disable=SC2034,SC2154

packages_regress=''

tests_regress() {
  # The Makefile's list, whose lines may be continued.
  sed -n -e ':a' -e '/\\$/{N;s/\\\n//;ba' -e '}' -e 's/^REGRESS *=//p' "$1/Makefile" |
    tr -s ' \t' '\n' | sed '/^$/d'
}

run_regress() {
  local name
  run_pg_regress "$tree" REGRESS
  [[ -z ${chosen[regress]} ]] || return 0
  for name in $(file_names .sql "$tree"/sql/*.sql); do
    [[ $name == *--* || " $(tests_regress "$tree" | tr '\n' ' ')" == *" $name "* ]] ||
      fail "$name" '(not in REGRESS of the Makefile)'
  done
}
