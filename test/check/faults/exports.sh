# shellcheck shell=bash
cat >planted.c <<'CODE'
void planted(void) {}
void fernet_encrypt(void) {}
CODE
gcc -shared -fPIC -o planted.so planted.c
plant sql/pg_fernet--0.0.1--0.0.2.sql <<'SQL'
CREATE FUNCTION planted_missing() RETURNS text AS 'MODULE_PATHNAME', 'planted_missing' LANGUAGE C;
CREATE FUNCTION planted_unnamed() RETURNS text AS 'MODULE_PATHNAME' LANGUAGE C;
SQL
expect 'planted.so: exports planted, which no install script names' \
  'planted.so: lacks planted_missing, which an install script needs' \
  'planted.so: lacks Pg_magic_func' 'sql/pg_fernet--0.0.1--0.0.2.sql:2:'
must_fail FERNET_MODULE=planted.so

expect 'nothing.so: there is no built module'
must_fail FERNET_MODULE=nothing.so
