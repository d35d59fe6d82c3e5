# shellcheck shell=bash
# clang-tidy is slow: it looks at one file.
few_sources
plant src/core/newroom/planted.cpp <<'CODE'
#include "core/newroom/planted.hpp"
int Planted(int number) {
  if (number = 1)
    return number;
  return 0;
}
CODE
plant src/core/newroom/planted.hpp <<'CODE'
typedef int planted_number;
CODE
git rm -qf src/pg/module.cpp
mkdir build-planted
for file in src/client/planted.cpp src/core/newroom/planted.cpp src/pg/planted.cpp; do
  printf '{"directory": "%s", "file": "%s", "command": "clang++ -I%s/src -c %s"},\n' \
    "$PWD" "$PWD/$file" "$PWD" "$PWD/$file"
done | sed '1s/^/[/; $s/,$/]/' >build-planted/compile_commands.json
expect 'src/core/newroom/planted.cpp:3:.* error: .*\[readability-implicit-bool' \
  'src/core/newroom/planted.hpp:1:.* error: .*\[modernize-use-using' \
  'src/pg/module.cpp: is not looked at'
must_fail FERNET_BUILD=build-planted

printf '[]\n' >build-planted/compile_commands.json
expect 'build-planted/compile_commands.json: does not say how to compile src/client'
must_fail FERNET_BUILD=build-planted
