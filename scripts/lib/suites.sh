# Code that several suites share: the module, a server, CMake's build, and
# programs of PostgreSQL that run tests. Sourced by scripts/test, after kept.sh
# and results.sh.
# shellcheck shell=bash
# Names that scripts/test and scripts/lib define, or use:
# shellcheck disable=SC2034,SC2154

module_state=unbuilt
server_state=down
gcc_state=unbuilt

# need_module builds the module, without a warning, and installs it into the
# private PostgreSQL: once, for all suites.
need_module() {
  if [[ $module_state == unbuilt ]]; then
    module_state=broken
    if build_kept module WERROR=1; then
      module_state=built
    fi
  fi
  if [[ $module_state == broken ]]; then
    fail 'make WERROR=1'
    explain_build "$log/build.log"
    return 1
  fi
}

# need_server starts the server that regress and isolation share. Without
# autovacuum: a worker that analyses a table holds a snapshot, and then the VACUUM
# of a test leaves rows that the test expects to be gone.
need_server() {
  need_module || return 1
  if [[ $server_state == down ]]; then
    server_state=broken
    if start_server "log_min_messages = warning" "autovacuum = off"; then
      server_state=up
    fi
  fi
  if [[ $server_state == broken ]]; then
    fail 'a server for the tests'
    explain "$log/initdb.log" 20
    explain "$log/pg_ctl.log" 20
    return 1
  fi
}

# need_gcc_build makes $kept/build-g++, once: the suites unit and sanitize run
# the same program.
need_gcc_build() {
  if [[ $gcc_state == unbuilt ]]; then
    gcc_state=broken
    if configure_and_build build-g++ g++ >"$log/build-g++.log" 2>&1; then
      gcc_state=built
    fi
  fi
  if [[ $gcc_state == broken ]]; then
    fail 'cmake with g++'
    explain_build "$log/build-g++.log"
    return 1
  fi
}

# installcheck VARIABLE=VALUE... runs the Makefile's installcheck for one kind
# of tests: empty lists switch off the others.
installcheck() {
  as_owner env PATH="$bin:$PATH" \
    PERL5LIB="$("$bin/pg_config" --pkglibdir)/pgxs/src/test/perl:$tree/test/perl" \
    make -C "$tree" PG_CONFIG="$bin/pg_config" installcheck \
    REGRESS= ISOLATION= TAP_TESTS= "$@"
}

# run_scripts VARIABLE=VALUE... runs the tests of a suite that are programs. A
# test that cannot run here ends with 77, and is not counted.
run_scripts() {
  local name output started status
  for name in $(selected "$suite"); do
    output=$log/$suite/$name.log started=$EPOCHREALTIME status=0
    (cd "$tree" && as_owner env PG_CONFIG="$bin/pg_config" "$@" \
      "test/$suite/$name.sh") >"$output" 2>&1 || status=$?
    if ((status == 0)); then
      pass "$name" "($(elapsed "$started") s)"
    elif ((status == 77)); then
      sed -n 's/^skipped: /          skipped: /p' "$output"
    else
      fail "$name"
      explain "$output"
    fi
  done
}

# The line of a test that passed in what pg_regress and pg_isolation_regress print:
# TAP from PostgreSQL 16 on.
readonly pg_regress_ok='^(ok|test.* ok) .* ([0-9]+ ms)$'

# pg_regress_line FILE NAME prints the line of a test, or nothing: a missing file
# makes pg_regress stop, so each of the tests must have its line.
pg_regress_line() {
  grep -E -m 1 -- "^(test|(not )?ok [0-9]+ +[-+]) +$2 +(\.\.\. )?" "$1" || true
}

# passed_pg_regress FILE NAME... prints how many of the tests have passed.
passed_pg_regress() {
  local -r output=$1
  local name count=0
  shift
  for name; do
    [[ ! $(pg_regress_line "$output" "$name") =~ $pg_regress_ok ]] ||
      count=$((count + 1))
  done
  printf '%d' "$count"
}

# count_pg_regress FILE NAME... counts the tests. Those that passed have had their
# line: pg_regress prints it.
count_pg_regress() {
  local -r output=$1
  local name line
  shift
  for name; do
    line=$(pg_regress_line "$output" "$name")
    if [[ $line =~ $pg_regress_ok ]]; then
      count 1 0
    elif [[ -n $line ]]; then
      fail "$name"
    else
      fail "$name" '(did not run)'
    fi
  done
}

# run_pg_regress FOLDER VARIABLE is what regress and isolation have in common:
# where their results are, and what the Makefile calls the list of the tests.
run_pg_regress() {
  local -r folder=$1 output=$log/$suite/output.log
  local names status=0
  need_server || return 0
  names=$(selected "$suite" | tr '\n' ' ')
  installcheck "$2=$names" 2>&1 | tee "$output" |
    sed -unE 's/^(test|(not )?ok +[0-9]).*/  &/p' || status=$?
  # The names are words.
  # shellcheck disable=SC2086
  count_pg_regress "$output" $names
  cp -- "$server/log" "$log/$suite/server.log"
  ((status != 0)) || return 0
  if [[ ${failed[$suite]} == 0 ]]; then
    fail 'make installcheck' '(all tests passed, but it did not)'
  fi
  if [[ -s $folder/regression.diffs ]]; then
    cp -R -- "$folder/regression.diffs" "$folder/results" "$log/$suite/"
    explain "$log/$suite/regression.diffs" 400
  fi
  # A file that is missing is named there only.
  explain "$output" 10
}
