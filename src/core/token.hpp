// The layout of a token, and how one is taken apart before any key is used.
//
//   version 0x80 | timestamp, 8 bytes big-endian | IV, 16 | ciphertext | HMAC,
//   32
//
// all of it in URL-safe base64. Source: Fernet spec, section "Token Format".
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/base64url.hpp"
#include "core/crypto.hpp"
#include "core/status.hpp"

namespace fernet {

inline constexpr std::uint8_t kVersion = 0x80;
inline constexpr std::size_t kTimestampSize = 8;
inline constexpr std::size_t kHeaderSize = 1 + kTimestampSize + kIvSize;

// kChunkSize is how many bytes of a token are worked on at a time: whole
// groups of base64 and whole AES blocks, and small enough for the first-level
// cache and the stack.
inline constexpr std::size_t kChunkSize = 256 * 48;

// CiphertextSize is the size of `plaintext_size` bytes with PKCS #7 padding,
// which is never empty.
constexpr std::size_t CiphertextSize(std::size_t plaintext_size) noexcept {
  return (plaintext_size / kBlockSize + 1) * kBlockSize;
}

// TokenSize is the number of characters, padding included, of the token of
// `plaintext_size` bytes.
constexpr std::size_t TokenSize(std::size_t plaintext_size) noexcept {
  return base64url::EncodedSize(kHeaderSize + CiphertextSize(plaintext_size) +
                                kHmacSize);
}

// MaxPlaintextSize is the largest plaintext whose token has at most
// `token_size` characters; `token_size` is at least TokenSize(0).
constexpr std::size_t MaxPlaintextSize(std::size_t token_size) noexcept {
  const std::size_t binary = token_size / 4 * 3;
  return (binary - kHeaderSize - kHmacSize) / kBlockSize * kBlockSize - 1;
}

// TokenReader checks the structure of a token and hands out its parts. It
// borrows the text, allocates nothing, and holds nothing secret.
class TokenReader {
 public:
  TokenReader() noexcept {}  // NOLINT: buffers stay uninitialized on purpose

  // Load checks `text` and remembers it. Accepted is canonical URL-safe base64
  // with the '=' at its end present or absent and ASCII white space around it.
  // On any other Status than kOk (see IsMalformedToken) nothing else may be
  // called.
  Outcome Load(std::span<const char> text) noexcept;

  // Seconds since 1970, any 64-bit number. Not authenticated by Load.
  std::uint64_t timestamp() const noexcept;
  std::span<const std::uint8_t, kIvSize> iv() const noexcept;
  std::span<const std::uint8_t, kHmacSize> hmac() const noexcept {
    return hmac_;
  }
  // The size of the ciphertext: at least 1 and at most 16 bytes more than the
  // plaintext's.
  std::size_t ciphertext_size() const noexcept {
    return signed_size_ - kHeaderSize;
  }

  // The signed part, everything before the HMAC, is read in chunk_count()
  // chunks of kChunkSize bytes, of which the last may be smaller. A chunk is
  // valid until the next call; the first of a small token is decoded once.
  std::size_t chunk_count() const noexcept {
    return (signed_size_ + kChunkSize - 1) / kChunkSize;
  }
  std::span<const std::uint8_t> SignedChunk(std::size_t index) noexcept;
  // The ciphertext among SignedChunk(index).
  std::span<const std::uint8_t> CiphertextChunk(std::size_t index) noexcept;
  // The last block of the ciphertext, and the one before it or the IV: what
  // CBC needs to decrypt the end alone.
  using Block = std::array<std::uint8_t, kBlockSize>;
  void LastBlock(Block *previous, Block *last) const noexcept;

 private:
  Outcome CheckCharacters() noexcept;
  // DecodeAt decodes `out.size()` bytes from byte `from`, a multiple of 3.
  // Returns what base64url::Decode does, counted from the start of digits_.
  std::size_t DecodeAt(std::size_t from,
                       std::span<std::uint8_t> out) const noexcept;
  // CopyAt copies `out.size()` bytes, at most 64, from any byte `from`.
  void CopyAt(std::size_t from, std::span<std::uint8_t> out) const noexcept;

  std::span<const char> digits_;
  std::size_t size_;         // of the whole token in bytes
  std::size_t signed_size_;  // of the part before the HMAC
  std::size_t loaded_;       // the index of the chunk that chunk_ holds
  std::array<std::uint8_t, kHeaderSize> header_;
  Hmac hmac_;
  std::array<std::uint8_t, kChunkSize> chunk_;
};

// The clock skew Python's `cryptography` allows: a token is from the future
// when its timestamp is more than this many seconds ahead.
inline constexpr std::uint64_t kMaxClockSkew = 60;

// JudgeAge says whether a token of `timestamp` is good at `now` with a ttl of
// `ttl_seconds`: kTokenExpired if timestamp + ttl < now, kTokenFromFuture if
// now + 60 < timestamp, else kOk. All three are seconds, `timestamp` and `now`
// since 1970; nothing overflows, whatever they are.
//
// Source: Fernet spec, section "Verifying", steps 2 and 3.
Status JudgeAge(std::uint64_t timestamp, std::uint64_t ttl_seconds,
                std::int64_t now) noexcept;

}  // namespace fernet
