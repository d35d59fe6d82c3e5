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

// CallOrFail calls the function of OpenSSL that `name` is the name of.
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

int EVP_EncryptUpdate(EVP_CIPHER_CTX *context, unsigned char *out,
                      int *out_size, const unsigned char *in, int size) {
  static int (*function)(EVP_CIPHER_CTX *, unsigned char *, int *,
                         const unsigned char *, int) = nullptr;
  return fernet::test::CallOrFail("EVP_EncryptUpdate", function, context, out,
                                  out_size, in, size);
}

int EVP_DecryptUpdate(EVP_CIPHER_CTX *context, unsigned char *out,
                      int *out_size, const unsigned char *in, int size) {
  static int (*function)(EVP_CIPHER_CTX *, unsigned char *, int *,
                         const unsigned char *, int) = nullptr;
  return fernet::test::CallOrFail("EVP_DecryptUpdate", function, context, out,
                                  out_size, in, size);
}

int EVP_CipherInit_ex2(EVP_CIPHER_CTX *context, const EVP_CIPHER *cipher,
                       const unsigned char *key, const unsigned char *iv,
                       int encrypts, const OSSL_PARAM *parameters) {
  static int (*function)(EVP_CIPHER_CTX *, const EVP_CIPHER *,
                         const unsigned char *, const unsigned char *, int,
                         const OSSL_PARAM *) = nullptr;
  return fernet::test::CallOrFail("EVP_CipherInit_ex2", function, context,
                                  cipher, key, iv, encrypts, parameters);
}

int EVP_MD_CTX_copy_ex(EVP_MD_CTX *to, const EVP_MD_CTX *from) {
  static int (*function)(EVP_MD_CTX *, const EVP_MD_CTX *) = nullptr;
  return fernet::test::CallOrFail("EVP_MD_CTX_copy_ex", function, to, from);
}

int EVP_DigestUpdate(EVP_MD_CTX *context, const void *data, size_t size) {
  static int (*function)(EVP_MD_CTX *, const void *, size_t) = nullptr;
  return fernet::test::CallOrFail("EVP_DigestUpdate", function, context, data,
                                  size);
}

int EVP_DigestFinal_ex(EVP_MD_CTX *context, unsigned char *out,
                       unsigned int *size) {
  static int (*function)(EVP_MD_CTX *, unsigned char *, unsigned int *) =
      nullptr;
  return fernet::test::CallOrFail("EVP_DigestFinal_ex", function, context, out,
                                  size);
}

}  // extern "C"
