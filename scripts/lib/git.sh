# Asking git about a working tree without running a program of its owner. Sourced
# by the scripts, and by what test/check and test/static ask of git.
#
# The configuration of a repository can name programs, which git runs as whoever
# asks. Root asks about a tree of somebody else here, and an unpacked archive may
# lie below a folder whose .git is somebody else's.
# shellcheck shell=bash

# ask_git FOLDER ARGUMENT... runs git on the working tree FOLDER, never on one that
# FOLDER lies in: without a .git of its own, the status is 128. No hook, monitor,
# pager, signature program or transport runs, whatever the repository says. Git
# itself hands no filter a file, and converts none, for the commands that only list
# files, search, or read objects: ask for no other.
ask_git() {
  local folder
  folder=$(cd -- "$1" && pwd -P) || return 128
  shift
  if [[ ! -e $folder/.git ]]; then
    printf 'This is no git working tree: %s\n' "$folder" >&2
    return 128
  fi
  # The last two: an object that a partial clone lacks is not fetched.
  env -u GIT_DIR -u GIT_WORK_TREE -u GIT_INDEX_FILE -u GIT_COMMON_DIR \
    -u GIT_EXTERNAL_DIFF GIT_CEILING_DIRECTORIES="$(dirname -- "$folder")" \
    GIT_OPTIONAL_LOCKS=0 GIT_TERMINAL_PROMPT=0 GIT_ALLOW_PROTOCOL=none \
    GIT_NO_LAZY_FETCH=1 \
    git -C "$folder" --git-dir="$folder/.git" --work-tree="$folder" --no-pager \
    -c safe.directory="$folder" -c core.fsmonitor=false \
    -c core.hooksPath=/dev/null -c core.sshCommand=false -c core.askPass=false \
    -c core.alternateRefsCommand=false -c credential.helper= -c gpg.program=false \
    -c log.showSignature=false -c diff.external= -c submodule.recurse=false "$@"
}
