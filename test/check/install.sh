#!/bin/bash
# make and CMake install the same files into the same places, with a prefix and
# without, and the two modules export the same symbols. FERNET_BUILD names a
# folder in which CMake has built; without it, this takes the time of a build.
set -euo pipefail
cd -- "$(dirname -- "$0")/../.."

readonly pg_config=${PG_CONFIG:-pg_config} cmake=${CMAKE:-cmake}
# What is tested is where files go, not what the caller has set.
unset DESTDIR MAKEFLAGS MAKELEVEL
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
found=0

# complain WHAT ADVICE
complain() {
  printf '%s\n  %s\n' "$1" "$2"
  found=1
}

# quietly COMMAND... shows what it prints only if it fails.
quietly() {
  if ! "$@" >"$folder/log" 2>&1; then
    tail -n 30 "$folder/log"
    printf 'This has failed: %s\n' "$*"
    exit 1
  fi
}

# by_make [VARIABLE=VALUE...] installs below $folder/make, from a copy: what is
# compiled already is not compiled again, and nothing is left here.
by_make() {
  rm -rf "$folder/make"
  quietly make -C "$folder/tree" -j "$(nproc)" PG_CONFIG="$pg_config" \
    DESTDIR="$folder/make" install "$@"
}

# by_cmake [OPTION...] installs below $folder/cmake what is built, configured anew
# but not built again.
by_cmake() {
  local -r build=$folder/configured
  rm -rf "$folder/cmake"
  quietly "$cmake" -S . -B "$build" -DPG_CONFIG="$pg_config" \
    -DBUILD_TESTING=OFF "$@"
  cp -- "$built/pg_fernet.so" "$built/pg_fernet" "$build"
  DESTDIR=$folder/cmake quietly "$cmake" --install "$build"
}

# files FOLDER prints what is installed, with permissions.
files() {
  (cd -- "$1" && find . ! -type d -printf '%P %M\n' | sort)
}

# symbols FOLDER prints what the module in it exports.
symbols() {
  local module
  module=$(find "$1" -name pg_fernet.so)
  nm -D --defined-only -- "$module" | awk '{ print $NF }' | sort
}

# compare WHAT [FILE...]: the two have installed the same, and FILEs are there.
compare() {
  local -r what=$1
  local file
  shift
  if ! diff <(files "$folder/make") <(files "$folder/cmake"); then
    complain "$what: make (<) and CMake (>) install different files" \
      'See the end of the Makefile and "install" in CMakeLists.txt.'
  fi
  for file; do
    [[ -f $folder/make/$file ]] ||
      complain "$what: make does not install $file" \
        'See "prefix" in the Makefile.'
  done
}

mkdir "$folder/tree"
cp -Rp Makefile pg_fernet.control src sql "$folder/tree"
mkdir "$folder/tree/docs"
cp -p docs/pg_fernet.1 "$folder/tree/docs"
[[ ! -e pg_fernet ]] || cp -p pg_fernet "$folder/tree"
built=${FERNET_BUILD:-$folder/built}
if [[ ! -e $built/pg_fernet.so || ! -e $built/pg_fernet ]]; then
  quietly "$cmake" -S . -B "$built" -DPG_CONFIG="$pg_config" -DBUILD_TESTING=OFF
  quietly "$cmake" --build "$built" --parallel "$(nproc)"
fi

version=$(sed -n "s/^default_version = '\(.*\)'/\1/p" pg_fernet.control)
library=$("$pg_config" --pkglibdir)
data=$("$pg_config" --sharedir)
by_make
by_cmake
compare 'without a prefix' "$library/pg_fernet.so" \
  "$("$pg_config" --bindir)/pg_fernet" \
  "$("$pg_config" --mandir)/man1/pg_fernet.1" \
  "$data/extension/pg_fernet.control" \
  "$data/extension/pg_fernet--$version.sql"
if ! diff <(symbols "$folder/make") <(symbols "$folder/cmake"); then
  complain 'The modules of make (<) and of CMake (>) export different symbols' \
    'Compare the flags in the Makefile and in CMakeLists.txt.'
fi

# Two kinds of folders: PostgreSQL adds its name to what does not hold it.
by_make prefix=/opt/extras
by_cmake -DCMAKE_INSTALL_PREFIX=/opt/extras
compare 'with a prefix' opt/extras/lib/postgresql/pg_fernet.so \
  opt/extras/bin/pg_fernet opt/extras/share/man/man1/pg_fernet.1 \
  opt/extras/share/postgresql/extension/pg_fernet.control
by_make prefix=/opt/postgres-extras
by_cmake -DCMAKE_INSTALL_PREFIX=/opt/postgres-extras
compare 'with a prefix of PostgreSQL' opt/postgres-extras/lib/pg_fernet.so \
  opt/postgres-extras/share/extension/pg_fernet.control

# And nothing is left behind.
quietly make -C "$folder/tree" PG_CONFIG="$pg_config" DESTDIR="$folder/make" \
  prefix=/opt/postgres-extras uninstall
[[ -z $(files "$folder/make") ]] ||
  complain "make uninstall leaves: $(files "$folder/make")" 'See the Makefile.'
exit "$found"
