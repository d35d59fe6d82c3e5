#!/bin/bash
# The module is no weaker than the server that loads it: nothing in it is both
# written and executed, it names no folder to load libraries from but perhaps the
# one of PostgreSQL's own, as that has its extensions do where it was built for a
# folder of its own, and it has the protections that PostgreSQL was built with.
set -euo pipefail
cd -- "$(dirname -- "$0")/../.."

readonly module=${FERNET_MODULE:-pg_fernet.so}
readonly pg_config=${PG_CONFIG:-pg_config}
found=0

# complain WHAT ADVICE
complain() {
  printf '%s: %s\n  %s\n' "$module" "$1" "$2"
  found=1
}

if [[ ! -e $module ]]; then
  printf '%s: there is no built module\n  Run "make" first.\n' "$module"
  exit 1
fi
segments=$(readelf -lW -- "$module")
dynamic=$(readelf -dW -- "$module")
symbols=$(nm -D -u -- "$module")
cflags=$("$pg_config" --cflags)
ldflags=$("$pg_config" --ldflags)

if grep -qE '^ *GNU_STACK .* R?WE ' <<<"$segments"; then
  complain 'asks for an executable stack' \
    'Look for assembly without .note.GNU-stack, or a nested function of C.'
elif ! grep -q 'GNU_STACK' <<<"$segments"; then
  complain 'says nothing about its stack, which is executable then' \
    'Link with -Wl,-z,noexecstack.'
fi
if grep -qE '^ *LOAD .* R?WE ' <<<"$segments"; then
  complain 'has memory that is both written and executed' \
    'Look for a section attribute, or a script for the linker.'
fi
libdir=$("$pg_config" --libdir)
if sed -nE 's/.*\((RPATH|RUNPATH)\).*\[(.*)\]/\2/p' <<<"$dynamic" | tr ':' '\n' |
  grep -vxF -- "$libdir" >/dev/null; then
  complain 'names folders to load libraries from' \
    'Take -rpath out of SHLIB_LINK, and out of the environment (LDFLAGS).'
fi
if grep -qE '\(TEXTREL\)| TEXTREL' <<<"$dynamic"; then
  complain 'changes its code while it is loaded' 'Compile all of it with -fPIC.'
fi
if [[ $ldflags == *-z,relro* ]] && ! grep -q 'GNU_RELRO' <<<"$segments"; then
  complain 'has no RELRO, though PostgreSQL is built with it' \
    'Link with -Wl,-z,relro.'
fi
if [[ $ldflags == *-z,now* ]] &&
  ! grep -qE '\(BIND_NOW\)|\(FLAGS.*(BIND_NOW| NOW)' <<<"$dynamic"; then
  complain 'binds symbols late, though PostgreSQL binds them at once' \
    'Link with -Wl,-z,now.'
fi
if [[ $cflags == *-fstack-protector* ]] &&
  ! grep -q '__stack_chk_fail' <<<"$symbols"; then
  complain 'has no stack protector, though PostgreSQL has' \
    'Compile with -fstack-protector-strong.'
fi
exit "$found"
