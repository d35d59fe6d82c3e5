#!/bin/bash
# The program shellcheck finds nothing in the scripts, with the files that they source.
set -euo pipefail
cd -- "$(dirname -- "$0")/../.."
# shellcheck source=scripts/lib/git.sh
source scripts/lib/git.sh

# scripts prints the files under version control whose first line calls a shell,
# and those that say to shellcheck that they are sourced by one. git may be asked
# by another user than the tree's.
scripts() {
  # Each $ in quotes is perl's.
  # shellcheck disable=SC2016
  ask_git . ls-files -z --cached --others --exclude-standard |
    xargs -0 perl -e '
      for my $file (@ARGV) {
        open(my $in, "<", $file) or next;
        my $start = join("", grep { defined } map { scalar <$in> } 1 .. 5);
        print "$file\0" if $start =~ m{\A#!\S*/(env )?(ba|da|k)?sh\b} ||
          $start =~ m{^# shellcheck shell=}m;
      }'
}

if ! scripts | grep -zxF test/static/shell.sh >/dev/null; then
  printf 'test/static/shell.sh is not looked at\n  The scripts are not found as they '
  printf 'should be: git gives the list.\n'
  exit 1
fi
if ! scripts | xargs -0 shellcheck --external-sources --format=gcc; then
  printf '  Change the script; where it must be so, write the reason and below it '
  printf '"# shellcheck disable=SCnnnn".\n'
  exit 1
fi
