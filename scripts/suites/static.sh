# Analyzers over the source, test/static/*.sh. Sourced by scripts/test.
# shellcheck shell=bash
# Names that scripts/test and scripts/lib define, or use:
# shellcheck disable=SC2034,SC2154

packages_static='cmake libgtest-dev nlohmann-json3-dev clang clang-tidy cppcheck
  shellcheck pyflakes3 libipc-run-perl'

tests_static() {
  file_names .sh "$1"/test/static/*.sh
}

# run_static asks CMake, for the compiler that clang-tidy is made of, how each
# file is compiled.
run_static() {
  local -r folder=$kept/build-static
  keep_folder build-static
  if as_owner cmake -S "$tree" -B "$folder" -DCMAKE_CXX_COMPILER=clang++ \
    -DPG_CONFIG="$bin/pg_config" >"$log/static/cmake.log" 2>&1; then
    run_scripts FERNET_BUILD="$folder"
  else
    fail cmake
    explain "$log/static/cmake.log" 40
  fi
}
