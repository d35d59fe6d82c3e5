# shellcheck shell=bash
plant src/core/newroom/planted.hpp <<'CODE'
#include "pg/newroom/planted.hpp"
#include <postgres.h>
CODE
expect 'src/core/newroom/planted.hpp:1: the core includes "pg/newroom/planted.hpp"' \
  "src/core/newroom/planted.hpp:2: the core includes the server's <postgres.h>"
plant src/pg/newroom/planted.hpp <<'CODE'
extern "C" {
#include "fmgr.h"
}
CODE
expect "src/pg/newroom/planted.hpp:2: a header includes the server's fmgr.h"
plant src/pg/newroom/planted.cpp <<'CODE'
extern "C" {
#include "core/key.hpp"
}
#include "fmgr.h"
#include <fmgr.h>
int major = PG_VERSION_NUM;
void Raise() {
  ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION),
                  errmsg("HideStatement()")));
}
CODE
expect 'src/pg/newroom/planted.cpp:2: "core/key.hpp" is included as C' \
  "src/pg/newroom/planted.cpp:4: the server's fmgr.h is not included as C" \
  "src/pg/newroom/planted.cpp:5: the server's fmgr.h is not included as C" \
  'src/pg/newroom/planted.cpp:6: asks for the version of the server' \
  'src/pg/newroom/planted.cpp:8: this ereport does not hide its statement'

# Exceptions and the heap, one on a line.
for part in core pg; do
  plant "src/$part/newroom/heap.cpp" <<'CODE'
void Throw() { throw 1; }
void Try() { try { Throw(); }
catch (int) {} }
int *number = new int;
int *perhaps = new (std::nothrow) int;
std::string text;
std::vector<int> numbers;
std::unique_ptr<int> owner;
CODE
  for line in 1 2 3 4 5 6 7 8; do
    expect "src/$part/newroom/heap.cpp:$line: this needs exceptions or the heap"
  done
done

cat >planted.cpp <<'CODE'
extern "C" void Planted() { throw new int; }
CODE
g++ -shared -fPIC -o planted.so planted.cpp
expect 'planted.so: needs _Znw[jm](@.*)?, of the C\+\+ library' \
  'planted.so: needs __cxa_throw(@.*)?, of the C\+\+ library' \
  'planted.so: is linked with libstdc\+\+'
must_fail FERNET_MODULE=planted.so

# Code that is not where it should be.
renew
git mv src/pg/module.cpp src/pg/module.cc
expect 'src/pg/module.cpp: is not looked at' 'nothing.so: there is no built module'
must_fail FERNET_MODULE=nothing.so

renew
rm -r src/core
expect 'src/core: no file of it is looked at'
must_fail
