// The two primitives of a token, AES-128-CBC and HMAC-SHA256, prepared once
// for a key so that a token costs no fetch, no context and no key schedule.
// Private to src/core.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/key.hpp"
#include "core/openssl.hpp"

namespace fernet {

inline constexpr std::size_t kIvSize = 16;
inline constexpr std::size_t kBlockSize = 16;
inline constexpr std::size_t kHmacSize = 32;

using Hmac = std::array<std::uint8_t, kHmacSize>;

// Algorithms are what OpenSSL's providers offer under the names we need. They
// are fetched once and outlive every PreparedKey.
struct Algorithms {
  Cipher aes_128_cbc;
  Digest sha256;
  DigestContext mac_scratch;  // where every MAC is computed

  // Fetch returns kCryptoFailed when a provider lacks one of them, and may
  // then be called again.
  Status Fetch() noexcept;
};

// PreparedMac is HMAC-SHA256 under one key: SHA-256 after the key's inner and
// outer pad, the part that every MAC of this key has in common. Its functions
// return false when libcrypto fails; OpenSSL's error queue is empty afterwards
// either way.
class PreparedMac {
 public:
  // Prepare makes the contexts for `key`, of any size.
  [[nodiscard]] bool Prepare(const EVP_MD *sha256,
                             std::span<const std::uint8_t> key) noexcept;

  // A MAC is Begin, any number of Add, Finish. Only one MAC can be under way in
  // `scratch`, whatever the key.
  [[nodiscard]] bool Begin(EVP_MD_CTX *scratch) const noexcept;
  [[nodiscard]] static bool Add(EVP_MD_CTX *scratch,
                                std::span<const std::uint8_t> data) noexcept;
  [[nodiscard]] bool Finish(
      EVP_MD_CTX *scratch,
      std::span<std::uint8_t, kHmacSize> out) const noexcept;

 private:
  DigestContext inner_;
  DigestContext outer_;
};

// PreparedKey holds the contexts of one key. Its functions return false when
// libcrypto fails; OpenSSL's error queue is empty afterwards either way.
//
// The contexts are OpenSSL's own memory: wiped when freed, but not in
// SecretPages. SECURITY.md says what that means.
class PreparedKey {
 public:
  // Prepare makes the contexts for `key`.
  Status Prepare(const Algorithms &algorithms, const Key &key) noexcept;

  // A MAC is BeginMac, any number of AddToMac, FinishMac, as in PreparedMac.
  [[nodiscard]] bool BeginMac(EVP_MD_CTX *scratch) const noexcept {
    return mac_.Begin(scratch);
  }
  [[nodiscard]] static bool AddToMac(
      EVP_MD_CTX *scratch, std::span<const std::uint8_t> data) noexcept {
    return PreparedMac::Add(scratch, data);
  }
  [[nodiscard]] bool FinishMac(EVP_MD_CTX *scratch, Hmac *out) const noexcept {
    return mac_.Finish(scratch, *out);
  }

  // Encryption is any number of EncryptBlocks, decryption of DecryptBlocks, of
  // whole blocks: the PKCS #7 padding is the caller's, and the contexts keep no
  // plaintext. `in` is less than 2 GiB; `out` is either the same memory or
  // apart from it.
  //
  // The contexts are never initialized again, which would cost more than the
  // encryption of a small token. What CBC chains the first block to is the
  // last block of whatever came before. So a token is encrypted with a random
  // block in front, whose ciphertext is the IV: it is as random as that block,
  // which nobody else sees. And decryption begins with the IV as if it were
  // ciphertext, and forgets what comes of that.
  //
  // Source: NIST SP 800-38A, section 6.2, and appendix C, the first method.
  [[nodiscard]] bool EncryptBlocks(std::span<const std::uint8_t> in,
                                   std::uint8_t *out) const noexcept;
  [[nodiscard]] bool BeginDecryption(
      std::span<const std::uint8_t, kIvSize> iv) const noexcept;
  [[nodiscard]] bool DecryptBlocks(std::span<const std::uint8_t> in,
                                   std::uint8_t *out) const noexcept;

  // BeginEncryptionWith is for an IV of the caller's choice, before the first
  // EncryptBlocks.
  [[nodiscard]] bool BeginEncryptionWith(
      std::span<const std::uint8_t, kIvSize> iv) const noexcept;

 private:
  PreparedMac mac_;
  CipherContext encryption_;
  CipherContext decryption_;
};

}  // namespace fernet
