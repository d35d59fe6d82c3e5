# shellcheck shell=bash
plant src/core/newroom/deep/planted.cpp <<<'int planted;'
plant src/pg/newroom/deep/planted.cpp <<<'int planted;'
# Make's function.
# shellcheck disable=SC2016
edit Makefile 's/^sources := .*/sources := $(wildcard src\/core\/*.cpp)/'
edit CMakeLists.txt 's/GLOB_RECURSE/GLOB/; s/src\/core\/\*\.cpp/src\/core\/key.cpp/'
expect 'src/core/newroom/deep/planted.cpp: is not looked at' \
  'src/pg/newroom/deep/planted.cpp: is not looked at' \
  'src/pg/module.cpp: is not looked at' \
  'src/core/token.cpp: is not looked at' \
  '  make does not compile these' '  CMake does not compile these'
must_fail
