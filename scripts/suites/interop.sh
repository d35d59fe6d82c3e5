# Other libraries of Fernet, test/interop. Sourced by scripts/test, after interop.sh.
# shellcheck shell=bash
# Names that scripts/test and scripts/lib define, or use:
# shellcheck disable=SC2034,SC2154

packages_interop='python3 python3-cryptography'

tests_interop() {
  printf '%s\n' "${interop_peers[@]}"
}

install_interop() {
  local name
  for name in $(interop_selected); do
    install_peer "$name"
  done
}

# run_interop compares with the libraries whose peers can be built, and with
# those only. Each has a line, and pg_fernet by itself has one.
run_interop() {
  local -r output=$log/interop/output.log
  local name line peers=() cases=30 status=0
  need_server || return 0
  [[ -z ${FERNET_LONG:-} ]] || cases=300
  interop_build=$work/build-interop
  make_owned_folder "$interop_build"
  for name in $(interop_selected); do
    if build_peer "$name" >"$log/interop/build-$name.log" 2>&1; then
      peers+=("$name")
    else
      fail "$name" '(its peer cannot be built)'
      explain "$log/interop/build-$name.log" 40
    fi
  done
  ((${#peers[@]} > 0)) || return 0
  as_owner "$tree/test/interop/interop" --psql "$bin/psql" \
    --build "$interop_build" --cases "$cases" \
    ${FERNET_SEED:+--seed "$FERNET_SEED"} "${peers[@]}" >"$output" 2>&1 || status=$?
  cp -- "$server/log" "$log/interop/server.log"
  while IFS= read -r line; do
    case $line in
      'ok '*) pass "${line#ok }" ;;
      'FAILED '*) fail "${line#FAILED }" ;;
      *) printf '          %s\n' "$line" ;;
    esac
  done <"$output"
  if ((status != 0 && failed[interop] == 0)); then
    fail interop "(exit status $status)"
  fi
}

# interop_selected prints the libraries to compare with: Rust's takes minutes.
interop_selected() {
  local name
  for name in $(selected interop); do
    if [[ $name != rust || -n ${FERNET_LONG:-} || -n ${chosen[interop]} ]]; then
      printf '%s\n' "$name"
    fi
  done
}
