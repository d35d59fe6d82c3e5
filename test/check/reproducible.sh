#!/bin/bash
# Two builds in different folders give the same module, bit for bit.
set -euo pipefail
cd -- "$(dirname -- "$0")/../.."

if [[ ! -e pg_fernet.so ]]; then
  printf 'pg_fernet.so: there is no built module\n  Run "make" first.\n'
  exit 1
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
again=$folder/a/folder/with/another/name
mkdir -p "$again"
cp -R Makefile pg_fernet.control src sql "$again"
rm -f "$again"/src/*/*.o
make -C "$again" -j "$(nproc)" PG_CONFIG="${PG_CONFIG:-pg_config}" \
  ${WERROR:+WERROR=$WERROR} >"$folder/log" 2>&1 || {
  tail -n 20 "$folder/log"
  exit 1
}

if ! cmp pg_fernet.so "$again/pg_fernet.so"; then
  cat <<'END'
  The module depends on where it is built: a path, a time, or the order of the
  files has got into it. Look for the folder's name with "strings"; see
  -ffile-prefix-map in the Makefile.
END
  exit 1
fi
