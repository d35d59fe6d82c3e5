# Servers of their own, test/t/*.pl. Sourced by scripts/test.
# shellcheck shell=bash
# Names that scripts/test and scripts/lib define, or use:
# shellcheck disable=SC2034,SC2154

packages_tap='libipc-run-perl libdbd-pg-perl gdb python3 python3-cryptography
  python3-psycopg python3-psycopg2 python3-sqlalchemy python3-fastapi python3-httpx
  python3-psycopg-pool'

tests_tap() {
  file_names .pl "$1"/test/t/*.pl
}

install_tap() {
  install_pgaudit
  install_quietly pgbouncer
}

# install_pgaudit gets that extension, whose log one of the tests searches, where
# Debian has it for this PostgreSQL.
install_pgaudit() {
  local package
  package=postgresql-$("$PG_CONFIG" --version | sed -E 's/[^0-9]*([0-9]+).*/\1/')-pgaudit
  if [[ -n $(apt-cache --no-all-versions show "$package" 2>/dev/null) ]]; then
    install_packages "$package"
  fi
}

# run_tap runs one file after the other: each "make" begins with an empty folder
# of logs.
run_tap() {
  local name
  need_module || return 0
  for name in $(selected tap); do
    ! take_turn "$name" || run_tap_file "$name"
  done
}

# take_turn NAME fails if another run has taken this test: runs with the same folder
# FERNET_TURNS share the tests out.
take_turn() {
  [[ -z ${FERNET_TURNS:-} ]] || mkdir -- "$FERNET_TURNS/$1" 2>/dev/null
}

# run_tap_file NAME counts the tests in a file, and one more if it breaks off.
# Those that skip themselves are mentioned, not counted.
run_tap_file() {
  local -r output=$log/tap/$1.log started=$EPOCHREALTIME
  local good bad status=0
  installcheck TAP_TESTS=1 PROVE_TESTS="test/t/$1.pl" PROVE_FLAGS=--verbose \
    >"$output" 2>&1 || status=$?
  good=$(grep -E '^ok [0-9]+' "$output" | grep -civ '# skip' || true)
  bad=$(grep -E '^not ok [0-9]+' "$output" | grep -civ '# todo' || true)
  if ((status == 0 && bad == 0)); then
    count "$good" 0
    printf '  %sok%s      %s %s(%d tests, %s s)%s\n' "$green" "$plain" "$1" \
      "$dim" "$good" "$(elapsed "$started")" "$plain"
  else
    count "$good" $((bad > 0 ? bad - 1 : 0))
    fail "$1" "($bad of $((good + bad)) tests)"
    explain_tap "$1"
  fi
  sed -nE -e 's/^ok [0-9]+.* # skip */          skipped: /ip' \
    -e 's/^.*\.pl \.+ skipped: */          skipped: /p' "$output" | sort -u
}

# explain_tap NAME keeps the logs of the test and of its servers, without the
# data, and prints what failed and why.
explain_tap() {
  local -r folder=$log/tap/$1
  mkdir "$folder"
  find "$tree/tmp_check" "$tree/log" -type f \
    '(' -name '*.log' -o -name "regress_log_$1" ')' \
    -exec cp -- {} "$folder/" \; 2>/dev/null || true
  if [[ ! -s $folder/regress_log_$1 ]]; then
    explain "$folder.log" 40
    return
  fi
  tap_failures "$folder/regress_log_$1" >"$folder.failures"
  explain "$folder.failures" 100
  explain "$folder/regress_log_$1" 15
}

# tap_failures FILE prints the failed tests in the log of a TAP test with their
# diagnostics, and the last words of a test that died.
tap_failures() {
  sed -E 's/^\[[0-9:.]+\]\([0-9.]+s\) //' "$1" | awk '
    /^ok / { failed = 0 }
    /^not ok / { failed = tolower($0) !~ /# todo/ }
    /^error running SQL/ { dying = 1 }
    /^# (Running|Checking|Found|Postmaster|No postmaster)/ { next }
    dying || / at .* line [0-9]+\.$/ || /^# (Looks like|Tests were)/ ||
      (failed && /^(not ok|#)/) { print }
    / at .* line [0-9]+\.$/ { dying = 0 }'
}
