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

// Keyring is a list of keys ready for use: the first seals, all open. What a
// key needs is prepared once, in Prepare. One token at a time: a Keyring keeps
// the state of the token it works on, and is not for several threads.
//
// Source: Fernet spec, sections "Generating" and "Verifying"; MultiFernet of
// Python's `cryptography` for several keys.
class Keyring {
 public:
  constexpr Keyring() noexcept = default;

  // Prepare makes the keyring hold `keys` in their order. On kCryptoFailed (a
  // provider without AES-128-CBC or SHA-256, or no memory) it is empty.
  Status Prepare(std::span<const Key> keys) noexcept;
  // Clear forgets every key. The contexts are wiped by OpenSSL.
  void Clear() noexcept;

  std::uint32_t size() const noexcept { return size_; }

  // Seal writes the token of `plaintext` under the first key to the first
  // TokenSize(plaintext.size()) characters of `out`. The two may not overlap.
  // Returns kRandomFailed, kCryptoFailed or kStopped; `out` then holds no
  // token.
  Status Seal(std::span<const std::uint8_t> plaintext, std::uint64_t timestamp,
              RandomBuffer *ivs, std::span<char> out,
              GoOn go_on = Always) noexcept;

  // SealWithIv is Seal with an IV of the caller's choice. Only for the
  // specification's vectors: an IV that is used twice tells plaintexts apart.
  Status SealWithIv(std::span<const std::uint8_t> plaintext,
                    std::uint64_t timestamp,
                    std::span<const std::uint8_t, kIvSize> iv,
                    std::span<char> out) noexcept;

  // FindKey finds the key whose HMAC `token` carries, in constant time for
  // each, and stores its index, from 0. Returns kNoKeyOpens, kCryptoFailed, or
  // what TokenReader::ReadSigned does. It does not decrypt, but among keys that
  // share a signing half it is the padding that tells, as it does in
  // MultiFernet: see CheckPadding.
  Outcome FindKey(TokenReader *token, std::uint32_t *out_index) noexcept;

  // CheckPadding says whether Open would succeed under the key that FindKey
  // found, by decrypting the last block alone. Returns kNoKeyOpens if not:
  // a caller learns nothing from the padding.
  Status CheckPadding(const TokenReader &token, std::uint32_t index) noexcept;

  // Open decrypts `token` under the key that FindKey found for it into `out`,
  // which must hold token->ciphertext_size() bytes; if the token keeps its
  // ciphertext, this is where. On kOk, `*out_size` is the size of the
  // plaintext. On kNoKeyOpens (wrong padding), kCryptoFailed or kStopped it is
  // 0, and `out` is wiped.
  Status Open(TokenReader *token, std::uint32_t index,
              std::span<std::uint8_t> out, std::size_t *out_size) noexcept;

  // Rotate writes the plaintext of `token`, which the key at `index` opens,
  // sealed under the first key with the same timestamp and a new IV, to `out`.
  // `out` must hold RotatedSize(*token) characters; `*out_size` is how many
  // the new token has. At most one chunk of the plaintext exists at a time.
  // Returns what Open and Seal do; `*out_size` is 0 then.
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
  // The key that opened the last token is tried first: tokens of one key tend
  // to lie together. Which key opens a token does not depend on it.
  std::uint32_t last_found_ = 0;
  Algorithms algorithms_;
  std::array<PreparedKey, kMaxKeys> keys_;
};

}  // namespace fernet
