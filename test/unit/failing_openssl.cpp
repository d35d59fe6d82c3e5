#include "unit/failing_openssl.hpp"

#include <dlfcn.h>
#include <openssl/err.h>
#include <openssl/evp.h>

namespace fernet::test {
namespace {

using When = FailingOpenSsl::When;

// How many calls there are to the one that fails; 0 when none will.
int calls_left = 0;
When fails = When::kBefore;
bool has_failed = false;

// CallOrFail calls OpenSSL's function of that name, which it looks up once, or
// fails in its place.
template <typename... Arguments>
int CallOrFail(const char *name, int (*&function)(Arguments...),
               Arguments... arguments) {
  if (function == nullptr) {
    function = reinterpret_cast<int (*)(Arguments...)>(dlsym(RTLD_NEXT, name));
  }
  const bool is_it = calls_left > 0 && --calls_left == 0;
  if (is_it && fails == When::kAfter) {
    function(arguments...);
  }
  if (is_it) {
    has_failed = true;
    ERR_raise(ERR_LIB_EVP, ERR_R_INTERNAL_ERROR);
    return 0;
  }
  return function(arguments...);
}

}  // namespace

FailingOpenSsl::FailingOpenSsl(int number, When when) {
  calls_left = number;
  fails = when;
  has_failed = false;
}

FailingOpenSsl::~FailingOpenSsl() { calls_left = 0; }

bool FailingOpenSsl::HasFailed() { return has_failed; }

}  // namespace fernet::test

// In place of OpenSSL's, for the core.

extern "C" {

int EVP_EncryptUpdate(EVP_CIPHER_CTX *ctx, unsigned char *out, int *outl,
                      const unsigned char *in, int inl) {
  static int (*function)(EVP_CIPHER_CTX *, unsigned char *, int *,
                         const unsigned char *, int) = nullptr;
  return fernet::test::CallOrFail("EVP_EncryptUpdate", function, ctx, out, outl,
                                  in, inl);
}

int EVP_DecryptUpdate(EVP_CIPHER_CTX *ctx, unsigned char *out, int *outl,
                      const unsigned char *in, int inl) {
  static int (*function)(EVP_CIPHER_CTX *, unsigned char *, int *,
                         const unsigned char *, int) = nullptr;
  return fernet::test::CallOrFail("EVP_DecryptUpdate", function, ctx, out, outl,
                                  in, inl);
}

int EVP_CipherInit_ex2(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher,
                       const unsigned char *key, const unsigned char *iv,
                       int enc, const OSSL_PARAM *params) {
  static int (*function)(EVP_CIPHER_CTX *, const EVP_CIPHER *,
                         const unsigned char *, const unsigned char *, int,
                         const OSSL_PARAM *) = nullptr;
  return fernet::test::CallOrFail("EVP_CipherInit_ex2", function, ctx, cipher,
                                  key, iv, enc, params);
}

int EVP_MD_CTX_copy_ex(EVP_MD_CTX *out, const EVP_MD_CTX *in) {
  static int (*function)(EVP_MD_CTX *, const EVP_MD_CTX *) = nullptr;
  return fernet::test::CallOrFail("EVP_MD_CTX_copy_ex", function, out, in);
}

int EVP_DigestUpdate(EVP_MD_CTX *ctx, const void *d, size_t cnt) {
  static int (*function)(EVP_MD_CTX *, const void *, size_t) = nullptr;
  return fernet::test::CallOrFail("EVP_DigestUpdate", function, ctx, d, cnt);
}

int EVP_DigestFinal_ex(EVP_MD_CTX *ctx, unsigned char *md, unsigned int *s) {
  static int (*function)(EVP_MD_CTX *, unsigned char *, unsigned int *) =
      nullptr;
  return fernet::test::CallOrFail("EVP_DigestFinal_ex", function, ctx, md, s);
}

}  // extern "C"
