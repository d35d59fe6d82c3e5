# shellcheck shell=bash
cat >planted.c <<'CODE'
int planted(void) { return 0; }
CODE
gcc -shared -fPIC -o libplanted.so planted.c
gcc -shared -fPIC -o planted.so planted.c -Wl,--no-as-needed -L. -lplanted
cp planted.so pg_fernet
plant src/pg/newroom/planted.cpp <<<'// Copyright (c) 2020 Somebody else'
edit scripts/sbom 's/"licenseDeclared": license_/"licenseDeclared": "MIT"/'
expect 'planted.so: needs libplanted.so, of which the bill of materials knows nothing' \
  'OpenSSL: no built file needs it' 'PostgreSQL: no built file needs it' \
  'scripts/sbom does not print "licenseDeclared": "PostgreSQL"' \
  'src/pg/newroom/planted.cpp' 'These files name an owner'
must_fail FERNET_MODULE=planted.so

# Without libpq's headers there is no program, which alone needs libpq.
rm pg_fernet
expect 'OpenSSL: no built file needs it'
refuse 'PostgreSQL:'
must_fail FERNET_MODULE=planted.so
