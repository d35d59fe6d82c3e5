#!/bin/bash
# make and CMake compile every source of the core, the module and the program,
# whatever its folder is called. FERNET_BUILD names a folder that CMake has configured; without
# it, this configures one.
set -euo pipefail
cd -- "$(dirname -- "$0")/../.."
# shellcheck source=test/check/lib/sources.sh
source test/check/lib/sources.sh

readonly pg_config=${PG_CONFIG:-pg_config} cmake=${CMAKE:-cmake}
unset MAKEFLAGS MAKELEVEL
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
found=0

# compiled_by_make prints the sources of the objects that the Makefile links.
compiled_by_make() {
  # Make's variable is meant.
  # shellcheck disable=SC2016
  make -s --no-print-directory PG_CONFIG="$pg_config" \
    --eval 'list-objects: ; @printf "%s\n" $(OBJS) $(client_objects)' list-objects |
    sed 's/\.o$/.cpp/'
}

# compiled_by_cmake BUILD prints the sources of the core, the module and the program.
compiled_by_cmake() {
  python3 -c '
import json
import os
import re
import sys

with open(sys.argv[1], encoding="utf-8") as commands:
    for command in json.load(commands):
        if re.search(r" -o \S*\b(fernet_core|fernet_client|pg_fernet)\.dir/", command["command"]):
            print(os.path.relpath(command["file"]))' "$1/compile_commands.json"
}

build=${FERNET_BUILD:-}
if [[ ! -e $build/compile_commands.json ]]; then
  build=$folder/build
  if ! "$cmake" -S . -B "$build" -DPG_CONFIG="$pg_config" -DBUILD_TESTING=OFF \
    >"$folder/log" 2>&1; then
    tail -n 30 "$folder/log"
    exit 1
  fi
fi
if ! compiled_by_make | require_all cpp src/core src/pg src/client; then
  printf '  make does not compile these: see "sources" in the Makefile.\n'
  found=1
fi
if ! compiled_by_cmake "$build" | require_all cpp src/core src/pg src/client; then
  printf '  CMake does not compile these: see "GLOB" in CMakeLists.txt.\n'
  found=1
fi
exit "$found"
