#!/bin/bash
# Whatever silences an analyzer or a compiler says why. How each of them is told:
# scripts/test static runs them.
# Each $ in quotes is perl's.
# shellcheck disable=SC2016
set -euo pipefail
cd -- "$(dirname -- "$0")/../.."
# shellcheck source=test/check/lib/sources.sh
source test/check/lib/sources.sh

found=0

# complain WHERE WHAT ADVICE
complain() {
  printf '%s: %s\n  %s\n' "$1" "$2" "$3"
  found=1
}

# git may be asked by another user than the tree's. What is not added yet is
# about to be.
files() {
  ask_git . ls-files --cached --others --exclude-standard -- "$@"
}

files '*.cpp' '*.hpp' | require_all '[ch]pp' src || found=1

# The patterns have brackets so that they do not find themselves.

# NOLINT, NOLINTNEXTLINE, NOLINTBEGIN: a colon and the reason.
check_clang_tidy_lines() {
  local place
  while IFS= read -r place; do
    complain "${place%%:  *}" 'this NOLINT gives no reason' \
      'Write "// NOLINT(name-of-the-check): reason".'
  done < <(files '*.cpp' '*.hpp' | xargs -r -d '\n' perl -ne '
    print "$ARGV:$.:  \n"
      if /NOLIN[T](?!END)/ && !/NOLIN[T]\w*(\([\w.,* -]+\))?:\s+\w+\s+\w/;
    close ARGV if eof;')
}

# Each check that a .clang-tidy switches off has its line above.
check_clang_tidy_files() {
  local file name
  while IFS= read -r file; do
    while IFS= read -r name; do
      [[ $name != - && $name != -\* ]] || continue
      if ! grep -qE -- "^# ${name//\*/\\*}: +[^ ]+ +[^ ]" "$file"; then
        complain "$file" "$name is switched off without a reason" \
          "Write a line \"# $name: reason\"."
      fi
    done < <(sed -nE '/^Checks:/,/^[A-Z][A-Za-z]*:/{/^Checks:/d;s/^ +(-[^, ]+),?$/\1/p}' \
      "$file")
  done < <(files '.clang-tidy' '*/.clang-tidy')
}

# cppcheck takes the reason behind a semicolon; in the list, a comment above.
check_cppcheck() {
  local place
  while IFS= read -r place; do
    complain "${place%%:  *}" 'this cppcheck-suppress gives no reason' \
      'Write "// cppcheck-suppress name ; reason".'
  done < <(files '*.cpp' '*.hpp' | xargs -r -d '\n' perl -ne '
    print "$ARGV:$.:  \n"
      if /cppcheck-suppres[s]/ && !/cppcheck-suppres[s]\S*\s+\S+\s*;\s*\w+\s+\w/;
    close ARGV if eof;')
}

# What has room for no reason on its own line has a comment on the line above, or
# behind it: a shellcheck directive, a pragma, perl's "no warnings", a line of
# cppcheck.suppressions, a brace that begins a suppression of valgrind's.
check_lines_with_comments() {
  local place
  while IFS= read -r place; do
    complain "${place%%:  *}" 'this silences a tool without a reason' \
      'Write the reason as a comment on the line above it.'
  done < <(files | xargs -r -d '\n' perl -ne '
    next if -B $ARGV;
    my $directive = m{^\s*\#\s*shellcheck\s+disabl[e]=} ||
      m{^\s*\#\s*pragma\s+(GCC|clang)\s+diagnostic\s+ignore[d]} ||
      m{^\s*no\s+warning[s]\b} || m{\#\s*noq[a]\b} || m{\#\#\s*no\s+criti[c]} ||
      ($ARGV =~ /\.suppressions$/ && /^\s*[\w*]/) ||
      ($ARGV =~ /\.supp$/ && /^\s*\{/);
    # A comment that is a directive itself is no reason.
    my $reason = $above =~ m{^\s*(\#|//)\s*(?!shellcheck\b)\S.*\s\w} ||
      m{(noqa|critic|;).*(\#|//|--)\s*\w+\s+\w};
    print "$ARGV:$.:  \n" if $directive && !$reason;
    $above = $_;
    if (eof) { close ARGV; $above = ""; }
    BEGIN { $above = "" }')
}

check_clang_tidy_lines
check_clang_tidy_files
check_cppcheck
check_lines_with_comments
exit "$found"
