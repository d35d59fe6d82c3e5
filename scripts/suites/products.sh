# The pages of docs/products, step by step, test/products. Sourced by scripts/test.
# shellcheck shell=bash
# Names that scripts/test and scripts/lib define, or use:
# shellcheck disable=SC2034,SC2154

packages_products='python3 python3-cryptography python3-psycopg2 python3-sqlalchemy-utils'

tests_products() {
  file_names .md "$1"/docs/products/[a-z]*.md
}

# run_products follows each page of docs/products on the shared server.
run_products() {
  local name started
  need_server || return 0
  for name in $(selected products); do
    started=$EPOCHREALTIME
    if as_owner env PATH="$bin:$PATH" PYTHONDONTWRITEBYTECODE=1 PYTHONUTF8=1 \
      PGTZ=UTC PGDATESTYLE=ISO "$tree/test/products/run" "$name" \
      >"$log/products/$name.log" 2>&1; then
      pass "$name" "($(tail -n 1 "$log/products/$name.log"), $(elapsed "$started") s)"
    else
      fail "$name"
      explain "$log/products/$name.log" 60
    fi
  done
}
