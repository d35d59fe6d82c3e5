#!/bin/bash
# The scripts ask git about their own tree only, and run no program that a
# repository's configuration names: neither that of a folder which an unpacked
# archive lies in, nor that of the tree itself. The owner may be somebody else.
set -euo pipefail
cd -- "$(dirname -- "$0")/../.."

found=0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
readonly traces=$folder/traces
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE

# complain WHERE WHAT ADVICE
complain() {
  printf '%s: %s\n  %s\n' "$1" "$2" "$3"
  found=1
}

# plant FOLDER makes it a repository that runs a program whenever git lets it: the
# program writes its name to the traces. Root's is somebody else's.
plant() {
  local -r trap=$folder/trap name=$1
  printf '#!/bin/sh\necho "%s" >>"%s"\nexit 1\n' "$name" "$traces" >"$trap"
  chmod 755 "$trap"
  git -C "$name" -c init.defaultBranch=main init -q
  git -C "$name" config core.fsmonitor "$trap"
  git -C "$name" config core.hooksPath "$folder/hooks"
  git -C "$name" config core.pager "$trap"
  git -C "$name" config core.sshCommand "$trap"
  git -C "$name" config diff.external "$trap"
  git -C "$name" config remote.origin.url "ext::$trap"
  git -C "$name" config remote.origin.promisor true
  git -C "$name" config protocol.ext.allow always
  git -C "$name" config extensions.partialClone origin
  git -C "$name" config core.repositoryFormatVersion 1
  mkdir -p "$folder/hooks"
  cp -- "$trap" "$folder/hooks/post-index-change"
  # A tag whose object is missing, which a partial clone would fetch.
  mkdir -p "$name/.git/refs/tags"
  printf '%040d\n' 1 >"$name/.git/refs/tags/v0.0.1"
  ((EUID != 0)) || chown -R nobody "$name"
  # Else a program that was not run would prove nothing.
  : >"$traces"
  git -C "$name" -c safe.directory='*' ls-files --others >/dev/null 2>&1 || true
  [[ -s $traces ]] || complain "$name" 'git itself does not run the program' \
    'This test proves nothing with this git: plant another program.'
  : >"$traces"
}

# unpack FOLDER makes it a copy of what asks git.
unpack() {
  mkdir -p "$1"
  cp -R Makefile META.json pg_fernet.control CHANGELOG.md README.md sql scripts \
    "$1"
  mkdir "$1/test"
  cp -R test/check test/static "$1/test"
}

# ask FOLDER runs all that asks git there. What it answers is not looked at but for
# the list of files: an archive is no working tree.
ask() {
  local script
  # The names are expanded by the inner shell.
  # shellcheck disable=SC2016
  bash -c 'source scripts/lib/common.sh
    source scripts/lib/private-server.sh
    make_work_folder
    list_tree' "$1/scripts/test" >"$folder/files" 2>/dev/null
  for script in secrets suppressions versions links; do
    (cd -- "$1" && "test/check/$script.sh") >/dev/null 2>&1 || true
  done
  for script in check/dist static/python static/shell static/perl; do
    (cd -- "$1" && env PATH="$folder/bin:$PATH" "test/$script.sh") \
      >/dev/null 2>&1 || true
  done
}

# judge FOLDER WHAT
judge() {
  if [[ -s $traces ]]; then
    complain "$2" 'its program ran' 'Ask git by ask_git of scripts/lib/git.sh only.'
  fi
  if ! tr '\0' '\n' <"$folder/files" | grep -x 'scripts/lib/git.sh' >/dev/null; then
    complain "$2" 'the files of the tree are not listed' \
      'See list_tree in scripts/lib/private-server.sh.'
  fi
}

# The analyzers need not look at anything here.
mkdir "$folder/bin"
for name in shellcheck pyflakes3 make; do
  printf '#!/bin/sh\nexit 1\n' >"$folder/bin/$name"
  chmod 755 "$folder/bin/$name"
done

mkdir "$folder/outside"
unpack "$folder/outside/archive"
plant "$folder/outside"
(cd -- "$folder/outside/archive" && ask "$folder/outside/archive")
judge "$folder/outside/archive" 'a repository around the archive'

unpack "$folder/own"
plant "$folder/own"
(cd -- "$folder/own" && ask "$folder/own")
judge "$folder/own" 'the repository of the tree'
exit "$found"
