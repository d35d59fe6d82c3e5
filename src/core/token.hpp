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

// kChunkSize is how many bytes of a ciphertext are worked on at a time: whole
// AES blocks, and small enough for the first-level cache and the stack.
inline constexpr std::size_t kChunkSize = 768 * kBlockSize;

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
//
// A token of up to a chunk is decoded once, when it is loaded. A larger one is
// decoded a chunk at a time, as it is read; what is read more than once is
// decoded each time, unless KeepCiphertextIn gives it a place to stay.
class TokenReader {
 public:
  // `go_on` is asked before each chunk of a large token but the first.
  explicit TokenReader(GoOn go_on = Always) noexcept : go_on_(go_on) {}

  // Load checks `text` and remembers it. Accepted is canonical URL-safe base64
  // with the '=' at its end present or absent and ASCII white space around it.
  // On any other Status than kOk (see IsMalformedToken, and kStopped) nothing
  // else may be called.
  Outcome Load(std::span<const char> text) noexcept;

  // LoadToRead is Load for a caller that is going to read all the chunks: a
  // character in a large token that is outside the alphabet may be found by
  // ReadSigned only.
  Outcome LoadToRead(std::span<const char> text) noexcept;

  // Seconds since 1970, any 64-bit number. Not authenticated by Load.
  std::uint64_t timestamp() const noexcept;
  std::span<const std::uint8_t, kIvSize> iv() const noexcept {
    return std::span<const std::uint8_t, kHeaderSize>(header_).last<kIvSize>();
  }
  std::span<const std::uint8_t, kHmacSize> hmac() const noexcept {
    return hmac_;
  }
  // The size of the ciphertext: at least 1 and at most 16 bytes more than the
  // plaintext's.
  std::size_t ciphertext_size() const noexcept {
    return signed_size_ - kHeaderSize;
  }

  // KeepCiphertextIn has a large token decoded into `memory`, which holds
  // ciphertext_size() bytes: each chunk of it is the `memory` at its place. So
  // it can be decrypted there, after which it cannot be read again. Call it
  // before the first chunk is read.
  void KeepCiphertextIn(std::span<std::uint8_t> memory) noexcept;

  // The signed part, everything before the HMAC, is read in chunk_count()
  // chunks, in order. All but the last have kChunkSize bytes of ciphertext;
  // before the first comes the header, in a chunk of its own or with it. A
  // chunk is valid until the next one is read.
  std::size_t chunk_count() const noexcept {
    return is_large() ? 1 + (ciphertext_size() + kChunkSize - 1) / kChunkSize
                      : 1;
  }
  // ReadSigned stores the chunk at `index` in `*out_chunk`. Returns
  // kTokenBadCharacter only after LoadToRead, or kStopped.
  Outcome ReadSigned(std::size_t index,
                     std::span<const std::uint8_t> *out_chunk) noexcept;
  // ReadCiphertext is ReadSigned without the header: whole AES blocks, perhaps
  // none.
  Outcome ReadCiphertext(std::size_t index,
                         std::span<const std::uint8_t> *out_chunk) noexcept;
  // The last block of the ciphertext, and the one before it or the IV: what
  // CBC needs to decrypt the end alone. Not to be called once a ciphertext
  // that is kept was decrypted in its place.
  using Block = std::array<std::uint8_t, kBlockSize>;
  void LastBlock(Block *previous, Block *last) const noexcept;

 private:
  bool is_large() const noexcept { return size_ > kBufferSize; }
  Outcome LoadSmall(bool padding_is_wrong) noexcept;
  Outcome LoadLarge(bool padding_is_wrong) noexcept;
  Outcome CheckStructure(bool padding_is_wrong, std::uint8_t version) noexcept;
  Outcome CheckCharacters() noexcept;
  // DecodeAt decodes `out.size()` bytes from any byte `from`. Returns what
  // base64url::Decode does, counted from the start of digits_.
  std::size_t DecodeAt(std::size_t from,
                       std::span<std::uint8_t> out) const noexcept;

  static constexpr std::size_t kBufferSize =
      kHeaderSize + kChunkSize + kHmacSize;

  GoOn go_on_;
  std::span<const char> digits_;
  std::size_t start_;        // of digits_ in the text
  std::size_t size_;         // of the whole token in bytes
  std::size_t signed_size_;  // of the part before the HMAC
  std::array<std::uint8_t, kHeaderSize> header_;
  Hmac hmac_;
  // Where a large token's ciphertext is kept, if it is, and how much is there.
  std::span<std::uint8_t> kept_;
  std::size_t kept_size_;
  // A small token, or a chunk of a large one.
  std::array<std::uint8_t, kBufferSize> buffer_;
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
