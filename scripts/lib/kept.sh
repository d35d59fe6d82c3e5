# The copy of the working tree, and what is built in it, which stay for the next
# run of scripts/test: then it compiles only what has changed. Sourced by
# scripts/test, after common.sh and private-server.sh.
#
# Below the folder that they are kept in:
#   lock           held while a run chooses its place
#   KEY-N          the place of one run at a time; KEY stands for the working tree,
#                  the PostgreSQL and the user, N is 1 unless runs overlap
#   KEY-N/lock     held by that run
#   KEY-N/source   the path of the working tree
#   KEY-N/tools    the versions of what it was built with
#   KEY-N/postgres the private PostgreSQL; KEY-N/postgres.from, of what
#   KEY-N/cluster  a cluster to copy, as initdb made it
#   KEY-N/tree, KEY-N/build-g++ and others, which belong to the owner
#   ccache-OWNER   what ccache keeps, for all places of an owner
#   stamps-OWNER   stamps of texts in which clang-tidy found nothing
# shellcheck shell=bash
# Names that the programs use, or common.sh and private-server.sh define:
# shellcheck disable=SC2034,SC2154

# A place is removed if nobody has used it for this many days.
readonly kept_days=30

# The words to put before a compiler.
ccache=()

# kept_store prints the folder, or nothing.
kept_store() {
  if [[ -n ${FERNET_BUILDS+set} ]]; then
    printf '%s' "$FERNET_BUILDS"
  elif ((EUID == 0)); then
    printf '/var/cache/pg_fernet-builds'
  elif [[ ${XDG_CACHE_HOME:-} == /* ]]; then
    printf '%s/pg_fernet-builds' "$XDG_CACHE_HOME"
  elif [[ ${HOME:-} == /* ]]; then
    printf '%s/.cache/pg_fernet-builds' "$HOME"
  fi
}

# open_kept sets kept to the folder for the tree and the builds: a place in the
# store, or the temporary folder if there is no store.
open_kept() {
  local store key
  kept=$work tree=$work/tree
  store=$(kept_store)
  # Sockets of tests may lie below it, whose path has 107 characters at most.
  [[ $store == /* && ${#store} -le 50 ]] || return 0
  mkdir -p -- "$store" 2>/dev/null && [[ -w $store ]] || return 0
  key=$(printf '%s\0' "$root" "$PG_CONFIG" "$owner" | sha256sum)
  exec 8>>"$store/lock"
  flock 8
  take_place "$store/${key:0:12}"
  remove_abandoned "$store"
  if [[ $kept != "$work" ]]; then
    use_ccache "$store/ccache-$owner"
    use_stamps "$store/stamps-$owner"
  fi
  exec 8>&-
  tree=$kept/tree
  if [[ $kept != "$work" ]]; then
    printf '%s\n' "$root" >"$kept/source"
    forget_other_tools
    keep_folder cluster
    cluster_template=$kept/cluster
  fi
}

# use_ccache FOLDER makes ccache keep what is compiled, also for other places: the
# two that .ci/run builds the same in, and new clones. It takes paths below the
# place as relative.
use_ccache() {
  [[ -d $1 ]] || make_owned_folder "$1"
  export CCACHE_DIR=$1 CCACHE_BASEDIR=$kept CCACHE_NOHASHDIR=1 CCACHE_MAXSIZE=2G
  ccache=(ccache)
}

# use_stamps FOLDER makes test/static leave out what was without a finding in the
# last weeks.
use_stamps() {
  [[ -d $1 ]] || make_owned_folder "$1"
  as_owner find "$1" -type f -mtime "+$kept_days" -delete
  export FERNET_STAMPS=$1
}

# take_place PATH sets kept to the first place that no other run uses. The lock
# ends with this process: as_owner does not hand it on.
take_place() {
  local number
  for number in 1 2 3; do
    mkdir -p -- "$1-$number"
    chmod 711 -- "$1-$number"
    exec 7>>"$1-$number/lock"
    if flock --nonblock 7; then
      kept=$1-$number
      touch -- "$kept/lock"
      return
    fi
  done
  exec 7>&-
}

# remove_abandoned STORE removes the places of working trees that are gone, and
# those that have not been used for long.
remove_abandoned() {
  local place
  for place in "$1"/*-[0-9]; do
    [[ -e $place/lock && $place != "$kept" ]] || continue
    [[ ! -d $(cat -- "$place/source" 2>/dev/null) ||
      -n $(find "$place/lock" -mtime "+$kept_days") ]] || continue
    (
      exec 6>>"$place/lock"
      ! flock --nonblock 6 || rm -rf -- "$place"
    )
  done
}

# forget_other_tools empties the place if anything in it was built with other
# tools. make and CMake notice changes of the files themselves.
forget_other_tools() {
  local tools
  tools=$(
    "$PG_CONFIG" --version --cc --cflags
    # Those that are there, a word each.
    # shellcheck disable=SC2046
    stat -c '%Y %n' $(type -P g++ clang++ cmake)
    dpkg-query -W -f '${Package} ${Version}\n' libc6-dev libssl-dev libgtest-dev \
      nlohmann-json3-dev 'libstdc++-*-dev' 'libclang-rt-*-dev'
  ) 2>/dev/null || true
  [[ $tools == "$(cat -- "$kept/tools" 2>/dev/null)" &&
    $(stat -c %U -- "$kept/tree" 2>/dev/null) == "$owner" ]] && return
  find "$kept" -mindepth 1 -maxdepth 1 ! -name lock ! -name source \
    -exec rm -rf -- {} +
  printf '%s\n' "$tools" >"$kept/tools"
}

# keep_postgres makes the private PostgreSQL in the place, or takes that of the last
# run if the programs, the folders that it links to and the script that makes it are
# the same. No pg_fernet is installed in it.
keep_postgres() {
  local kind from folders=()
  for kind in bindir pkglibdir sharedir includedir includedir-server; do
    folders+=("$("$PG_CONFIG" "--$kind")")
  done
  from=$(
    stat -c '%n %Y %Z %i' "${folders[@]}" "${folders[0]}/postgres" \
      "${folders[2]}/extension" "${folders[2]}/man" 2>&1 || true
    cksum <"$root/scripts/lib/private-server.sh"
  )
  prefix=$kept/postgres
  bin=$prefix${folders[0]}
  if [[ $from == "$(cat -- "$kept/postgres.from" 2>/dev/null)" ]]; then
    remove_installed
  else
    rm -rf -- "$prefix" "$kept/postgres.from"
    copy_postgres "$prefix"
    printf '%s\n' "$from" >"$kept/postgres.from"
  fi
  # Left by tests that were killed.
  [[ $kept == "$work" ]] || stop_server || true
}

# keep_folder NAME makes a folder of the owner in the place, unless it is there.
keep_folder() {
  [[ -d $kept/$1 ]] || make_owned_folder "$kept/$1"
}

# sync_tree makes the copy of the working tree, tree, with an index of its own for
# the checks that ask git what there is.
sync_tree() {
  keep_folder tree
  list_tree >"$work/files"
  [[ -s $work/files ]] || die "git lists no file in $root"
  sync_folder env "$root" "$tree" || die 'the working tree could not be copied'
  if ! index_tree; then
    as_owner rm -rf "$tree/.git"
    index_tree || die "git cannot make an index of $tree"
  fi
  copy_tags || true
}

# sync_folder READER SOURCE TARGET makes the files of TARGET, a folder of the owner,
# those of SOURCE, which the command READER can read. The owner may not be able to
# read the program where it is.
sync_folder() {
  local program
  program=$(cat -- "$root/scripts/lib/sync-tree")
  "$1" perl -e "$program" send "$2" <"$work/files" |
    as_owner perl -e "$program" receive "$3"
}

# index_tree fails when files that a run has left are in its way.
index_tree() {
  [[ -d $tree/.git ]] ||
    as_owner git -C "$tree" -c init.defaultBranch=main init -q || return
  {
    as_owner git -C "$tree" ls-files -z
    cat -- "$work/files"
  } | as_owner git -C "$tree" update-index -z --add --remove --replace --stdin
}

# copy_tags copies the tags of releases, for the check that compares with the
# last one. A shallow clone has no tags.
copy_tags() {
  as_owner rm -rf "$tree/.git/refs/tags" "$tree/.git/packed-refs"
  ask_git "$root" bundle create "$work/tags" --tags &&
    as_owner git -C "$tree" fetch "$work/tags" 'refs/tags/*:refs/tags/*'
} >/dev/null 2>&1

# build_kept NAME [VARIABLE=VALUE...] builds the module in the tree, and installs it
# into the private PostgreSQL. The variables are for make. If they or the
# Makefile have changed since NAME was built, it is built from scratch.
build_kept() {
  local -r name=$1
  local command
  shift
  ((${#ccache[@]} == 0)) || set -- CXX="${ccache[*]} g++" "$@"
  {
    command=$(as_owner make -s -B -n -C "$tree" PG_CONFIG="$bin/pg_config" "$@" \
      src/pg/module.o) || return
    if [[ $command != "$(cat -- "$kept/$name.command")" ]]; then
      as_owner find "$tree" '(' -path '*/src/*.[od]' -o -name pg_fernet.so ')' -delete
      printf '%s\n' "$command" >"$kept/$name.command"
    fi
    as_owner make -C "$tree" -j "$(nproc)" PG_CONFIG="$bin/pg_config" "$@" install
  } >"$log/build.log" 2>&1
}

# configure_and_build FOLDER COMPILER [OPTION...] builds everything by CMake, without
# a warning, in a folder of the place, and sets built to its path. The options are
# for cmake.
configure_and_build() {
  local -r compiler=$2
  keep_folder "$1"
  built=$kept/$1
  shift 2
  as_owner cmake -S "$tree" -B "$built" -DCMAKE_CXX_COMPILER="$compiler" \
    -DCMAKE_CXX_COMPILER_LAUNCHER="${ccache[*]}" \
    -DPG_CONFIG="$bin/pg_config" -DWERROR=ON "$@" &&
    as_owner cmake --build "$built" --parallel "$(nproc)"
}
