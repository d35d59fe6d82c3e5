#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/crypto.hpp"
#include "core/key.hpp"
#include "core/random.hpp"
#include "core/token.hpp"

namespace fernet {

// Keyring is a list of keys ready for use: the first encrypts, all decrypt.
// Prepare does once what each key needs. A Keyring keeps the state of the token
// it works on, so it handles one token at a time and is not for several
// threads.
//
// Source: Fernet spec, sections "Generating" and "Verifying"; MultiFernet of
// Python's `cryptography` for several keys.
class Keyring {
 public:
  constexpr Keyring() noexcept = default;

  // Prepare makes the keyring hold `keys` in their order. On kCryptoFailed (a
  // provider without AES-128-CBC or SHA-256, or no memory) it is empty.
  Status Prepare(std::span<const Key> keys) noexcept;
  // Clear removes every key. OpenSSL wipes the contexts.
  void Clear() noexcept;

  std::uint32_t size() const noexcept { return size_; }

  // Seal encrypts `plaintext` with the first key and writes the token to the
  // first TokenSize(plaintext.size()) characters of `out`. The two must not
  // overlap. Returns kRandomFailed, kCryptoFailed or kStopped; `out` then holds
  // no token.
  Status Seal(std::span<const std::uint8_t> plaintext, std::uint64_t timestamp,
              RandomBuffer *ivs, std::span<char> out,
              GoOn go_on = Always) noexcept;

  // SealWithIv is Seal with an IV that the caller chooses. Only Seal, tests
  // and benchmarks call it: an IV used twice shows which plaintexts are equal.
  Status SealWithIv(std::span<const std::uint8_t> plaintext,
                    std::uint64_t timestamp,
                    std::span<const std::uint8_t, kIvSize> iv,
                    std::span<char> out, GoOn go_on = Always) noexcept;

  // FindKey finds the key that fits the HMAC of `token`, with a comparison in
  // constant time for each key, and stores its index, from 0. Returns
  // kNoKeyOpens, kCryptoFailed, or what TokenReader::ReadSigned returns. It
  // does not decrypt; but when keys share a signing half, the padding decides
  // between them, as in MultiFernet: see CheckPadding.
  Outcome FindKey(TokenReader *token, std::uint32_t *out_index) noexcept;

  // CheckPadding says whether Open would succeed with the key that FindKey
  // found. It decrypts the last block only. If not, it returns kNoKeyOpens: a
  // caller learns nothing from the padding.
  Status CheckPadding(const TokenReader &token, std::uint32_t index) noexcept;

  // Open decrypts `token` with the key that FindKey found, into `out`, which
  // must hold token->ciphertext_size() bytes. If the token keeps its
  // ciphertext, `out` must be the memory that it keeps it in. On kOk,
  // `*out_size` is the size of the plaintext. On kNoKeyOpens (wrong padding),
  // kCryptoFailed or kStopped it is 0, and `out` is wiped.
  Status Open(TokenReader *token, std::uint32_t index,
              std::span<std::uint8_t> out, std::size_t *out_size) noexcept;

  // Rotate re-encrypts `token`, which the key at `index` decrypts, with the
  // first key, the same timestamp and a new IV, and writes the new token to
  // `out`. `out` must hold RotatedSize(*token) characters; `*out_size` is how
  // many the new token has. At most one chunk of the plaintext exists at a
  // time. Returns what Open and Seal return; on any Status but kOk, `*out_size`
  // is 0.
  Status Rotate(TokenReader *token, std::uint32_t index, RandomBuffer *ivs,
                std::span<char> out, std::size_t *out_size) noexcept;
  static std::size_t RotatedSize(const TokenReader &token) noexcept {
    return TokenSize(token.ciphertext_size() - 1);
  }

 private:
  // TryKey is FindKey for one key.
  Outcome TryKey(TokenReader *token, std::uint32_t index) noexcept;
  Outcome ComputeHmac(TokenReader *token, std::uint32_t index,
                      Hmac *out) noexcept;

  std::uint32_t size_ = 0;
  bool some_share_signing_half_ = false;
  // FindKey tries the key of the last token first, because tokens of one key
  // tend to lie together. This does not change which key it finds.
  std::uint32_t last_found_ = 0;
  Algorithms algorithms_;
  std::array<PreparedKey, kMaxKeys> keys_;
};

}  // namespace fernet
