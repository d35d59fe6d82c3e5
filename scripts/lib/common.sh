# Code that scripts/demo and scripts/test share: messages, the temporary folder,
# and the unprivileged user that runs everything but apt-get. Sourced by them.
# shellcheck shell=bash
# Names that the programs use, or define:
# shellcheck disable=SC2034

# The caller's environment must not change what runs: another Python or compiler
# on the PATH, the address of another server, flags of make.
if [[ -n ${PG_CONFIG:-} && $PG_CONFIG != /* ]]; then
  PG_CONFIG=$(command -v -- "$PG_CONFIG" || printf '%s' "$PG_CONFIG")
fi
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL=C.UTF-8
for variable in "${!PG@}"; do
  [[ $variable == PG_CONFIG ]] || unset "$variable"
done
unset variable CDPATH MAKEFLAGS MAKELEVEL CFLAGS CXXFLAGS CPPFLAGS LDFLAGS \
  PERL5LIB PERL5OPT PROVE_TESTS PROVE_FLAGS GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
umask 022

program=$(basename -- "$0")
# Without symbolic links, as git knows it.
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
# shellcheck source=scripts/lib/git.sh
source "$root/scripts/lib/git.sh"

# The errors of the program itself, even if a signal ends it while 2 is
# redirected. Programs that as_owner runs do not get it: a server would keep a
# pipe open.
exec 9>&2

# Colors are for terminals: none in a file, a pipe or with NO_COLOR set.
bold='' dim='' red='' green='' blue='' plain=''
if [[ -t 1 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
  bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' blue=$'\e[34m'
  plain=$'\e[0m'
fi

# die prints an error and ends the program.
die() {
  printf '%s%s: %s%s\n' "$red" "$program" "$1" "$plain" >&2
  shift
  (($# == 0)) || printf '%s\n' "$@" >&2
  exit 1
}

# indent moves its input to the right.
indent() {
  sed 's/^/     /'
}

# elapsed SINCE prints the seconds since a value of EPOCHREALTIME, with two
# decimals. Bash counts in whole numbers only.
elapsed() {
  local -r microseconds=$((${EPOCHREALTIME/./} - ${1/./}))
  printf '%d.%02d' $((microseconds / 1000000)) $((microseconds / 10000 % 100))
}

# as_admin runs a command that needs root.
as_admin() {
  if ((EUID == 0)); then
    "$@"
  elif [[ -x /usr/bin/sudo ]]; then
    sudo -- "$@"
  else
    die "root is needed, and there is no sudo, for: $*"
  fi
}

# as_owner runs a command as the user that owns what is built and served:
# PostgreSQL refuses to be root. setpriv, and not su or sudo, since it keeps the
# environment, by which keys are handed over, and adds no process of its own. The
# lock of kept.sh, 7, ends with the program.
as_owner() {
  if ((EUID == 0)); then
    HOME=$work setpriv --reuid="$owner" --regid="$owner_group" \
      --init-groups -- "$@" 7>&- 9>&-
  else
    HOME=$work "$@" 7>&- 9>&-
  fi
}

# choose_owner picks that user: the one of the PostgreSQL packages, or whoever
# calls.
choose_owner() {
  if ((EUID != 0)); then
    owner=$(id -un)
  elif id postgres >/dev/null 2>&1; then
    owner=postgres
  else
    owner=nobody
  fi
  owner_group=$(id -g "$owner")
}

# make_work_folder makes the one folder that everything is in, until the end.
# It stays with whoever calls, so that root never writes into a folder of the
# owner, who could put a link there.
make_work_folder() {
  # Not TMPDIR: a socket's path has 107 characters at most, and the owner must
  # be able to reach it.
  work=$(mktemp -d /tmp/pg_fernet.XXXXXXXX)
  chmod 711 "$work"
  # The owner may not be able to enter the current folder, for example root's
  # home.
  cd "$work" || exit
  log=$work/log
  mkdir "$log"
  trap 'clean_up $?' EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

# make_owned_folder makes a folder that the owner alone may enter.
make_owned_folder() {
  mkdir "$1"
  chmod 700 "$1"
  ((EUID != 0)) || chown "$owner:" "$1"
}

# clean_up STATUS undoes everything at every end of the program. If a program
# defines before_clean_up, that runs first; it can set keep_log to keep the
# folder of the logs.
keep_log=
clean_up() {
  trap - EXIT
  trap '' HUP INT TERM
  set +e
  exec 2>&9
  if declare -F before_clean_up >/dev/null; then
    before_clean_up "$1"
  fi
  if declare -F stop_server >/dev/null; then
    stop_server
  fi
  if declare -F allow_cluster >/dev/null; then
    allow_cluster
    allow_services
  fi
  if [[ -n $keep_log ]]; then
    find "$work" -mindepth 1 -maxdepth 1 ! -name log -exec rm -rf {} +
    chmod 755 "$work"
  else
    rm -rf "$work"
  fi
  exit "$1"
}
