# shellcheck shell=bash
# Few sources: make links what there is, and CMake's module is another one.
few_sources
cat >planted.c <<'CODE'
void planted(void) {}
CODE
mkdir build-planted
gcc -shared -fPIC -o build-planted/pg_fernet.so planted.c
edit CMakeLists.txt 's/\$\{scripts\}//'
edit Makefile 's/^override pkglibdir/planted/'
expect 'without a prefix: make \(<\) and CMake \(>\) install different files' \
  '> planted' 'The modules of make \(<\) and of CMake \(>\) export different symbols' \
  'with a prefix: make does not install opt/extras/lib/postgresql/pg_fernet.so' \
  'with a prefix of PostgreSQL: make does not install opt/postgres-extras/lib/pg_fernet.so'
must_fail FERNET_BUILD=build-planted
