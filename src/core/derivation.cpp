#include "core/derivation.hpp"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/params.h>

#include "core/base64url.hpp"
#include "core/openssl.hpp"

namespace fernet {
namespace {

constexpr char kDigest[] = "SHA256";

// Bytes and Text are parameters for OpenSSL, which declares what it only reads
// as writable.
OSSL_PARAM Bytes(const char *name, std::span<const std::uint8_t> bytes) {
  // No bytes are not the same as no parameter, which a null pointer means.
  static constexpr std::uint8_t kNothing = 0;
  const std::uint8_t *const data = bytes.empty() ? &kNothing : bytes.data();
  return OSSL_PARAM_construct_octet_string(
      name, const_cast<std::uint8_t *>(data), bytes.size());
}

OSSL_PARAM Text(const char *name, const char *text) {
  return OSSL_PARAM_construct_utf8_string(name, const_cast<char *>(text), 0);
}

// Finish is the end of all of them: it writes the key, if it was `derived`.
Status Finish(bool derived, const Key &key,
              std::span<char, kEncodedKeySize> out) noexcept {
  ERR_clear_error();
  if (!derived) {
    OPENSSL_cleanse(out.data(), out.size());
    return Status::kCryptoFailed;
  }
  base64url::Encode(key.bytes(), out);
  return Status::kOk;
}

// Derive runs the function `name` of OpenSSL.
Status Derive(const char *name, const OSSL_PARAM *params,
              std::span<char, kEncodedKeySize> out) noexcept {
  const KeyDerivation function(EVP_KDF_fetch(nullptr, name, nullptr));
  const KeyDerivationContext context(EVP_KDF_CTX_new(function.get()));
  Key key;
  const bool derived = function && context &&
                       EVP_KDF_derive(context.get(), key.mutable_bytes().data(),
                                      kKeySize, params) == 1;
  return Finish(derived, key, out);
}

}  // namespace

Status DeriveByHkdf(std::span<const std::uint8_t> secret,
                    std::span<const std::uint8_t> salt,
                    std::span<const std::uint8_t> info,
                    std::span<char, kEncodedKeySize> out) noexcept {
  const OSSL_PARAM params[] = {
      Text(OSSL_KDF_PARAM_DIGEST, kDigest), Bytes(OSSL_KDF_PARAM_KEY, secret),
      Bytes(OSSL_KDF_PARAM_SALT, salt),     Bytes(OSSL_KDF_PARAM_INFO, info),
      OSSL_PARAM_construct_end(),
  };
  return Derive("HKDF", params, out);
}

Status DeriveByPbkdf2(std::span<const std::uint8_t> secret,
                      std::span<const std::uint8_t> salt,
                      std::uint32_t iterations,
                      std::span<char, kEncodedKeySize> out) noexcept {
  // Without these checks: other programs have salts of any size, and as few
  // iterations as they like.
  int no_checks = 1;
  const OSSL_PARAM params[] = {
      Text(OSSL_KDF_PARAM_DIGEST, kDigest),
      Bytes(OSSL_KDF_PARAM_PASSWORD, secret),
      Bytes(OSSL_KDF_PARAM_SALT, salt),
      OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_ITER, &iterations),
      OSSL_PARAM_construct_int(OSSL_KDF_PARAM_PKCS5, &no_checks),
      OSSL_PARAM_construct_end(),
  };
  return Derive("PBKDF2", params, out);
}

Status DeriveBySha256(std::span<const std::uint8_t> secret,
                      std::span<char, kEncodedKeySize> out) noexcept {
  Key key;
  const bool derived =
      EVP_Q_digest(nullptr, kDigest, nullptr, secret.data(), secret.size(),
                   key.mutable_bytes().data(), nullptr) == 1;
  return Finish(derived, key, out);
}

}  // namespace fernet
