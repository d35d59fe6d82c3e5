# What has passed and what has failed, and how it is said. Sourced by scripts/test,
# after common.sh.
# shellcheck shell=bash
# Names that common.sh and scripts/test define, or use:
# shellcheck disable=SC2034,SC2154

declare -A passed=() failed=() seconds=()
suite=''

# pass NAME and fail NAME count a test of the present suite and print its line,
# with the words that follow.
pass() {
  passed[$suite]=$((passed[$suite] + 1))
  printf '  %sok%s      %s %s%s%s\n' "$green" "$plain" "$1" "$dim" "${2:-}" \
    "$plain"
}

fail() {
  failed[$suite]=$((failed[$suite] + 1))
  printf '  %sFAILED%s  %s %s\n' "$bold$red" "$plain" "$1" "${2:-}"
}

# count PASSED FAILED counts tests that have no line of their own.
count() {
  passed[$suite]=$((passed[$suite] + $1))
  failed[$suite]=$((failed[$suite] + $2))
}

# explain FILE [LINES] prints the end of a file that says why a test failed.
explain() {
  if [[ -s $1 ]]; then
    printf '  %s--- %s%s\n' "$dim" "${1#"$work/"}" "$plain"
    tail -n "${2:-100}" -- "$1" | sed 's/^/  | /'
  fi
}

# explain_build FILE prints the errors of compilers in it, which a parallel build
# does not put at the end.
explain_build() {
  if grep -E -A 5 '(^|[: ])error: |undefined reference to' -- "$1" >"$1.errors"; then
    explain "$1.errors" 60
  else
    explain "$1" 40
  fi
}

# summary prints the table, and the line that ends the output.
summary() {
  local name total_passed=0 total_failed=0
  printf '\n%s%-10s %8s %8s %9s%s\n' "$bold" suite passed failed seconds \
    "$plain"
  for name in "${suites[@]}"; do
    [[ -n ${seconds[$name]:-} ]] || continue
    printf '%-10s %8d %8d %9s\n' "$name" "${passed[$name]}" \
      "${failed[$name]}" "${seconds[$name]}"
    total_passed=$((total_passed + passed[$name]))
    total_failed=$((total_failed + failed[$name]))
  done
  printf '\n'
  if ((total_failed > 0)); then
    keep_log=yes
    printf 'The logs are in %s.\n' "$log"
  elif ((total_passed == 0)); then
    printf 'No test ran.\n'
  fi
  printf '%d passed, %d failed\n' "$total_passed" "$total_failed"
  ((total_passed > 0 && total_failed == 0))
}
