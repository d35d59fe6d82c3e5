# shellcheck shell=bash
plant src/pg/newroom/planted.hpp <<'CODE'
#include "pg/server/compat.hpp"
CODE
expect 'src/pg/newroom/planted.hpp: src/pg/newroom has no place in the line of folders' \
  '  .* add the folder to test/check/lib/folders'

# Each folder includes a file of the next one.
mapfile -t line < <(grep -v '^#' test/check/lib/folders)
for ((i = 0; i < ${#line[@]}; ++i)); do
  plant "${line[i]}/planted.hpp" <<<'#pragma once'
done
for ((i = 1; i < ${#line[@]}; ++i)); do
  to=${line[i]#src/}/planted.hpp
  plant "${line[i - 1]}/planted.cpp" <<<"#include \"$to\""
  expect "${line[i - 1]}/planted.cpp:1: includes $to the wrong way"
done
# By the shortest way, in another spelling, and in a comment or a string.
plant src/pg/server/spelled.cpp <<'CODE'
/* */ # include <pg/report/planted.hpp>
#include "../report/planted.hpp"
#include PLANTED
#include "pg/report/planted.cpp"
// #include "pg/session/planted.hpp"
const char *text = "\
#include";
CODE
expect 'src/pg/server/spelled.cpp:1: includes pg/report/planted.hpp the wrong way' \
  'src/pg/server/spelled.cpp:2: includes ../report/planted.hpp the wrong way' \
  'src/pg/server/spelled.cpp:2: ../report/planted.hpp is not named from src' \
  'src/pg/server/spelled.cpp:3: this includes what a macro names' \
  'src/pg/server/spelled.cpp:4: includes pg/report/planted.cpp, which is compiled by itself'

# A circle within a folder, by way of a third file.
plant src/core/circle_a.hpp <<<'#include "core/circle_b.hpp"'
plant src/core/circle_b.hpp <<<'#include "core/circle_c.hpp"'
plant src/core/circle_c.hpp <<<'#include "core/circle_a.hpp"'
expect 'src/core/circle_a.hpp: is included in a circle'

plant src/client/planted.cpp <<'CODE'
#include "core/planted.hpp"
#include "pg/server/planted.hpp"
#include <postgres.h>
CODE
plant src/client/planted.hpp <<<'#pragma once'
plant src/pg/functions/client.cpp <<<'#include "client/planted.hpp"'
plant src/core/client.cpp <<<'#include "client/planted.hpp"'
expect 'src/client/planted.cpp:2: includes pg/server/planted.hpp the wrong way' \
  "src/client/planted.cpp:3: src/client includes the server's postgres.h" \
  'src/pg/functions/client.cpp:1: includes client/planted.hpp the wrong way' \
  'src/core/client.cpp:1: includes client/planted.hpp the wrong way'

plant src/pg/newroom/planted.cc <<<'int planted;'
expect 'src/pg/newroom/planted.cc: no check looks at a file of this kind'
refuse '.*spelled.cpp:[56]' '.*client/planted.cpp:1'
must_fail

# A folder that is gone, and a file that is hidden behind a link.
renew
git rm -rqf src/pg/value
mv src/pg/module.cpp hidden.cpp
ln -s ../../hidden.cpp src/pg/module.cpp
expect 'src/pg/value: no file of it is looked at' 'src/pg/module.cpp: is not looked at' \
  'src/pg/module.cpp: no check looks at a file of this kind'
must_fail
