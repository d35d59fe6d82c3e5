# The core without a server, test/unit; "vectors", that Python computes the expected
# values of test/vectors again; "mutate", that the edits of scripts/mutate fit the
# source and a test notices one; "clang", that a second compiler has no warning;
# "ctest", that CMake's module passes some of the tests of the Makefile's; "no_avx2",
# the same tests of the core on a processor without AVX2, by QEMU. Sourced by
# scripts/test.
# shellcheck shell=bash
# Names that scripts/test and scripts/lib define, or use:
# shellcheck disable=SC2034,SC2154

packages_unit='cmake libgtest-dev nlohmann-json3-dev'

tests_unit() {
  cat "$1"/test/unit/*.cpp 2>/dev/null | tr -d '\n' |
    grep -oE '\bTEST(_[FP])?\([[:space:]]*\w+,[[:space:]]*\w+\)' |
    sed -E 's/.*\([[:space:]]*(\w+),[[:space:]]*(\w+)\)/\1.\2/' || true
  printf 'vectors\nmutate\nclang\nctest\nno_avx2\n'
}

# install_unit installs what single tests need: under QEMU, as scripts/test-matrix runs
# this on other processors, every package takes long.
install_unit() {
  ! is_selected_unit clang || install_packages clang
  ! is_selected_unit vectors || install_packages python3 python3-cryptography
  ! is_selected_unit mutate || install_packages python3
  ! is_selected_unit no_avx2 || command -v qemu-x86_64 >/dev/null ||
    install_packages qemu-user-static
}

# is_selected_unit NAME
is_selected_unit() {
  [[ " $(selected unit | tr '\n' ' ')" == *" $1 "* ]]
}

run_unit() {
  local name regex='' with_vectors='' with_mutate='' with_clang='' with_ctest=''
  [[ -n ${chosen[unit]} ]] ||
    regex=. with_vectors=yes with_mutate=yes with_clang=yes with_ctest=yes
  for name in ${chosen[unit]}; do
    case $name in
      vectors) with_vectors=yes ;;
      mutate) with_mutate=yes ;;
      clang) with_clang=yes ;;
      ctest) with_ctest=yes ;;
      no_avx2) ;;
      *) regex+="${regex:+|}$name" ;;
    esac
  done
  [[ -z $regex ]] || run_unit_tests "$regex"
  [[ -z $with_vectors ]] || run_vectors
  [[ -z $with_mutate ]] || run_mutate
  [[ -z $with_clang ]] || run_clang
  [[ -z $with_ctest ]] || run_ctest
  ! is_selected_unit no_avx2 || run_no_avx2
}

# run_unit_tests REGEX runs the unit tests that match. The passing tests are too
# many for one line each. Those that are skipped are not counted.
run_unit_tests() {
  local -r output=$log/unit/unit.log
  local -r wycheproof=${FERNET_WYCHEPROOF:-$root/../shared/vectors/wycheproof}
  local tests broken skipped name
  need_gcc_build || return 0
  as_owner env FERNET_WYCHEPROOF="$wycheproof" ctest \
    --test-dir "$kept/build-g++" --parallel "$(nproc)" --output-on-failure -L unit -R "$1" \
    >"$output" 2>&1 || true
  tests=$(grep -cE '^ *[0-9]+/[0-9]+ Test +#' "$output" || true)
  skipped=$(grep -cE '^ *[0-9]+/[0-9]+ Test +#.*\*\*\*Skipped ' "$output" || true)
  broken=$(grep -E '^ *[0-9]+/[0-9]+ Test +#' "$output" |
    grep -cvE "$unit_is_fine" || true)
  if ((tests == 0)); then
    fail "ctest -R '$1'" 'ran no test'
    explain "$output"
    return 0
  fi
  tests=$((tests - skipped))
  count $((tests - broken)) 0
  printf '  %sok%s      %d unit tests\n' "$green" "$plain" $((tests - broken))
  ((skipped == 0)) ||
    printf '          skipped: %d, the vectors of Wycheproof are not in %s\n' \
      "$skipped" "$wycheproof"
  if ((broken > 0)); then
    while read -r name; do
      fail "$name"
    done < <(sed -nE 's/^ *[0-9]+\/[0-9]+ Test +#[0-9]+: ([^ ]+) .*/\1 &/p' \
      "$output" | grep -vE "$unit_is_fine" | cut -d ' ' -f 1)
    grep -vE '^ +Start +[0-9]+:| Passed +[0-9.]+ sec$' "$output" \
      >"$log/unit/failures.log" || true
    explain "$log/unit/failures.log" 200
  fi
}

# What ctest says of a unit test that has not failed.
readonly unit_is_fine=' Passed +[0-9.]+ sec$|\*\*\*Skipped +[0-9.]+ sec$'

# run_no_avx2 runs the unit tests as on a processor of 2010, which QEMU stands in for:
# the core chooses its code by what the processor has.
run_no_avx2() {
  local -r output=$log/unit/no_avx2.log started=$EPOCHREALTIME
  local qemu
  if [[ $(uname -m) != x86_64 ]]; then
    printf '          skipped: no_avx2, this processor has no AVX2 anyway\n'
    return 0
  fi
  need_gcc_build || return 0
  # A newer Debian has no other programs of QEMU than static ones.
  qemu=$(command -v qemu-x86_64-static || command -v qemu-x86_64 || printf 'no QEMU')
  # The pages of the keys are the kernel's matter, not the processor's.
  if as_owner "$qemu" -cpu Westmere "$kept/build-g++/fernet_unit_tests" \
    --gtest_brief=1 --gtest_filter='-SecretPages*:*Wycheproof*' >"$output" 2>&1 &&
    grep -qE '^\[  PASSED  \] [1-9][0-9]* tests' "$output"; then
    pass no_avx2 "($(elapsed "$started") s)"
  else
    fail no_avx2
    explain "$output"
  fi
}

# run_vectors compares test/vectors with what test/vectors/make_edges computes.
run_vectors() {
  if as_owner "$tree/test/vectors/make_edges" --check >"$log/unit/vectors.log" 2>&1; then
    pass vectors
  else
    fail vectors '(run test/vectors/make_edges)'
    explain "$log/unit/vectors.log" 20
  fi
}

# run_mutate tests scripts/mutate, whose whole run takes hours.
run_mutate() {
  local -r output=$log/unit/mutate.log started=$EPOCHREALTIME
  need_gcc_build || return 0
  make_owned_folder "$work/mutate"
  if as_owner "$tree/test/mutate/mutate" check "$tree" "$kept/build-g++" "$work/mutate" \
    >"$output" 2>&1; then
    pass mutate "($(elapsed "$started") s)"
  else
    fail mutate
    explain "$output" 20
  fi
}

# run_ctest makes ctest run tests that need a server: one of each kind, because
# the others do not depend on who built the module.
run_ctest() {
  local -r output=$log/unit/ctest.log started=$EPOCHREALTIME
  need_gcc_build || return 0
  if as_owner env REGRESS=roundtrip ISOLATION=rotate_twice ctest \
    --test-dir "$kept/build-g++" --no-tests=error --output-on-failure -L server \
    >"$output" 2>&1; then
    pass ctest "($(elapsed "$started") s)"
  else
    fail ctest
    explain "$output"
  fi
}

# run_clang only compiles: we support each compiler that builds the module.
run_clang() {
  if configure_and_build build-clang++ clang++ >"$log/unit/clang.log" 2>&1; then
    pass clang
  else
    fail clang
    explain_build "$log/unit/clang.log"
  fi
}
