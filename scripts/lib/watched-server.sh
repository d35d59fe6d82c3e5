# Servers that run under a tool that watches their memory, for the suite
# sanitize of scripts/test, which sources this after private-server.sh.
# shellcheck shell=bash
# Names that common.sh and private-server.sh define:
# shellcheck disable=SC2154

# In this folder of the server, each process has a file for what valgrind finds.
readonly findings=findings

# start_watched_server FOLDER COMMAND... makes a cluster in a new folder and
# starts it, with COMMAND in front of the server's own. The server is slow, so
# background work is switched off.
start_watched_server() {
  local -r folder=$1
  shift
  make_owned_folder "$folder"
  as_owner mkdir "$folder/socket" "$folder/$findings"
  make_cluster "$folder" || return
  printf '%s\n' "listen_addresses = ''" "fsync = off" "log_min_messages = warning" \
    "log_checkpoints = off" "autovacuum = off" "authentication_timeout = 10min" \
    "max_logical_replication_workers = 0" \
    "unix_socket_directories = '$folder/socket'" |
    as_owner tee -a "$folder/data/postgresql.conf" >/dev/null
  {
    printf '#!/bin/sh\nexec'
    printf ' %q' "$@" "$bin/postgres"
    # This one is for that shell.
    # shellcheck disable=SC2016
    printf ' "$@"\n'
  } | as_owner tee "$folder/postgres" >/dev/null
  as_owner chmod +x "$folder/postgres"
  as_owner "$bin/pg_ctl" -D "$folder/data" -l "$folder/log" -p "$folder/postgres" \
    -w -t 300 start >"$log/pg_ctl.log" 2>&1
}

# stop_watched_server FOLDER stops the server so that the tool writes all its
# findings.
stop_watched_server() {
  as_owner "$bin/pg_ctl" -D "$1/data" -m fast -w -t 300 stop \
    >>"$log/pg_ctl.log" 2>&1
}

# print_findings FOLDER prints the findings of the tool, without its other
# output, and the crashed processes of the server. Empty if there are none. The
# sanitizers write into the log of the server, with the functions on the stack.
print_findings() {
  as_owner find "$1/$findings" -type f -exec grep -hvE '^--[0-9]+-- ' {} + || true
  grep -E -e 'PANIC:|TRAP:|terminated by signal|exited with exit code' \
    -e 'Sanitizer: |runtime error: |^ +#[0-9]+ 0x' "$1/log" || true
}

# sees_fault FOLDER FLAGS WORDS... makes the server read memory that it must not
# read, and compute what is undefined. The tool must report it with these words;
# then the findings are removed. FLAGS are for the compiler.
sees_fault() {
  local -r folder=$1 flags=$2
  local seen words
  shift 2
  # The flags are words.
  # shellcheck disable=SC2086
  as_owner cc $flags -g -O1 -fPIC -shared \
    -I"$("$bin/pg_config" --includedir-server)" -o "$folder/overread.so" \
    "$tree/test/fault/overread.c" || return
  as_owner "$bin/psql" -X -q -h "$folder/socket" -U postgres -d postgres \
    -v ON_ERROR_STOP=1 -c "CREATE FUNCTION fault_overread(integer) RETURNS integer
      LANGUAGE c AS '$folder/overread'" -c 'SELECT fault_overread(0)' || return
  seen=$(print_findings "$folder")
  printf '%s\n' "$seen"
  as_owner find "$folder/$findings" -type f -size +0 -delete
  as_owner truncate -s 0 "$folder/log"
  for words in fault_overread "$@"; do
    [[ $seen == *"$words"* ]] || return
  done
}

# valgrind_command FOLDER prints the command for memcheck, a word a line.
# memcheck does not report leaks: a backend does not free memory that ends with
# it.
valgrind_command() {
  local -r shipped=$("$bin/pg_config" --sharedir)/valgrind.supp
  printf '%s\n' valgrind --quiet --leak-check=no --error-limit=no \
    --num-callers=40 --log-file="$1/$findings/%p" \
    --suppressions="$tree/test/valgrind.supp"
  # That comes with what scripts/build-assert-postgres builds.
  [[ ! -e $shipped ]] || printf '%s\n' "--suppressions=$shipped"
}

# build_no_translations FILE makes a library that has to be loaded with that of
# AddressSanitizer: test/fault/no_translations.c says why.
build_no_translations() {
  as_owner cc -O1 -fPIC -shared -o "$1" "$tree/test/fault/no_translations.c"
}

# sanitizer_command NO_TRANSLATIONS prints the command for a server that
# loads a module with AddressSanitizer and UndefinedBehaviorSanitizer, a word a
# line. The server is not built with them, so their libraries have to be there
# first. The leaks of a backend are those of the server; test/t/012_failures.pl
# looks for ours.
sanitizer_command() {
  printf '%s\n' env \
    "LD_PRELOAD=$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libubsan.so) $1" \
    ASAN_OPTIONS=detect_leaks=0:halt_on_error=0 UBSAN_OPTIONS=print_stacktrace=1
}
