# shellcheck shell=bash
# In pieces, so that the check does not find them here.
no=NO dis=dis sup=sup
plant src/pg/newroom/planted.cpp <<CODE
int a;  // ${no}LINT
int b;  // ${no}LINT(name)
// ${no}LINTNEXTLINE(name): why
int c;  // ${no}LINT(name): a reason
// cppcheck-${sup}press name
// cppcheck-${sup}press name ; a reason

#pragma GCC diagnostic ign${no/NO/o}red "-Wall"
CODE
plant src/pg/newroom/.clang-tidy <<'END_OF_FILE'
# -reasoned: for a reason
Checks: >
  -*,
  -reasoned,
  -planted
CheckOptions:
END_OF_FILE
plant src/pg/newroom/planted.sh <<END_OF_FILE
#!/bin/sh

# shellcheck ${dis}able=SC2016
END_OF_FILE
plant newroom/planted <<END_OF_FILE
#!/usr/bin/python3

import os  # noq${no/NO/a}
END_OF_FILE
plant newroom/planted.supp <<'END_OF_FILE'
{
   planted
}
END_OF_FILE
plant newroom/planted.pl <<END_OF_FILE

no war${no/NO/nings};
END_OF_FILE
plant newroom/planted.suppressions <<<'planted'
for line in 1 2 3; do
  expect "src/pg/newroom/planted.cpp:$line: this $no""LINT gives no reason"
done
expect 'src/pg/newroom/planted.cpp:5: this cppcheck-' \
  'src/pg/newroom/planted.cpp:8: this silences a tool' \
  'src/pg/newroom/.clang-tidy: -planted is switched off' \
  'src/pg/newroom/planted.sh:3: this silences a tool' \
  'newroom/planted:3: this silences a tool' \
  'newroom/planted.supp:1: this silences a tool' \
  'newroom/planted.pl:2: this silences a tool' \
  'newroom/planted.suppressions:1: this silences a tool'
refuse '.*planted.cpp:[46]:' '.*-reasoned'
must_fail

renew
git mv src/pg/module.cpp src/pg/module.cc
expect 'src/pg/module.cpp: is not looked at'
must_fail
