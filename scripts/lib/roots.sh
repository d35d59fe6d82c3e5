# Root folders of other Debians, in which programs run as on a machine of its
# own. Sourced by scripts/test-matrix, test-package and test-fresh, after
# common.sh, deps.sh and private-server.sh.
#
# Below the folder that they are kept in:
#   bases/SUITE.tar   what debootstrap makes of a suite, untouched; for another
#                     processor SUITE-PROCESSOR.tar
#   roots/NAME        a root folder made of one
#   logs              the output of the latest runs
# shellcheck shell=bash
# Names that the programs use, or common.sh and deps.sh define:
# shellcheck disable=SC2034,SC2154

store=${FERNET_ROOTS:-/var/cache/pg_fernet-roots}

# Why something failed.
reason=

# open_store makes the folder, and keeps other runs out until the end.
open_store() {
  local -r tag=$store/CACHEDIR.TAG
  ((EUID == 0)) || die 'root is needed, for chroot and mount'
  if [[ -d $store && -n $(ls -A -- "$store") ]] && ! grep -qs pg_fernet "$tag"; then
    die "this folder has other things in it: $store"
  fi
  mkdir -p "$store/bases" "$store/roots" "$store/logs"
  # A convention by which programs that make backups leave the folder out.
  printf '%s\n' 'Signature: 8a477f597d28d172789f06886806bc55' \
    '# Root folders that the scripts of pg_fernet made for tests.' >"$tag"
  exec 8>"$store/lock"
  flock --nonblock 8 || die "another run uses the root folders in $store"
}

