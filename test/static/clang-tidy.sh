#!/bin/bash
# clang-tidy finds nothing in the C++ of the tree: .clang-tidy says what it looks
# for. Most of the time is the static analyzer's, which gives up a function after a
# part of the states that are its default. With FERNET_LONG=1 it takes the default,
# and the unit tests have their turn too, which GoogleTest's headers make long.
set -euo pipefail
cd -- "$(dirname -- "$0")/../.."
# shellcheck source=test/check/lib/sources.sh
source test/check/lib/sources.sh

# A newer version has checks that nobody has looked at: its findings are no news
# about the code. When Debian has one, see what it says, then name it here.
readonly versions=' 14 '
readonly build=${FERNET_BUILD:-build}

version=$(clang-tidy --version | sed -nE 's/.*version ([0-9]+)\..*/\1/p')
if [[ $versions != *" $version "* ]]; then
  printf 'skipped: .clang-tidy is made for version%s, and this is %s\n' \
    "${versions% }" "$version"
  exit 77
fi

folders=(src/*)
arguments=(--quiet '--warnings-as-errors=*' -p "$build")
if [[ -n ${FERNET_LONG:-} ]]; then
  folders+=(test/unit)
  # test/unit/.clang-tidy leaves it out.
  arguments+=('--checks=clang-analyzer-*')
else
  arguments+=(--extra-arg={-Xclang,-analyzer-config,-Xclang,max-nodes=8000})
fi
found=0
for folder in "${folders[@]}"; do
  if ! grep -qs "\"file\": \"$PWD/$folder/" "$build/compile_commands.json"; then
    printf '%s: does not say how to compile %s\n' \
      "$build/compile_commands.json" "$folder"
    printf '  Run "cmake -S . -B %s" with the server package for developers and ' \
      "$build"
    printf 'GoogleTest installed.\n'
    exit 1
  fi
done

mapfile -t files < <(units "${folders[@]}")
printf '%s\n' "${files[@]}" | require_all cpp "${folders[@]}" || found=1

# A report for each file, since they are written side by side.
reports=$(mktemp -d)
shopt -s nullglob
trap 'rm -rf "$reports"' EXIT
rules=$(
  printf '%s\n' "${arguments[@]/"$build"/}"
  clang-tidy --version
  find . -name .clang-tidy | sort | xargs sha256sum
)
# The names are expanded by the inner shell.
# shellcheck disable=SC2016
printf '%s\0' "${files[@]}" |
  RULES=$rules BUILD=$build xargs -0 -P "$(nproc)" -I '{}' sh -c '
    file=$1 report=$2/$(printf %s "$1" | tr / _) stamp=
    shift 2
    if [ -n "${FERNET_STAMPS:-}" ]; then
      digest=$(test/static/digest.pl "$RULES" "$BUILD" "$file") || exit
      stamp=$FERNET_STAMPS/$digest
      if [ -e "$stamp" ]; then
        touch "$stamp"
        exit
      fi
    fi
    clang-tidy "$@" "$file" >"$report" 2>"$report.errors" || {
      status=$?
      # Words without a finding: it could not do its work.
      [ -s "$report" ] || cat "$report.errors" >"$report"
      exit "$status"
    }
    [ -z "$stamp" ] || : >"$stamp"' sh '{}' "$reports" "${arguments[@]}" || found=1
rm -f "$reports"/*.errors

# What is found in a header is found once for each file that includes it.
awk -v root="$PWD/" '
  index($0, root) == 1 { $0 = substr($0, length(root) + 1) }
  FNR == 1 { shown = 1 }
  / (warning|error): / { shown = !seen[$0]++ }
  shown' /dev/null "$reports"/*
if ((found != 0)); then
  printf '  Change the code; where it must be so, end the line with '
  printf '"// NOLINT(name): reason".\n'
fi
exit "$found"
