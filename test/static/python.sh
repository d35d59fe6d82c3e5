#!/bin/bash
# pyflakes finds nothing in the Python programs, and they compile.
set -euo pipefail
cd -- "$(dirname -- "$0")/../.."
# shellcheck source=scripts/lib/git.sh
source scripts/lib/git.sh

mapfile -t programs < <({
  ask_git . ls-files --cached --others --exclude-standard '*.py'
  ask_git . grep --untracked -lI -e '^#!.*python' || true
} | sort -u | grep -v '\.sh$')
if [[ " ${programs[*]} " != *' test/docs/extract '* ]]; then
  printf 'test/docs/extract is not looked at\n  The programs are not found as they '
  printf 'should be: git gives the list.\n'
  exit 1
fi

# Compiled in memory: nothing is written beside them.
if ! python3 -W error -c '
import sys
for name in sys.argv[1:]:
    with open(name, "rb") as file:
        compile(file.read(), name, "exec")
' "${programs[@]}" || ! pyflakes3 "${programs[@]}"; then
  printf '  Change the program: what is named is wrong, or not used.\n'
  exit 1
fi
