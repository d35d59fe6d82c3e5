#!/bin/bash
# perl warns of nothing when it compiles the tests. They are not run.
set -euo pipefail
cd -- "$(dirname -- "$0")/../.."
# shellcheck source=scripts/lib/git.sh
source scripts/lib/git.sh

pgxs=$("${PG_CONFIG:-pg_config}" --pgxs)
export PERL5LIB=${pgxs%/makefiles/pgxs.mk}/test/perl:test/perl
found=0
mapfile -t programs < <({
  ask_git . ls-files --cached --others --exclude-standard \
    '*.pl' '*.pm'
  ask_git . grep --untracked -lI -e '^#!.*perl' || true
} | sort -u | grep -v '\.sh$')
if [[ " ${programs[*]} " != *' test/perl/FernetTest.pm '* ]]; then
  printf 'test/perl/FernetTest.pm is not looked at\n  The programs are not found as '
  printf 'they should be: git gives the list.\n'
  exit 1
fi
for file in "${programs[@]}"; do
  if output=$(perl -cw -- "$file" 2>&1) && [[ $output == "$file syntax OK" ]]; then
    continue
  fi
  printf '%s: perl -cw says:\n' "$file"
  printf '%s\n' "$output" | sed 's/^/    /'
  found=1
done
if ((found != 0)); then
  printf '  Change the program until "perl -cw" says "syntax OK" and nothing else.\n'
fi
exit "$found"
