# Building and running the fuzzers of the core, test/fuzz/*_fuzzer.cpp. Sourced
# by scripts/test and scripts/fuzz, after common.sh and deps.sh.
# shellcheck shell=bash
# Names that common.sh and private-server.sh define:
# shellcheck disable=SC2154
# Names that the programs use:
# shellcheck disable=SC2034

# g++ is there for its C++ library.
readonly fuzz_packages='g++ cmake make libssl-dev clang python3'

# install_fuzz_runtime gets the libFuzzer and the sanitizers of the clang that is
# installed, which have a package of their own for each version.
install_fuzz_runtime() {
  local version
  version=$(clang++ -dumpversion)
  install_packages "libclang-rt-${version%%.*}-dev"
}

# fuzzer_names FOLDER prints the fuzzers of a working tree, one a line.
fuzzer_names() {
  local file
  for file in "$1"/test/fuzz/*_fuzzer.cpp; do
    basename -- "$file" _fuzzer.cpp
  done
}

# build_fuzzers builds them all in the copy.
build_fuzzers() {
  fuzz_build=${kept:-$work}/build-fuzz
  [[ -d $fuzz_build ]] || make_owned_folder "$fuzz_build"
  as_owner cmake -S "$tree" -B "$fuzz_build" -DCMAKE_CXX_COMPILER=clang++ \
    -DCMAKE_CXX_COMPILER_LAUNCHER="${ccache[*]:-}" \
    -DFERNET_FUZZ=ON -DFERNET_SANITIZE=address,undefined -DBUILD_TESTING=OFF \
    -DWERROR=ON >"$log/build-fuzz.log" 2>&1 &&
    as_owner cmake --build "$fuzz_build" --parallel "$(nproc)" \
      >>"$log/build-fuzz.log" 2>&1
}

# coverage [FOLDER] builds the fuzzers once more, without sanitizers, runs each with
# its seeds, its corpus and FOLDER/NAME, and prints how much of the core they reach.
# It fails below 97 % of the lines.
coverage() {
  local -r build=$work/build-coverage profiles=$work/profiles
  local name
  local -a corpora
  make_owned_folder "$build"
  make_owned_folder "$profiles"
  as_owner cmake -S "$tree" -B "$build" -DCMAKE_CXX_COMPILER=clang++ \
    -DCMAKE_BUILD_TYPE=Coverage -DCMAKE_CXX_FLAGS_COVERAGE=-O1 \
    -DFERNET_FUZZ=ON -DFERNET_SANITIZE=fuzzer-no-link -DFERNET_COVERAGE=ON \
    -DBUILD_TESTING=OFF >"$log/build-coverage.log" 2>&1 &&
    as_owner cmake --build "$build" --parallel "$(nproc)" \
      >>"$log/build-coverage.log" 2>&1 || return
  for name in $(fuzzer_names "$tree"); do
    corpora=("$build/test/fuzz/seeds/$name" "$tree/test/fuzz/corpus/$name")
    [[ -z ${1:-} || ! -d $1/$name ]] || corpora+=("$1/$name")
    as_owner env LLVM_PROFILE_FILE="$profiles/$name.profraw" \
      "$build/test/fuzz/${name}_fuzzer" -runs=0 "${corpora[@]}" \
      >"$log/coverage-$name.log" 2>&1 || return
  done
  as_owner "$tree/test/fuzz/coverage" "$build/test/fuzz" "$profiles" 97
}

# fuzzer NAME ARGUMENT... runs a fuzzer. An input is small because it only says
# how to make the large values; libFuzzer prefers a fast one to a slow one that
# reaches the same.
fuzzer() {
  local -r name=$1
  shift
  as_owner env UBSAN_OPTIONS=print_stacktrace=1 \
    "$fuzz_build/test/fuzz/${name}_fuzzer" -max_len=1024 -timeout=25 \
    -entropic_scale_per_exec_time=1 -print_final_stats=1 "$@"
}

# make_found_folder FOLDER makes the folder that the owner's fuzzers write to.
make_found_folder() {
  make_owned_folder "$1"
  as_owner mkdir "$1/inputs"
}

# fuzz_for NAME SECONDS FOUND runs a fuzzer from its seeds and the corpus of the
# tree, all of which it tries first. New inputs go to the folder FOUND/inputs,
# and one that fails to a file in FOUND.
fuzz_for() {
  fuzzer "$1" -max_total_time="$2" -artifact_prefix="$3/" "$3/inputs" \
    "$fuzz_build/test/fuzz/seeds/$1" "$tree/test/fuzz/corpus/$1"
}

# minimize NAME FOLDER FOUND prints how many inputs reach what the seeds do not,
# of the corpus of the tree and of FOLDER. These are what is in FOUND/inputs then.
minimize() {
  local -r seeds=$fuzz_build/test/fuzz/seeds/$1
  as_owner cp -- "$seeds"/* "$3/inputs/"
  # Each edge once, however often: a corpus of the repository is small.
  fuzzer "$1" -merge=1 -use_counters=0 "$3/inputs" "$tree/test/fuzz/corpus/$1" \
    "$2" >"$log/minimize-$1.log" 2>&1 || return
  as_owner find "$3/inputs" -name 'seed-*' -delete
  find "$3/inputs" -type f | wc -l
}

# executions LOG prints how many inputs a run has tried.
executions() {
  sed -nE 's/^stat::number_of_executed_units: +([0-9]+)$/\1/p' "$1"
}
