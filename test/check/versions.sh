#!/bin/bash
# Every place that states the version of pg_fernet agrees with the control file.
set -euo pipefail
cd -- "$(dirname -- "$0")/../.."

found=0

# complain FILE WHAT ADVICE
complain() {
  printf '%s: %s\n  %s\n' "$1" "$2" "$3"
  found=1
}

# agree FILE VERSION: what the file states must be the version.
agree() {
  if [[ $2 != "$version" ]]; then
    complain "$1" "states the version \"$2\"" \
      "Change it to $version, or default_version in pg_fernet.control."
  fi
}

version=$(sed -n "s/^default_version *= *'\(.*\)'/\1/p" pg_fernet.control)
if [[ ! $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]]; then
  complain pg_fernet.control "default_version is \"$version\"" \
    'It must be three numbers, as 1.0.0.'
fi

if [[ ! -e sql/pg_fernet--$version.sql ]]; then
  complain "sql/pg_fernet--$version.sql" 'does not exist' \
    'Every version has a full install script, and CREATE EXTENSION needs it.'
fi

# The first heading that has a version, as "## 1.0.0 (unreleased)".
if [[ -e CHANGELOG.md ]]; then
  agree CHANGELOG.md \
    "$(sed -nE 's/^#+ *\[?v?([0-9]+\.[0-9]+\.[0-9]+).*/\1/p' CHANGELOG.md |
      head -n 1)"
else
  complain CHANGELOG.md 'does not exist' \
    "Begin it with a heading \"## $version (unreleased)\"."
fi

# PGXN's file states it twice: for the distribution, and for the extension in it.
# That of the format, below "meta-spec", is another matter.
if [[ -e META.json ]]; then
  stated=$(sed '/"meta-spec"/,/}/d' META.json |
    grep -oE '"version"[[:space:]]*:[[:space:]]*"[^"]*"' |
    sed -E 's/.*"([^"]*)"$/\1/' || true)
  if [[ $(grep -c . <<<"$stated") != 2 ]]; then
    complain META.json 'does not state the version twice' \
      "Add \"version\": \"$version\", also below \"provides\"."
  fi
  while read -r number; do
    [[ -z $number ]] || agree META.json "$number"
  done <<<"$stated"
fi

# CMake reads the control file; a number in its place would be one more to keep.
if [[ -e CMakeLists.txt ]]; then
  number=$(tr '\n' ' ' <CMakeLists.txt |
    sed -nE 's/.*project *\([^)]*VERSION +([^ )]+).*/\1/p')
  # The text of the file is meant, not a variable of ours.
  # shellcheck disable=SC2016
  if [[ $number =~ ^[0-9] ]]; then
    agree CMakeLists.txt "$number"
  elif [[ $number != '${'* ]] || ! grep -q 'pg_fernet\.control' CMakeLists.txt; then
    complain CMakeLists.txt 'does not state the version of the project' \
      'Read it from pg_fernet.control: project(pg_fernet VERSION ${...}).'
  fi
fi
# Debian's is followed by the revision of the package.
if [[ -e debian/changelog ]]; then
  agree debian/changelog "$(sed -nE '1s/.*\((.*)-[^-]+\).*/\1/p' debian/changelog)"
fi
exit "$found"
