# The core, and servers with the module, under tools that watch memory. Sourced by
# scripts/test, after watched-server.sh.
# shellcheck shell=bash
# Names that scripts/test and scripts/lib define, or use:
# shellcheck disable=SC2034,SC2154

packages_sanitize='cmake libgtest-dev nlohmann-json3-dev valgrind'

tests_sanitize() {
  printf '%s\n' unit-address unit-memory constant-time regress-address \
    regress-memory
}

# run_sanitize calls sanitize_NAME for each test, with '_' for every '-'.
run_sanitize() {
  local name
  for name in $(selected sanitize); do
    "sanitize_${name//-/_}"
  done
}

# sanitize_unit_address runs the unit tests with AddressSanitizer, LeakSanitizer
# and UndefinedBehaviorSanitizer built into the core and the tests. All tests
# run in one process: memory that is left at its end is a leak.
sanitize_unit_address() {
  if ! configure_and_build build-address g++ -DFERNET_SANITIZE=address,undefined \
    >"$log/sanitize/build-address.log" 2>&1; then
    fail unit-address '(cmake)'
    explain_build "$log/sanitize/build-address.log"
    return 0
  fi
  count_unit_tests unit-address env \
    ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1 \
    UBSAN_OPTIONS=print_stacktrace=1 "$built/fernet_unit_tests"
}

# sanitize_unit_memory runs the unit tests under valgrind's memcheck, which
# finds uses of uninitialized memory: MemorySanitizer would need a GoogleTest, a
# libstdc++ and an OpenSSL built for it, which Debian does not have.
sanitize_unit_memory() {
  need_gcc_build || return 0
  # Where an uninitialized value comes from is worth a second run, once there is one.
  count_unit_tests unit-memory valgrind --error-exitcode=9 --leak-check=full \
    "$kept/build-g++/fernet_unit_tests"
}

# sanitize_constant_time runs test/constant_time under valgrind, which sees each
# branch and each address of the core that depends on a secret, and prints what is
# let through.
sanitize_constant_time() {
  local -r output=$log/sanitize/constant-time.log started=$EPOCHREALTIME
  local program=$kept/build-g++/test/constant_time/fernet_constant_time status=0
  need_gcc_build || return 0
  if ! as_owner cmake --build "$kept/build-g++" --parallel "$(nproc)" \
    --target fernet_constant_time >"$log/sanitize/build-constant-time.log" 2>&1; then
    fail constant-time '(cmake)'
    explain_build "$log/sanitize/build-constant-time.log"
    return 0
  fi
  as_owner valgrind --num-callers=20 "$program" >"$output" \
    2>"$output.valgrind" || status=$?
  if ((status == 0)) && grep -q '^ok blind index$' "$output"; then
    pass constant-time "($(grep -c '^ok ' "$output") parts, $(elapsed "$started") s)"
    sed -n 's/^let through /          let through: /p' "$output"
  else
    fail constant-time "(exit status $status)"
    explain "$output" 40
    explain "$output.valgrind" 100
  fi
}

# count_unit_tests NAME COMMAND... runs the unit tests by a command that fails
# when a test does, or when its tool finds anything. They count as one test,
# which prints their number: no test at all is a failure.
count_unit_tests() {
  local -r name=$1 output=$log/sanitize/$1.log started=$EPOCHREALTIME
  local tests status=0
  shift
  as_owner "$@" >"$output" 2>&1 || status=$?
  tests=$(sed -nE 's/^\[  PASSED  \] ([0-9]+) tests?\.$/\1/p' "$output")
  if ((status == 0 && ${tests:-0} > 0)); then
    pass "$name" "($tests tests, $(elapsed "$started") s)"
  else
    fail "$name" "(exit status $status)"
    grep -vE '^\[( +OK|RUN +|-+) *\]' "$output" >"$output.failures" || true
    explain "$output.failures" 100
  fi
}

# Tests that are short under valgrind, and yet call every function and run a
# whole rotation.
readonly memory_regress='roundtrip tokens keys errors settings nulls transactions
  rotate rotate_triggers encrypt_trigger derived_keys census'

