# Applications, examples/*/test, each on a database of its own. Sourced by
# scripts/test.
# shellcheck shell=bash
# Names that scripts/test and scripts/lib define, or use:
# shellcheck disable=SC2034,SC2154

# An example lists its own in the file "packages", in which "#" begins a comment.
packages_examples=$(sed 's/#.*//' "$root"/examples/*/packages 2>/dev/null | tr '\n' ' ')

tests_examples() {
  find "$1/examples" -mindepth 2 -maxdepth 2 -name test -executable \
    -printf '%P\n' 2>/dev/null | sed 's|/test$||' | sort || true
}

install_examples() {
  install_quietly pgbouncer
}

# run_examples runs each with a new database, which PGDATABASE names, and a folder
# for its files, which HOME names. A line of its output that begins with
# "skipped: " says what it cannot do here.
run_examples() {
  local name output started home
  need_server || return 0
  for name in $(selected examples); do
    output=$log/examples/$name.log started=$EPOCHREALTIME
    home=$work/home-$name
    make_owned_folder "$home"
    if as_owner "$bin/createdb" "example_$name" >"$output" 2>&1 &&
      as_owner env -C "$tree/examples/$name" PATH="$bin:$PATH" HOME="$home" \
        PGDATABASE="example_$name" ./test >"$output" 2>&1; then
      pass "$name" "($(elapsed "$started") s)"
      sed -n 's/^skipped: /          skipped: /p' "$output"
    else
      fail "$name"
      explain "$output"
    fi
  done
}