# remove_store removes everything in it, and the folder.
remove_store() {
  local name
  remove_roots_named '*'
  for name in "$store"/bases/*/; do
    [[ ! -e $name ]] || remove_tree "$name"
  done
  rm -rf "$store"/{bases,roots,logs,lock,CACHEDIR.TAG}
  rmdir -- "$store"
}

# remove_roots_named PATTERN removes root folders.
remove_roots_named() {
  local name
  for name in "$store"/roots/$1; do
    [[ ! -e $name ]] || remove_tree "$name"
  done
}

# remove_tree FOLDER removes the folder, but never a file system that is mounted
# in it. None should be: enter_root mounts in a namespace of its own.
remove_tree() {
  local mounted
  while read -r _ mounted _; do
    [[ $mounted != "$1"/* ]] || umount -- "$mounted" ||
      die "cannot unmount $mounted"
  done < <(tac /proc/mounts)
  rm -rf --one-file-system -- "$1"
}

# apart COMMAND... runs a command in its own namespaces: when the command ends
# or is killed, its mounts and processes end too.
apart() {
  unshare --mount --pid --fork --kill-child --propagation private -- "$@" \
    </dev/null 9>&-
}

# enter_root FOLDER COMMAND... runs a command as root in a root folder. It gets
# only the part of the environment that says how to reach the packages.
enter_root() {
  local -r folder=$1
  local variable environment=(PATH="$PATH" HOME=/root LC_ALL=C.UTF-8)
  shift
  for variable in http_proxy https_proxy no_proxy FERNET_LONG; do
    [[ -z ${!variable:-} ]] || environment+=("$variable=${!variable}")
  done
  # A shell stays as the first process, which adopts orphans. The folder is mounted on
  # itself: some programs ask where the root is mounted.
  # shellcheck disable=SC2016
  apart bash -c 'set -e
    mount --bind "$0" "$0"
    mount -t proc proc "$0/proc"
    mount -t tmpfs -o mode=1777 tmpfs "$0/dev/shm"
    chroot "$0" env -i "$@"
    exit' "$folder" "${environment[@]}" "$@"
}

# run_in_root FOLDER OUTPUT COMMAND... is enter_root whose output goes to a file
# too, and which stop_running ends at once when a signal has come.
running=
run_in_root() {
  local -r folder=$1 output=$2
  local status=0
  shift 2
  # A group of its own.
  set -m
  { enter_root "$folder" "$@" 2>&1 | tee -- "$output"; } &
  running=$!
  set +m
  wait "$running" || status=$?
  running=
  return "$status"
}

stop_running() {
  [[ -z $running ]] || kill -KILL -- "-$running"
}

# counts_in OUTPUT prints how many tests passed and failed by the last line of
# what scripts/test printed, or twice 0 if it broke off.
counts_in() {
  if [[ $(tail -n 1 "$1") =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
    printf '%s %s\n' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
  else
    printf '0 0\n'
  fi
}

# mirror SUFFIX prints the mirror that this machine uses for the suites with such an
# ending: none, or "-security"; or one that works everywhere.
mirror() {
  local own=none
  if [[ -r /etc/os-release ]]; then
    own=$(. /etc/os-release && printf '%s' "${ID:-}/${VERSION_CODENAME:-}")
  fi
  # The words are for apt-get, which replaces them.
  # shellcheck disable=SC2016
  apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' \
    'Identifier: Packages' 2>/dev/null |
    awk -v wanted="${own#debian/}$1 main" -v found="http://deb.debian.org/debian$1" \
      '$1 " " $2 == wanted && !seen { found = $3; seen = 1 } END { print found }'
}

# sources SUITE prints the lines for apt-get that name a suite and, as on any Debian,
# its security updates. Packages of a stable suite may need a version that is there
# alone.
sources() {
  printf 'deb %s %s main\n' "$(mirror '')" "$1"
  [[ $1 == @(sid|experimental) ]] ||
    printf 'deb %s %s-security main\n' "$(mirror -security)" "$1"
}

#
# Other processors: their programs run by QEMU, which the kernel starts for them.
#

readonly program_formats=/proc/sys/fs/binfmt_misc

# Those that we told the kernel, to be taken back, and whether we mounted that folder.
formats_told=()
formats_mounted=

# emulate PROCESSOR has programs of Debian's architecture PROCESSOR run here. It
# returns 1 if the kernel refuses, and sets reason.
emulate() {
  local name
  case $1 in
    arm64) name=qemu-aarch64 ;;
    *) name=qemu-$1 ;;
  esac
  [[ -e /usr/lib/binfmt.d/$name.conf ]] || install_packages qemu-user-static
  if [[ ! -e $program_formats/register ]] &&
    mount -t binfmt_misc binfmt_misc "$program_formats"; then
    formats_mounted=yes
  fi
  [[ ! -e $program_formats/$name ]] || return 0
  # The kernel opens QEMU now, by the letter F of the format, and not in each root.
  if ! cat "/usr/lib/binfmt.d/$name.conf" >"$program_formats/register"; then
    reason="the kernel takes no format $name in $program_formats"
    return 1
  fi
  formats_told+=("$name")
}

# forget_formats takes back what emulate told the kernel, and unmounts what it mounted.
forget_formats() {
  local name
  for name in "${formats_told[@]}"; do
    printf -- '-1\n' >"$program_formats/$name" || true
  done
  formats_told=()
  [[ -z $formats_mounted ]] || umount -- "$program_formats" || true
  formats_mounted=
}

# The functions below return 1 when something fails, and set reason. They may be
# called where "set -e" has no effect.

# make_base SUITE [PROCESSOR] has debootstrap make its smallest root folder, once.
make_base() {
  local -r suite=$1 processor=${2:-}
  local -r name=$suite${processor:+-$processor}
  local -r base=$store/bases/$name output=$store/logs/debootstrap-$name.log
  [[ ! -e $base.tar ]] || return 0
  printf 'Making a root folder of Debian %s%s ...\n' "$suite" \
    "${processor:+ for $processor}"
  remove_tree "$base"
  if ! apart debootstrap --variant=minbase ${processor:+"--arch=$processor"} \
    "$suite" "$base" "$(mirror "")" >"$output" 2>&1; then
    reason="debootstrap $name: $(grep -E '^E: ' "$output" | tail -n 1), see $output"
    return 1
  fi
  if ! tar -C "$base" --numeric-owner --xattrs -cf "$base.tar.new" .; then
    reason="tar could not write $base.tar.new"
    return 1
  fi
  mv -- "$base.tar.new" "$base.tar"
  remove_tree "$base"
}

# make_root NAME SUITE [PROCESSOR] makes the root folder NAME of that, in which no
# service starts.
make_root() {
  local -r folder=$store/roots/$1 new=$store/roots/$1.new
  local -r base=$store/bases/$2${3:+-$3}.tar
  make_base "$2" "${3:-}" || return 1
  remove_tree "$new"
  mkdir "$new"
  if ! tar -C "$new" --numeric-owner --xattrs -xpf "$base"; then
    reason="tar could not unpack $base"
    return 1
  fi
  printf '#!/bin/sh\nexit 101\n' >"$new/usr/sbin/policy-rc.d"
  chmod 755 "$new/usr/sbin/policy-rc.d"
  # No cluster of its own for a server that is installed.
  mkdir -p "$new/etc/postgresql-common/createcluster.d"
  printf 'create_main_cluster = false\n' \
    >"$new/etc/postgresql-common/createcluster.d/none.conf"
  # A real machine knows its own name.
  printf '127.0.0.1 localhost\n::1 localhost\n' >"$new/etc/hosts"
  cp --dereference /etc/resolv.conf "$new/etc/resolv.conf"
  sources "$2" >"$new/etc/apt/sources.list"
  # The mirror may be a snapshot of an earlier day.
  printf 'Acquire::Check-Valid-Until "false";\n' >"$new/etc/apt/apt.conf.d/90snapshot"
  # Where connections end at a proxy, its certificate is one of these.
  mkdir -p "$new/usr/local/share/ca-certificates"
  cp /usr/local/share/ca-certificates/*.crt "$new/usr/local/share/ca-certificates/" \
    2>/dev/null || true
  # Everything here can be made again, so nothing has to reach the disk.
  printf 'force-unsafe-io\n' >"$new/etc/dpkg/dpkg.cfg.d/unsafe-io"
  remove_tree "$folder"
  mv -- "$new" "$folder"
}

# add_suite FOLDER SUITE lets packages come from another suite: those that its
# own has not, and PostgreSQL from experimental.
add_suite() {
  sources "$2" >"$1/etc/apt/sources.list.d/$2.list"
  if [[ $2 == experimental ]]; then
    # What else there is has no priority over sid by itself.
    printf '%s\n' 'Package: src:postgresql-*' 'Pin: release a=experimental' \
      'Pin-Priority: 990'
  else
    printf '%s\n' 'Package: *' "Pin: release n=$2" 'Pin-Priority: 100' '' \
      'Package: *' "Pin: release n=$2-security" 'Pin-Priority: 100'
  fi >"$1/etc/apt/preferences.d/$2"
}

# apt_in NAME ARGUMENT... is apt-get in a root folder, which asks nothing.
apt_in() {
  local -r name=$1 output=$store/logs/apt-$1.log
  shift
  if ! enter_root "$store/roots/$name" env DEBIAN_FRONTEND=noninteractive \
    apt-get -q -y "$@" >"$output" 2>&1; then
    reason="apt-get ${1#-}: $(grep -E '^E: ' "$output" | tail -n 1), see $output"
    return 1
  fi
}

# copy_tree_to FOLDER copies what git has or would take of the working tree.
copy_tree_to() {
  rm -rf -- "$1"
  mkdir -p "$1"
  list_tree >"$work/files"
  [[ -s $work/files ]] || die "git lists no file in $root"
  tar -C "$root" --null -T "$work/files" --owner=0 --group=0 -cf - |
    tar -C "$1" -xf -
}

#
# The first example of README.md, on a server that has the extension
#

# block KIND prints the first block of that kind in README.md.
block() {
  awk -v fence="\`\`\`$1" '
    inside && /^```$/ { exit }
    inside { print }
    $0 == fence { inside = 1 }' "$root/README.md"
}

# first_example FOLDER puts a program /tmp/example into a root folder, which runs the
# example where the variables of libpq name a server.
first_example() {
  block sql >"$1/tmp/example.sql"
  cat >"$1/tmp/example" <<'END'
#!/bin/sh
rm -f /tmp/printed
exec psql -X -v ON_ERROR_STOP=1 -o /tmp/printed -f /tmp/example.sql
END
  chmod 755 "$1/tmp/example"
}

# compare_example FOLDER compares the end of what it printed with README.md.
compare_example() {
  local lines
  block text >"$work/expected"
  lines=$(wc -l <"$work/expected")
  ((lines > 0)) || return 1
  # psql ends a table with an empty line, and pads the names of columns.
  sed -e 's/ *$//' -e '${/^$/d}' "$1/tmp/printed" | tail -n "$lines" |
    diff -u --label README.md --label printed "$work/expected" -
}

#
# Steps, of which each needs the one before
#

steps_of=
passed=0
failed=0

# try NAME FUNCTION runs one step, and says how it went. The output of one that
# fails is shown. steps_of is what the logs of the steps are called after.
try() {
  local -r name=$1 function=$2 output=$store/logs/$steps_of-$2.log
  local -r started=$EPOCHREALTIME
  reason=
  if "$function" >"$output" 2>&1; then
    passed=$((passed + 1))
    printf '  %sok%s      %s %s(%s s)%s\n' "$green" "$plain" "$name" "$dim" \
      "$(elapsed "$started")" "$plain"
  else
    failed=$((failed + 1))
    printf '  %sFAILED%s  %s %s\n' "$bold$red" "$plain" "$name" "$reason"
    tail -n 60 "$output" | sed 's/^/  | /'
    return 1
  fi
}
