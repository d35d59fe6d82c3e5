# What the benchmarks on a server share: options that are numbers, the build, and
# the server. Sourced by them, after scripts/lib/*.sh.
# shellcheck shell=bash
# Names that scripts/lib defines:
# shellcheck disable=SC2154

# number OPTION VALUE LEAST checks the value of an option.
number() {
  if [[ ! ${2:-} =~ ^[1-9][0-9]{0,8}$ ]] || (($2 < $3)); then
    die "$1 needs a number, $3 at the least"
  fi
}

# build_extension builds a copy of the working tree, and installs it into a
# private PostgreSQL.
build_extension() {
  choose_owner
  copy_tree
  copy_postgres "$work/postgres"
  if ! build_module WERROR=; then
    tail -n 40 "$log/build.log" >&2
    die 'the extension could not be built'
  fi
}

# start_bench_server SETTING... starts that PostgreSQL.
start_bench_server() {
  if ! start_server "$@"; then
    cat "$log/initdb.log" "$log/pg_ctl.log" >&2
    die 'the server could not be started'
  fi
}

# run_measurement FILE ARGUMENT... runs a program in Python of the copied tree, in
# a database of its own: none can rely on what another has left.
run_measurement() {
  local -r file=$1
  shift
  as_owner "$bin/createdb" measurement
  as_owner env PYTHONPATH="$tree/bench/lib" FERNET_BIN="$bin" PGDATABASE=measurement \
    python3 "$tree/bench/$file" "$@"
  as_owner "$bin/dropdb" measurement
}
