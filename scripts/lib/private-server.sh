# A copy of the working tree, and a server of its own for what is built there.
# Sourced by scripts/demo and scripts/test, after common.sh.
#
# PostgreSQL finds its share and lib folders relative to its programs. So a copy
# of the programs, with links to everything else beside them, is a PostgreSQL
# into which an extension is installed without a trace in the real one.
# shellcheck shell=bash
# Names that common.sh defines:
# shellcheck disable=SC2154

# list_tree prints the files of the working tree, each ended by a zero byte:
# what git has or would take.
list_tree() {
  local git=(ask_git "$root")
  # An unpacked archive has no repository of its own.
  if ! ask_git "$root" rev-parse --git-dir >/dev/null 2>&1; then
    git -c init.defaultBranch=main init -q --bare "$work/none.git"
    git=(git --git-dir="$work/none.git" --work-tree="$root" -C "$root")
  fi
  # A file may be deleted and git not told so yet. The $ is perl's.
  # shellcheck disable=SC2016
  "${git[@]}" ls-files -z --cached --others --exclude-standard |
    (cd -- "$root" && perl -0 -n -e 'chomp; print "$_\0" if -l || -f')
}

# take_built FOLDER copies what "make" has built in that copy of the working tree,
# with its times, so that only what has changed is built again.
take_built() {
  # The names are expanded by the inner shell.
  # shellcheck disable=SC2016
  as_owner sh -c 'cd -- "$1" && find src -name "*.[od]" -exec cp -p --parents -t "$2" {} + &&
    cp -p pg_fernet.so "$2"' sh "$1" "$tree"
}

# copy_tree copies them to a folder of the owner: what is built leaves nothing
# in the working tree. FERNET_BUILT may name a folder for take_built.
copy_tree() {
  tree=$work/tree
  make_owned_folder "$tree"
  list_tree >"$work/files"
  [[ -s $work/files ]] || die "git lists no file in $root"
  tar -C "$root" --null -T "$work/files" -cf - | as_owner tar -C "$tree" -xf -
  [[ -z ${FERNET_BUILT:-} ]] || take_built "$FERNET_BUILT"
}

# link_entries FOLDER makes that folder in the private PostgreSQL, with links to all
# that is in it.
link_entries() {
  [[ -d $1 ]] || return 0
  # The names are expanded by the inner shell.
  # shellcheck disable=SC2016
  as_owner sh -c '[ ! -L "$1" ] || rm -- "$1"
    mkdir -p -- "$1"
    ln -s -- "$2"/* "$1"' sh "$prefix$1" "$1"
}

# remove_installed removes our extension from the private PostgreSQL.
remove_installed() {
  # An installed version of ours must not be there instead of what is built. Not
  # in all of the prefix: it may hold a path with our name, as a copy of a copy.
  as_owner find "$("$bin/pg_config" --pkglibdir)" "$("$bin/pg_config" --sharedir)" \
    -mindepth 1 -name 'pg_fernet*' -prune -exec rm -rf {} +
}

# copy_postgres FOLDER makes the private PostgreSQL of PG_CONFIG, sets prefix to
# its folder, and bin to the folder of its programs.
copy_postgres() {
  local folder kind
  prefix=$1
  make_owned_folder "$prefix"
  folder=$("$PG_CONFIG" --bindir)
  bin=$prefix$folder
  as_owner mkdir -p "$bin"
  # Real copies: a link would be resolved to where the program came from.
  as_owner cp -rL "$folder/." "$bin/"
  # Into these, something may be installed.
  folder=$("$PG_CONFIG" --pkglibdir)
  link_entries "$folder"
  link_entries "$folder/bitcode"
  folder=$("$PG_CONFIG" --sharedir)
  link_entries "$folder"
  link_entries "$folder/extension"
  link_entries "$folder/man"
  link_entries "$folder/man/man1"
  for kind in includedir includedir-server; do
    folder=$("$PG_CONFIG" "--$kind")
    [[ -e $folder && ! -e $prefix$folder ]] || continue
    as_owner mkdir -p "$(dirname -- "$prefix$folder")"
    as_owner ln -s "$folder" "$prefix$folder"
  done
  [[ $("$bin/pg_config" --pkglibdir) == "$prefix"/* ]] ||
    die "this PostgreSQL cannot be relocated: $PG_CONFIG"
  remove_installed
}

# build_module builds the module in the copy, and installs it into the private
# PostgreSQL. Arguments are for make.
build_module() {
  as_owner make -C "$tree" -j "$(nproc)" PG_CONFIG="$bin/pg_config" "$@" \
    >"$log/build.log" 2>&1 &&
    as_owner make -C "$tree" PG_CONFIG="$bin/pg_config" install \
      >>"$log/build.log" 2>&1
}

# The folder of a cluster to copy, for programs that keep one; else each is made
# anew.
cluster_template=

# make_cluster FOLDER makes a cluster, FOLDER/data.
make_cluster() {
  local -r template=$cluster_template/data
  if [[ -n $cluster_template && -d $template ]]; then
    as_owner cp -a "$template" "$1/data"
    return
  fi
  as_owner "$bin/initdb" -D "$1/data" -U postgres --auth=trust --no-sync \
    --encoding=UTF8 --locale=C.UTF-8 >"$log/initdb.log" 2>&1 || return
  if [[ -n $cluster_template ]]; then
    as_owner rm -rf "$template.new" &&
      as_owner cp -a "$1/data" "$template.new" &&
      as_owner mv "$template.new" "$template"
  fi
}

# start_server SETTING... makes a cluster and starts it, and tells psql and all
# others where it is. It listens on a socket in a folder of the owner, and on
# nothing else.
start_server() {
  server=$work/server
  make_owned_folder "$server"
  as_owner mkdir "$server/socket"
  make_cluster "$server" || return
  printf '%s\n' "listen_addresses = ''" "fsync = off" \
    "unix_socket_directories = '$server/socket'" "$@" |
    as_owner tee -a "$server/data/postgresql.conf" >/dev/null
  as_owner "$bin/pg_ctl" -D "$server/data" -l "$server/log" -w start \
    >"$log/pg_ctl.log" 2>&1 || return
  export PGHOST=$server/socket PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
}

# stop_server stops it, and those of tests that were interrupted. What they leave
# on disk is removed anyway, at the latest before the next run.
stop_server() {
  local data
  while IFS= read -r data; do
    as_owner "$bin/pg_ctl" -D "$data" -m immediate -w stop >/dev/null 2>&1
  done < <(find "$work" ${tree:+"$tree"} -name postmaster.pid -printf '%h\n' 2>/dev/null)
}