# sanitize_regress_memory runs SQL in a server under valgrind's memcheck: some of
# the tests of regress, or all of them and isolation.
sanitize_regress_memory() {
  local -r folder=$work/server-memory
  local regress=$memory_regress isolation='' command
  need_module || return 0
  if [[ -n ${FERNET_LONG:-} ]]; then
    regress=$(tests_regress "$tree") isolation=$(tests_isolation "$tree")
  fi
  mapfile -t command < <(valgrind_command "$folder")
  start_watched regress-memory "$folder" "${command[@]}" || return 0
  if sees_fault "$folder" '' 'Invalid read' >"$log/sanitize/fault.log" 2>&1; then
    count_watched regress-memory "$folder" "$regress" "$isolation"
  else
    fail regress-memory '(valgrind did not see a fault made on purpose)'
    explain "$log/sanitize/fault.log" 40
  fi
}

# address_regress prints the tests of regress that call the module in ways of their
# own: not those of the documentation and of settings of the server.
address_regress() {
  tests_regress "$tree" |
    if [[ -n ${FERNET_LONG:-} ]]; then cat; else
      grep -vE '^(docs_|cookbook_|readme|upgrade|environment|search_path|limits)'
    fi
}

# sanitize_regress_address runs SQL in a server with a module that has
# AddressSanitizer and UndefinedBehaviorSanitizer built in: a copy of the tree and
# of the server, since the others have the module that users have.
sanitize_regress_address() {
  local -r folder=$work/server-address
  local -r flags='-fsanitize=address,undefined -fsanitize-recover=all'
  # The variables of the copies, for all functions that are called here.
  local tree=$tree prefix bin command
  keep_folder address
  sync_folder as_owner "$tree" "$kept/address"
  tree=$kept/address
  make_owned_folder "$work/address"
  copy_postgres "$work/address/postgres"
  if ! build_kept address SANITIZE=address,undefined ||
    ! build_no_translations "$work/address/no_translations.so" >>"$log/build.log" 2>&1; then
    fail regress-address '(make SANITIZE=address,undefined)'
    explain_build "$log/build.log"
    return 0
  fi
  mapfile -t command < <(sanitizer_command "$work/address/no_translations.so")
  start_watched regress-address "$folder" "${command[@]}" || return 0
  if sees_fault "$folder" "$flags" heap-buffer-overflow 'runtime error' \
    >"$log/sanitize/fault.log" 2>&1; then
    count_watched regress-address "$folder" "$(address_regress)" \
      "$(tests_isolation "$tree")"
  else
    fail regress-address '(the sanitizers did not see a fault made on purpose)'
    explain "$log/sanitize/fault.log" 40
  fi
}

# start_watched NAME FOLDER COMMAND... starts the server of a test.
start_watched() {
  local -r name=$1 folder=$2
  shift 2
  if ! start_watched_server "$folder" "$@"; then
    fail "$name" '(the server does not start)'
    explain "$log/pg_ctl.log" 20
    explain "$folder/log" 20
    return 1
  fi
}

# count_watched NAME FOLDER REGRESS ISOLATION runs tests of those two suites on a
# watched server, and stops it. Together they count as one test: none of them
# may fail, and the tool must find nothing.
count_watched() {
  local -r name=$1 folder=$2 regress=${3//$'\n'/ } isolation=${4//$'\n'/ }
  local -r output=$log/sanitize/$name.log started=$EPOCHREALTIME
  local tests status=0
  PGHOST=$folder/socket PGPORT=5432 PGUSER=postgres PGDATABASE=postgres \
    installcheck REGRESS="$regress" ISOLATION="$isolation" >"$output" 2>&1 ||
    status=$?
  stop_watched_server "$folder" || status=$?
  cp -- "$folder/log" "$log/sanitize/$name-server.log"
  print_findings "$folder" >"$log/sanitize/$name.findings"
  # The names are words.
  # shellcheck disable=SC2086
  tests=$(passed_pg_regress "$output" $regress $isolation)
  if [[ $status == 0 && ! -s $log/sanitize/$name.findings ]]; then
    pass "$name" "($tests tests, $(elapsed "$started") s)"
  else
    fail "$name" "(exit status $status, $tests tests passed)"
    explain "$log/sanitize/$name.findings" 200
    find "$tree" -name regression.diffs -size +0 -exec cat {} + \
      >"$log/sanitize/$name.diffs"
    explain "$log/sanitize/$name.diffs" 100
    explain "$output" 40
  fi
}
