#!/bin/bash
# Two builds in different folders give the same module, bit for bit: that of
# this tree, and that of the archive which "make dist" makes of it.
set -euo pipefail
cd -- "$(dirname -- "$0")/../.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# build FOLDER makes the module only: the program takes longer to compile.
build() {
  make -C "$1" pg_fernet.so -j "$(nproc)" PG_CONFIG="${PG_CONFIG:-pg_config}" \
    ${WERROR:+WERROR=$WERROR} >"$folder/log" 2>&1 || {
    tail -n 20 "$folder/log"
    exit 1
  }
}

module=pg_fernet.so
# CMake builds elsewhere, and another module.
if [[ -n ${FERNET_MODULE:-} ]]; then
  mkdir "$folder/tree"
  cp -R Makefile pg_fernet.control src sql "$folder/tree"
  find "$folder/tree/src" -name '*.[od]' -delete
  build "$folder/tree"
  module=$folder/tree/pg_fernet.so
elif [[ ! -e $module ]]; then
  printf 'pg_fernet.so: there is no built module\n  Run "make" first.\n'
  exit 1
fi

again=$folder/a/folder/with/another/name
test/check/dist.sh "$again"
build "$again"

if ! cmp "$module" "$again/pg_fernet.so"; then
  cat <<'TEXT'
  The module depends on where it is built: a path, a time, or the order of the
  files has got into it. Look for the folder's name with "strings"; see
  -ffile-prefix-map in the Makefile.
TEXT
  exit 1
fi
