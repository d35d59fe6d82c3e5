# shellcheck shell=bash
few_sources
plant src/core/newroom/planted.cpp <<'CODE'
#include <openssl/sha.h>
int Planted(SHA256_CTX *context) { return SHA256_Init(context); }
CODE
expect 'src/core/newroom/planted.cpp: calls what OpenSSL 3.0 deprecates'
must_fail

rm -r src/core
expect 'src/core: no file of it is looked at'
must_fail
