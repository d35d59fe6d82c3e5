# shellcheck shell=bash
few_sources
plant src/pg/newroom/planted.cpp <<'CODE'
int Planted() {
  int numbers[2] = {1, 2};
  return numbers[2];
}
CODE
expect 'src/pg/newroom/planted.cpp:3: error: .*\[arrayIndexOutOfBounds\]'
must_fail

git mv src/pg/module.cpp src/pg/module.cc
expect 'src/pg/module.cpp: is not looked at'
must_fail
