#!/bin/bash
# Every place that states the version of pg_fernet agrees with the control file,
# each install script asks for the library of its version, and those that were
# released are as they were in the last release, by its tag.
set -euo pipefail
cd -- "$(dirname -- "$0")/../.."
# shellcheck source=scripts/lib/git.sh
source scripts/lib/git.sh

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

# opening VERSION prints how a script begins, after its complaint to psql.
opening() {
  cat <<END

-- a library older than this script raises a clear error, not one about a missing symbol
CREATE FUNCTION fernet_require_library(version text)
	RETURNS void
	AS 'MODULE_PATHNAME', 'fernet_require_library'
	LANGUAGE C
	VOLATILE
	STRICT
	PARALLEL SAFE;
SELECT fernet_require_library('$1'::pg_catalog.text);
DROP FUNCTION fernet_require_library(text);
END
}

for script in sql/*--*.sql; do
  [[ -e $script ]] || continue
  to=${script##*--}
  to=${to%.sql}
  if ! diff <(sed -n '3,13p' "$script") <(opening "$to"); then
    complain "$script" "does not begin by asking for the library $to" \
      'Put the lines marked with ">" below the \echo that ends with \quit.'
  fi
done

# git may be asked by another user than the tree's.
ask() {
  ask_git . "$@"
}

# A script that a database may have been installed by does not change: what it
# did is part of what the steps after it begin with.
tag=$(ask tag --list 'v[0-9]*' --sort=-v:refname 2>/dev/null | head -n 1 || true)
if [[ -n $tag ]]; then
  while IFS= read -r script; do
    if [[ ! -e $script ]]; then
      complain "$script" "is gone, and was released with $tag" \
        "git checkout $tag -- $script"
    elif ! ask show "$tag:$script" | diff - "$script"; then
      complain "$script" "is not as it was released with $tag" \
        "git checkout $tag -- $script; what changes goes into a step script."
    fi
  done < <(ask ls-tree -r --name-only "$tag" -- sql | grep -e '--.*\.sql$')
  step=sql/pg_fernet--${tag#v}--$version.sql
  if [[ ${tag#v} != "$version" && ! -e $step ]]; then
    complain "$step" 'does not exist' \
      "A database of version ${tag#v} needs it, even if nothing has changed."
  fi
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
if [[ -e packaging/rpm/pg_fernet.spec ]]; then
  agree packaging/rpm/pg_fernet.spec \
    "$(sed -nE 's/^Version: *(.*)/\1/p' packaging/rpm/pg_fernet.spec)"
fi
if [[ -e docs/pg_fernet.1 ]]; then
  agree docs/pg_fernet.1 "$(sed -nE '1s/.*"pg_fernet ([^"]*)".*/\1/p' docs/pg_fernet.1)"
fi
exit "$found"
