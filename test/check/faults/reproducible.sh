# shellcheck shell=bash
rm -f pg_fernet.so
expect 'pg_fernet.so: there is no built module'
must_fail

# A source in a new folder shows where it was built.
few_sources
plant src/pg/newroom/planted.cpp <<'CODE'
extern const char kPlanted[];
const char kPlanted[] = PLANTED;
CODE
edit Makefile "s/^PG_CPPFLAGS = /&-DPLANTED='\"\$(CURDIR)\"' /"
git add -A
make PG_CONFIG="${PG_CONFIG:-pg_config}" >../make.log 2>&1
expect '  The module depends on where it is built'
must_fail

# The same where CMake's module is the one that is tested.
expect '  The module depends on where it is built'
must_fail FERNET_MODULE=pg_fernet.so
