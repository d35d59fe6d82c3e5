# How the checks find the C++ of src: by walking, whatever its folders are called,
# and how they prove that they have looked at all of it. Sourced by them, in the
# top folder of the tree.
# shellcheck shell=bash

# shellcheck source=scripts/lib/git.sh
source scripts/lib/git.sh

# sources FOLDER... prints the C++ files below the folders, one a line.
sources() {
  find "$@" -type f -name '*.[ch]pp' | LC_ALL=C sort
}

# units FOLDER... prints those of them that are compiled.
units() {
  sources "$@" | grep '\.cpp$'
}

# in_git prints the C++ files of src that git knows, or is about to be told of,
# which is another way to find them than ours. Nothing, where there is no git.
in_git() {
  local file
  ask_git . -c core.quotePath=off ls-files --cached --others \
    --exclude-standard -- 'src/*.cpp' 'src/*.hpp' 2>/dev/null |
    while IFS= read -r file; do
      [[ ! -e $file ]] || printf '%s\n' "$file"
    done
}

# line_of_folders prints the folders that have a place in lib/folders.
line_of_folders() {
  grep -v '^#' test/check/lib/folders
}

# require_all SUFFIX FOLDER... reads the names of the files that a check has looked
# at, one a line, and fails if there is any other file with that suffix (cpp, or
# [ch]pp) below the folders, or none in a folder of the line: a check that looks at
# nothing finds nothing.
require_all() {
  local -r suffix=$1
  local file folder looked_at wanted missed=0
  shift
  looked_at=$(LC_ALL=C sort -u)
  wanted=$({
    sources "$@"
    in_git
    [[ " $* " != *' src/pg '* && " $* " != *' src '* ]] || printf 'src/pg/module.cpp\n'
  } | LC_ALL=C sort -u)
  for folder; do
    while IFS= read -r file; do
      # The suffix is a pattern.
      # shellcheck disable=SC2053
      [[ $file == "$folder"/* && $file == *.$suffix ]] || continue
      if [[ $'\n'$looked_at$'\n' != *$'\n'"$file"$'\n'* ]]; then
        printf '%s: is not looked at\n' "$file"
        missed=1
      fi
    done <<<"$wanted"
    while IFS= read -r file; do
      [[ $file/ == "$folder"/* ]] || continue
      if [[ $'\n'$looked_at != *$'\n'"$file"/* ]]; then
        printf '%s: no file of it is looked at\n' "$file"
        missed=1
      fi
    done < <(line_of_folders)
  done
  if ((missed != 0)); then
    printf '  A check finds its files with test/check/lib/sources.sh. Take a folder '
    printf 'that is gone\n  out of test/check/lib/folders.\n'
  fi
  return "$missed"
}
