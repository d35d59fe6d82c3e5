#!/bin/bash
# Nothing is under version control that belongs to one machine: a path of it, a
# private key, what a build or a test generated, or the marks of a merge that
# nobody has finished.
set -euo pipefail
cd -- "$(dirname -- "$0")/../.."
# shellcheck source=scripts/lib/git.sh
source scripts/lib/git.sh

# The brackets keep the patterns from finding themselves.
readonly paths='(^|[^[:alnum:]_.~-])[/](work|farm|root|(home|Users)/[[:alnum:]_.-]+)/'
readonly private_keys='-----[B]EGIN [A-Z ]*PRIVATE KEY-----'
readonly marks='^([<]{7}|[>]{7}) '
readonly generated='(\.(o|d|a|so|bc|gcda|gcno|pyc)|regression\.(out|diffs))$|(^|/)(results|tmp_check|output_iso|__pycache__|CMakeFiles)/|(^|/)(CMakeCache\.txt|compile_commands\.json)$'

found=0

# git may be asked by another user than the tree's.
ask() {
  ask_git . "$@"
}

if ! ask rev-parse --is-inside-work-tree >/dev/null 2>&1; then
  printf 'This is no git working tree.\n  scripts/test check secrets makes one.\n'
  exit 1
fi

# What is not added yet is about to be.
if ask grep --untracked -nIE -e "$paths"; then
  printf '  These are paths of one machine: make them relative, or an argument.\n'
  found=1
fi
if ask grep --untracked -nIE -e "$private_keys"; then
  printf '  Private keys stay outside the repository: generate one in the test.\n'
  found=1
fi
if ask grep --untracked -nIE -e "$marks"; then
  printf '  A merge left these lines: choose between its two sides.\n'
  found=1
fi
if ask ls-files --cached | grep -E -e "$generated"; then
  printf '  These files are generated: git rm --cached, and add to .gitignore.\n'
  found=1
fi
if ask ls-files --cached --ignored --exclude-standard | grep .; then
  printf '  .gitignore excludes these files, yet they are tracked: git rm '
  printf -- '--cached.\n'
  found=1
fi
exit "$found"
