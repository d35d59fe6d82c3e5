# Rules that the source and the module must keep, test/check/*.sh. Sourced by
# scripts/test.
# shellcheck shell=bash
# Names that scripts/test and scripts/lib define, or use:
# shellcheck disable=SC2034,SC2154

packages_check='python3 python3-yaml binutils cmake libgtest-dev nlohmann-json3-dev'

tests_check() {
  file_names .sh "$1"/test/check/*.sh
}

run_check() {
  need_module || return 0
  # One of them compares with what CMake makes.
  if [[ " $(selected check | tr '\n' ' ')" == *' install '* ]]; then
    need_gcc_build || return 0
  fi
  run_scripts FERNET_BUILD="$kept/build-g++"
}
