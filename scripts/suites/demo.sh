# scripts/demo. Sourced by scripts/test.
# shellcheck shell=bash
# Names that scripts/test and scripts/lib define, or use:
# shellcheck disable=SC2034,SC2154

packages_demo='python3 python3-cryptography'

tests_demo() {
  printf 'demo\n'
}

# With what is built already: the demo compiles only what is missing.
run_demo() {
  need_module || return 0
  if as_owner env PG_CONFIG="$PG_CONFIG" FERNET_BUILT="$tree" "$tree/scripts/demo" \
    >"$log/demo/demo.log" 2>&1; then
    pass demo
  else
    fail demo
    explain "$log/demo/demo.log" 60
  fi
}
