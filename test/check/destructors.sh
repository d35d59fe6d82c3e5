#!/bin/bash
# No function of src/pg has anything to destroy. PostgreSQL's errors are a
# longjmp, which runs no destructor: a variable with one, alive while a server
# function is called, would leave a key unwiped or memory of OpenSSL's unfreed.
# Without optimization the compiler calls each destructor that does something by
# its name, for temporary objects too; the calls are what is looked for.
set -euo pipefail
cd -- "$(dirname -- "$0")/../.."
# shellcheck source=test/check/lib/sources.sh
source test/check/lib/sources.sh

# A global is destroyed by a function that the compiler makes, at the end of the
# process. Ours are Immortal, whose destructors are empty.
readonly allowed='^_Z41__static_initialization_and_destruction_0|^_GLOBAL__sub_|^__cxx_global_|^__tcf_'

headers=$("${PG_CONFIG:-pg_config}" --includedir-server)
objects=$(mktemp -d)
trap 'rm -rf "$objects"' EXIT
readonly flags=(-std=c++20 -O0 -fno-inline -fno-exceptions -fno-rtti
  -ffunction-sections -w -Isrc -isystem "$headers" '-DFERNET_VERSION=""'
  -DPGDLLEXPORT=)

# calls FILE prints, for each call of a destructor in a file, the function that
# calls it and the class, both as the linker knows them. Those that destructors
# and the core's own functions call are not ours to judge: the core calls no
# server function.
calls() {
  objdump -dr --no-show-raw-insn -- "$1" | awk -v allowed="$allowed" '
    /^[0-9a-f]+ <.*>:$/ { caller = substr($2, 2, length($2) - 3) }
    / R_[A-Z0-9_]+/ || /\tR_[A-Z0-9_]+/ {
      if (!match($NF, /_Z[A-Za-z0-9_.$]*D[012]Ev/)) next
      callee = substr($NF, RSTART, RLENGTH)
      sub(/.*\./, "", callee)
      if (caller ~ /D[012]Ev$/ || caller ~ allowed) next
      print caller, callee
    }' | sort -u
}

if [[ ! -e $headers/postgres.h ]]; then
  printf '%s: finds no server headers\n' "${PG_CONFIG:-pg_config}"
  printf '  Install postgresql-server-dev-NN, or set PG_CONFIG.\n'
  exit 1
fi
# The names are expanded by the inner shell.
# shellcheck disable=SC2016
if ! units src/pg | tr '\n' '\0' | xargs -0 -P "$(nproc)" -I '{}' sh -c '
    file=$1 objects=$2
    shift 2
    mkdir -p "$objects/$(dirname "$file")"
    "$@" -c "$file" -o "$objects/${file%.cpp}.o"' \
  sh '{}' "$objects" ${CCACHE_DIR:+ccache} "${CXX:-g++}" "${flags[@]}"; then
  printf '  Compile with "make" first: this check needs what compiles.\n'
  exit 1
fi

found=0
mapfile -t compiled < <(cd "$objects" && find . -name '*.o' -printf '%P\n' | sort)
for object in "${compiled[@]}"; do
  while read -r caller callee; do
    caller=$(c++filt -- "$caller")
    [[ $caller != fernet::* || $caller == fernet::pg::* ]] || continue
    printf '%s.cpp: %s\n  destroys something: %s\n' \
      "${object%.o}" "$caller" "$(c++filt -- "$callee")"
    found=1
  done < <(calls "$objects/$object")
done
if ((found != 0)); then
  printf '  Let a function of the core own it, which calls no server function; or '
  printf 'keep\n  it in session_keys.cpp, where no error can leave it behind.\n'
fi
printf '%s\n' "${compiled[@]/%.o/.cpp}" | require_all cpp src/pg || found=1
exit "$found"
