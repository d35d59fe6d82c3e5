// The two primitives of a token, AES-128-CBC and HMAC-SHA256, prepared once for
// each key: a token then needs no fetch, no new context and no key schedule.
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

// Algorithms are the algorithms we need, fetched once from OpenSSL's providers.
// They must outlive every PreparedKey.
struct Algorithms {
  Cipher aes_128_cbc;
  Digest sha256;
  DigestContext mac_scratch;  // every MAC is computed here

  // Fetch returns kCryptoFailed when no provider offers one of them. It may
  // then be called again.
  Status Fetch() noexcept;
};

// PreparedMac is HMAC-SHA256 with one key: SHA-256 after the key's inner and
// outer pad, which all MACs of this key share. Its functions return false when
// libcrypto fails. OpenSSL's error queue is always empty afterwards.
class PreparedMac {
 public:
  // Prepare makes the contexts for `key`, of any size.
  [[nodiscard]] bool Prepare(const EVP_MD *sha256,
                             std::span<const std::uint8_t> key) noexcept;

  // A MAC is Begin, any number of Add, Finish. Only one MAC at a time can use
  // `scratch`, whatever its key.
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
// libcrypto fails. OpenSSL's error queue is always empty afterwards.
//
// OpenSSL allocates the contexts: it wipes them when it frees them, but they
// are not in SecretPages. SECURITY.md says what that means.
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

  // EncryptBlocks and DecryptBlocks work on whole blocks and may be called any
  // number of times. The caller adds and removes the PKCS #7 padding, and the
  // contexts keep no plaintext. `in` is less than 2 GiB; `out` is the same
  // memory or does not overlap it.
  //
  // The contexts are never initialized again: that costs more than to encrypt a
  // small token. So CBC chains the first block of a token to the last block of
  // the token before. To encrypt, a random block goes first, and its ciphertext
  // is the IV: the IV is as random as that block, which nobody else sees. To
  // decrypt, the IV goes first, as if it were ciphertext, and the result is
  // thrown away.
  //
  // Source: NIST SP 800-38A, section 6.2, and appendix C, the first method.
  [[nodiscard]] bool EncryptBlocks(std::span<const std::uint8_t> in,
                                   std::uint8_t *out) const noexcept;
  [[nodiscard]] bool BeginDecryption(
      std::span<const std::uint8_t, kIvSize> iv) const noexcept;
  [[nodiscard]] bool DecryptBlocks(std::span<const std::uint8_t> in,
                                   std::uint8_t *out) const noexcept;

  // BeginEncryptionWith sets an IV that the caller chooses, before the first
  // EncryptBlocks.
  [[nodiscard]] bool BeginEncryptionWith(
      std::span<const std::uint8_t, kIvSize> iv) const noexcept;

 private:
  PreparedMac mac_;
  CipherContext encryption_;
  CipherContext decryption_;
};

}  // namespace fernet
