#!/bin/bash
# The module exports what PostgreSQL looks up, and nothing else: any other name
# could be replaced by, or replace, that of another extension. And whatever an
# install script of any version names is there: a database that was restored or
# not yet updated still asks for it.
set -euo pipefail
cd -- "$(dirname -- "$0")/../.."

readonly module=${FERNET_MODULE:-pg_fernet.so}

# wanted prints the names that the install scripts ask for, and what goes with
# them.
wanted() {
  cat sql/*--*.sql | perl -0777 -ne '
    s/--[^\n]*//g;
    while (/\bAS\s+\x27MODULE_PATHNAME\x27\s*,\s*\x27(\w+)\x27/gi) {
      print "$1\npg_finfo_$1\n";
    }'
  printf '%s\n' Pg_magic_func _PG_init
}

if [[ ! -e $module ]]; then
  printf '%s: there is no built module\n  Run "make" first.\n' "$module"
  exit 1
fi
found=0
if grep -HniE "AS[[:space:]]+'MODULE_PATHNAME'[[:space:]]*($|[^,[:space:]])" \
  sql/*--*.sql; then
  printf '  Name the C function as well: AS '\''MODULE_PATHNAME'\'', '\''name'\''.\n'
  found=1
fi

exported=$(nm -D --defined-only -- "$module" | awk '{ print $NF }' | sort -u)
asked=$(wanted | sort -u)
while read -r name; do
  [[ -n $name ]] || continue
  printf '%s: exports %s, which no install script names\n' "$module" "$name"
  printf '  Put it into an anonymous namespace, or name it in the script.\n'
  found=1
done < <(comm -23 <(printf '%s\n' "$exported") <(printf '%s\n' "$asked"))
while read -r name; do
  [[ -n $name ]] || continue
  printf '%s: lacks %s, which an install script needs\n' "$module" "$name"
  printf '  Define it with FERNET_SQL_FUNCTION; for a function that went, keep a '
  printf 'stub that raises an error.\n'
  found=1
done < <(comm -13 <(printf '%s\n' "$exported") <(printf '%s\n' "$asked"))
exit "$found"
