// OpenSSL's contexts for one key, prepared once: what is left to do for a token
// without a line of the core.
#pragma once

#include "codec.hpp"
#include "core/openssl.hpp"

namespace fernet::bench {

struct EvpContexts {
  explicit EvpContexts(View key);

  // BeginMac, EVP_DigestUpdate of `mac`, FinishMac: an HMAC.
  bool BeginMac() { return EVP_MD_CTX_copy_ex(mac.get(), inner.get()) == 1; }
  bool FinishMac(std::uint8_t *out) {
    return EVP_DigestFinal_ex(mac.get(), out, nullptr) == 1 &&
           EVP_MD_CTX_copy_ex(mac.get(), outer.get()) == 1 &&
           EVP_DigestUpdate(mac.get(), out, kHmacSize) == 1 &&
           EVP_DigestFinal_ex(mac.get(), out, nullptr) == 1;
  }

  DigestContext inner;  // SHA-256 after the key's inner pad
  DigestContext outer;
  DigestContext mac;
  CipherContext encryption;  // with the key, without padding
  CipherContext decryption;
};

}  // namespace fernet::bench
