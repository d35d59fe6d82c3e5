# Properties that hold for any input, test/fuzz: 4 seconds for each fuzzer.
# Sourced by scripts/test, after fuzz.sh.
# shellcheck shell=bash
# Names that scripts/test and scripts/lib define, or use:
# shellcheck disable=SC2034,SC2154

packages_fuzz=$fuzz_packages

tests_fuzz() {
  fuzzer_names "$1"
}

install_fuzz() {
  install_fuzz_runtime
}

run_fuzz() {
  local name
  for name in $(selected fuzz); do
    run_fuzzer "$name"
  done
}

fuzzers_state=unbuilt

# need_fuzzers builds them once.
need_fuzzers() {
  if [[ $fuzzers_state == unbuilt ]]; then
    fuzzers_state=broken
    if build_fuzzers; then
      fuzzers_state=built
    fi
  fi
  if [[ $fuzzers_state == broken ]]; then
    fail 'cmake with clang++ and FERNET_FUZZ'
    explain_build "$log/build-fuzz.log"
    return 1
  fi
}

# run_fuzzer NAME runs all of its seeds and its corpus, and then new inputs. These
# differ from run to run; an input that fails is kept.
run_fuzzer() {
  local -r output=$log/fuzz/$1.log found=$work/found-$1
  local file tried status=0
  need_fuzzers || return 0
  make_found_folder "$found"
  fuzz_for "$1" 4 "$found" >"$output" 2>&1 || status=$?
  tried=$(executions "$output")
  if ((status == 0 && ${tried:-0} > 0)); then
    pass "$1" "($tried inputs)"
    return
  fi
  fail "$1" "(exit status $status, ${tried:-no} inputs)"
  explain "$output" 60
  for file in "$found"/*-*; do
    [[ -e $file ]] || continue
    cp -- "$file" "$log/fuzz/$1-${file##*/}"
    printf '  To see it again: scripts/fuzz %s %s\n' "$1" \
      "$log/fuzz/$1-${file##*/}"
  done
}
