// The layout of a token, and the reader that takes one apart before a key is
// used.
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

// kChunkSize is how many bytes of ciphertext are processed at a time: whole AES
// blocks, small enough for the first-level cache and the stack.
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
// borrows the text, allocates nothing and holds nothing secret.
//
// A token of up to one chunk is decoded once, by Load. A larger one is decoded
// chunk by chunk while it is read, and again each time it is read, unless
// KeepCiphertextIn gives it memory to keep the ciphertext in.
class TokenReader {
 public:
  // `go_on` is called before each chunk of a large token but the first.
  explicit TokenReader(GoOn go_on = Always) noexcept : go_on_(go_on) {}

  // Load checks `text` and remembers it. It accepts canonical URL-safe base64,
  // with or without the '=' at the end, with ASCII white space around it. On
  // any Status but kOk (see IsMalformedToken, and kStopped) nothing else may be
  // called.
  Outcome Load(std::span<const char> text) noexcept;

  // LoadToRead is Load for a caller that will read all the chunks: in a large
  // token, only ReadSigned may find a character outside the alphabet.
  Outcome LoadToRead(std::span<const char> text) noexcept;

  // Seconds since 1970, any 64-bit number. Load does not authenticate it.
  std::uint64_t timestamp() const noexcept;
  std::span<const std::uint8_t, kIvSize> iv() const noexcept {
    return header().last<kIvSize>();
  }
  std::span<const std::uint8_t, kHmacSize> hmac() const noexcept {
    return std::span<const std::uint8_t, kHmacSize>(
        is_large() ? hmac_.data() : buffer_.data() + signed_size_, kHmacSize);
  }
  // The size of the ciphertext: 1 to 16 bytes more than the plaintext.
  std::size_t ciphertext_size() const noexcept {
    return signed_size_ - kHeaderSize;
  }

  // KeepCiphertextIn makes a large token decode its ciphertext into `memory`,
  // which holds ciphertext_size() bytes: each chunk is then a part of `memory`.
  // The caller may decrypt it in place; after that it cannot be read again.
  // Call it before the first chunk is read.
  void KeepCiphertextIn(std::span<std::uint8_t> memory) noexcept;

  // The signed part is everything before the HMAC. It is read in chunk_count()
  // chunks, in order. All but the last have kChunkSize bytes of ciphertext; the
  // header comes first, in a chunk of its own or with the first ciphertext. A
  // chunk is valid until the next one is read.
  std::size_t chunk_count() const noexcept {
    return is_large() ? 1 + (ciphertext_size() + kChunkSize - 1) / kChunkSize
                      : 1;
  }
  // ReadSigned stores the chunk at `index` in `*out_chunk`. Returns
  // kTokenBadCharacter only after LoadToRead, or kStopped.
  Outcome ReadSigned(std::size_t index,
                     std::span<const std::uint8_t> *out_chunk) noexcept {
    if (is_large()) {
      return ReadLarge(index, out_chunk);
    }
    *out_chunk = std::span(buffer_).first(signed_size_);
    return {};
  }
  // ReadCiphertext is ReadSigned without the header: whole AES blocks, or none.
  Outcome ReadCiphertext(std::size_t index,
                         std::span<const std::uint8_t> *out_chunk) noexcept {
    const Outcome outcome = ReadSigned(index, out_chunk);
    if (outcome.ok() && index == 0) {
      *out_chunk = out_chunk->subspan(kHeaderSize);
    }
    return outcome;
  }
  // LastBlock stores the last block of the ciphertext and the one before it, or
  // the IV: CBC needs both to decrypt the end alone. Do not call it after a
  // kept ciphertext was decrypted in place.
  using Block = std::array<std::uint8_t, kBlockSize>;
  void LastBlock(Block *previous, Block *last) const noexcept;

 private:
  bool is_large() const noexcept { return size_ > kBufferSize; }
  std::span<const std::uint8_t, kHeaderSize> header() const noexcept {
    return std::span<const std::uint8_t, kHeaderSize>(
        is_large() ? header_.data() : buffer_.data(), kHeaderSize);
  }
  Outcome LoadSmall(bool padding_is_wrong) noexcept;
  Outcome LoadLarge(bool padding_is_wrong) noexcept;
  Outcome ReadLarge(std::size_t index,
                    std::span<const std::uint8_t> *out_chunk) noexcept;
  Outcome CheckStructure(bool padding_is_wrong, std::uint8_t version) noexcept;
  Outcome CheckCharacters() noexcept;
  // DecodeAt decodes `out.size()` bytes from byte `from` on. Returns what
  // base64url::Decode returns, counted from the start of digits_.
  std::size_t DecodeAt(std::size_t from,
                       std::span<std::uint8_t> out) const noexcept;

  static constexpr std::size_t kBufferSize =
      kHeaderSize + kChunkSize + kHmacSize;

  GoOn go_on_;
  std::span<const char> digits_;
  std::size_t start_;        // of digits_ in the text
  std::size_t size_;         // of the whole token in bytes
  std::size_t signed_size_;  // of the part before the HMAC
  // Those of a large token, whose buffer holds one chunk after the other.
  std::array<std::uint8_t, kHeaderSize> header_;
  Hmac hmac_;
  // The memory that keeps a large token's ciphertext, if any, and how much is
  // in it.
  std::span<std::uint8_t> kept_;
  std::size_t kept_size_;
  // A small token, or a chunk of a large one.
  std::array<std::uint8_t, kBufferSize> buffer_;
};

// kMaxClockSkew is the clock skew that Python's `cryptography` allows: a token
// is from the future when its timestamp is more than this many seconds ahead.
inline constexpr std::uint64_t kMaxClockSkew = 60;

// JudgeAge says whether a token with `timestamp` is valid at `now` with a ttl
// of `ttl_seconds`: kTokenExpired if timestamp + ttl < now, kTokenFromFuture if
// now + 60 < timestamp, else kOk. All three are seconds, `timestamp` and `now`
// since 1970. No value makes it overflow.
//
// Source: Fernet spec, section "Verifying", steps 2 and 3.
Status JudgeAge(std::uint64_t timestamp, std::uint64_t ttl_seconds,
                std::int64_t now) noexcept;

}  // namespace fernet
