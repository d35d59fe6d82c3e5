# The benchmarks in bench, in their short form. Sourced by scripts/test.
# shellcheck shell=bash
# Names that scripts/test and scripts/lib define, or use:
# shellcheck disable=SC2034,SC2154

packages_bench='cmake libbenchmark-dev python3-cryptography python3-psycopg2
  python3-django golang-go golang-github-fernet-fernet-go-dev libpq-dev'

tests_bench() {
  find "$1/bench" -mindepth 1 -maxdepth 1 -type f -executable -printf '%f\n' | sort
}

# run_bench judges no figures: it checks that the benchmarks work and that the
# results they compare are right.
run_bench() {
  local name started
  need_module || return 0
  for name in $(selected bench); do
    started=$EPOCHREALTIME
    if as_owner env PG_CONFIG="$PG_CONFIG" FERNET_BUILT="$tree" "$tree/bench/$name" \
      --short >"$log/bench/$name.log" 2>&1; then
      pass "$name" "($(elapsed "$started") s)"
    else
      fail "$name"
      explain "$log/bench/$name.log" 60
    fi
  done
}
