// The two primitives of a token, AES-128-CBC and HMAC-SHA256, prepared once for
// each key: a token then needs no fetch, no new context and no key schedule.
// Private to src/core.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
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
  [[nodiscard]] bool Begin(EVP_MD_CTX *scratch) const noexcept {
    return CopyState(scratch, inner_.get());
  }
  [[nodiscard]] static bool Add(EVP_MD_CTX *scratch,
                                std::span<const std::uint8_t> data) noexcept {
    return Succeeded(EVP_DigestUpdate(scratch, data.data(), data.size()));
  }
  [[nodiscard]] bool Finish(
      EVP_MD_CTX *scratch,
      std::span<std::uint8_t, kHmacSize> out) const noexcept {
    return Succeeded(EVP_DigestFinal_ex(scratch, out.data(), nullptr)) &&
           CopyState(scratch, outer_.get()) &&
           Succeeded(EVP_DigestUpdate(scratch, out.data(), out.size())) &&
           Succeeded(EVP_DigestFinal_ex(scratch, out.data(), nullptr));
  }

 private:
  // CopyState copies the state of `from` to `to`. If that fails, it empties
  // `to`: OpenSSL leaves it with a digest but without the memory for a state,
  // and at the next copy OpenSSL 3.5 takes the memory to be there and crashes.
  static bool CopyState(EVP_MD_CTX *to, const EVP_MD_CTX *from) noexcept {
    if (Succeeded(EVP_MD_CTX_copy_ex(to, from))) {
      return true;
    }
    EVP_MD_CTX_reset(to);
    return false;
  }

  DigestContext inner_;
  DigestContext outer_;
};

// CbcChain is where a context of AES-128-CBC stands between two tokens. The
// context is not initialized again for each token, which takes time. So CBC
// xors the first block of a token not with its IV but with the last block of
// ciphertext before it. We xor the first block with both, before it is
// encrypted or after it is decrypted: the old block cancels out, and the IV is
// left.
//
// It keeps nothing secret: IVs and ciphertext.
//
// Source: NIST SP 800-38A, section 6.2.
class CbcChain {
 public:
  using Block = std::span<const std::uint8_t, kBlockSize>;

  // Begin makes `iv` the IV of the next block. It returns false when libcrypto
  // fails.
  [[nodiscard]] bool Begin(EVP_CIPHER_CTX *context, Block iv) noexcept {
    if (!last_is_known_ && !SetIv(context, iv)) {
      return false;
    }
    XorBlocks(last_.data(), iv.data(), correction_.data());
    return true;
  }

  // Correct makes the first block right, and leaves those that follow alone.
  void Correct(std::uint8_t *block) noexcept {
    XorBlocks(block, correction_.data(), block);
    correction_ = {};
  }

  // SetLast takes the last block of ciphertext. Forget says that the context
  // has failed: nobody knows where it stands, and the next IV is set in it.
  void SetLast(Block ciphertext) noexcept {
    std::ranges::copy(ciphertext, last_.begin());
  }
  void Forget() noexcept { last_is_known_ = false; }

 private:
  // XorBlocks writes `a` xored with `b`, one block each, to `out`, which may be
  // either. The compiler makes no vectors of a loop over bytes that may
  // overlap.
  static void XorBlocks(const std::uint8_t *a, const std::uint8_t *b,
                        std::uint8_t *out) noexcept {
    std::array<std::uint64_t, 2> words;
    std::array<std::uint64_t, 2> others;
    static_assert(sizeof words == kBlockSize);
    std::memcpy(words.data(), a, kBlockSize);
    std::memcpy(others.data(), b, kBlockSize);
    words = {words[0] ^ others[0], words[1] ^ others[1]};
    std::memcpy(out, words.data(), kBlockSize);
  }

  bool SetIv(EVP_CIPHER_CTX *context, Block iv) noexcept;

  std::array<std::uint8_t, kBlockSize> last_{};
  // What the next block is to be xored with.
  std::array<std::uint8_t, kBlockSize> correction_{};
  bool last_is_known_ = false;
};

// PreparedKey holds the contexts of one key. Its functions return false when
// libcrypto fails. OpenSSL's error queue is always empty afterwards.
//
// OpenSSL allocates the contexts: it wipes them when it frees them, but they
// are not in SecretPages. SECURITY.md says what that means.
class PreparedKey {
 public:
  constexpr PreparedKey() noexcept = default;
  PreparedKey(const PreparedKey &) = delete;
  PreparedKey &operator=(const PreparedKey &) = delete;

  // Clear frees the contexts, which wipes them.
  void Clear() noexcept;

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
  [[nodiscard]] bool FinishMac(
      EVP_MD_CTX *scratch,
      std::span<std::uint8_t, kHmacSize> out) const noexcept {
    return mac_.Finish(scratch, out);
  }

  // A token is encrypted by BeginEncryption and any number of EncryptBlocks,
  // and decrypted likewise. They work on whole blocks, less than 2 GiB at once:
  // the caller adds and removes the PKCS #7 padding, and the contexts keep no
  // plaintext.
  [[nodiscard]] bool BeginEncryption(
      std::span<const std::uint8_t, kIvSize> iv) noexcept {
    return encrypted_.Begin(encryption_.get(), iv);
  }
  // EncryptBlocks works in place, on at least one block. After a failure
  // `blocks` may still hold plaintext: the caller wipes it.
  [[nodiscard]] bool EncryptBlocks(std::span<std::uint8_t> blocks) noexcept {
    encrypted_.Correct(blocks.data());
    int written = 0;
    if (!Succeeded(EVP_EncryptUpdate(encryption_.get(), blocks.data(), &written,
                                     blocks.data(),
                                     static_cast<int>(blocks.size())))) {
      encrypted_.Forget();
      return false;
    }
    encrypted_.SetLast(blocks.last<kBlockSize>());
    return true;
  }
  [[nodiscard]] bool BeginDecryption(
      std::span<const std::uint8_t, kIvSize> iv) noexcept {
    return decrypted_.Begin(decryption_.get(), iv);
  }
  // `out` is the same memory as `in` or does not overlap it.
  [[nodiscard]] bool DecryptBlocks(std::span<const std::uint8_t> in,
                                   std::uint8_t *out) noexcept {
    if (in.empty()) {
      return true;
    }
    // Before `out`, which may be the same memory, is written.
    decrypted_.SetLast(in.last<kBlockSize>());
    int written = 0;
    if (!Succeeded(EVP_DecryptUpdate(decryption_.get(), out, &written,
                                     in.data(), static_cast<int>(in.size())))) {
      decrypted_.Forget();
      return false;
    }
    decrypted_.Correct(out);
    return true;
  }

 private:
  PreparedMac mac_;
  CipherContext encryption_;
  CipherContext decryption_;
  CbcChain encrypted_;
  CbcChain decrypted_;
};

}  // namespace fernet
