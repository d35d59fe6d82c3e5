// The layout of a token, and base64url from a table, for the implementations
// that do without the core.
#pragma once

#include <openssl/rand.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>

#include "codec.hpp"
#include "core/token.hpp"

namespace fernet::bench {

// kRoom is for the binary form of the largest token, and what vector
// instructions write beyond it.
inline constexpr std::size_t kRoom =
    kHeaderSize + CiphertextSize(kMaxPlaintext) + kHmacSize + 16;

// WriteHeader writes everything before the ciphertext.
inline void WriteHeader(std::uint64_t timestamp, Iv iv, std::uint8_t *out) {
  out[0] = kVersion;
  for (std::size_t i = 0; i < kTimestampSize; ++i) {
    out[1 + i] = static_cast<std::uint8_t>(timestamp >> (56 - 8 * i));
  }
  std::memcpy(out + 1 + kTimestampSize, iv.data(), kIvSize);
}

// WritePadded writes the header and the padded plaintext, not encrypted yet,
// and returns the size of the latter.
inline std::size_t WritePadded(View plaintext, std::uint64_t timestamp, Iv iv,
                               std::uint8_t *out) {
  WriteHeader(timestamp, iv, out);
  const std::size_t size = CiphertextSize(plaintext.size());
  const std::size_t padding = size - plaintext.size();
  std::uint8_t *const body = out + kHeaderSize;
  std::memcpy(body, plaintext.data(), plaintext.size());
  std::memset(body + plaintext.size(), static_cast<int>(padding), padding);
  return size;
}

// IvBuffer hands out IVs that OpenSSL has made 4 KiB at a time.
class IvBuffer {
 public:
  Iv Next() {
    if (next_ == bytes_.size()) {
      if (RAND_bytes(bytes_.data(), static_cast<int>(bytes_.size())) != 1) {
        throw std::runtime_error("no random bytes");
      }
      next_ = 0;
    }
    const Iv iv(bytes_.data() + next_, kIvSize);
    next_ += kIvSize;
    return iv;
  }

 private:
  std::array<std::uint8_t, 4096> bytes_;
  std::size_t next_ = bytes_.size();
};

// Digits is `token` without the '=' at its end.
inline Text Digits(Text token) {
  while (!token.empty() && token.back() == '=') {
    token = token.first(token.size() - 1);
  }
  return token;
}

namespace table_base64 {

inline constexpr char kAlphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

// kValues has the top bit set for what is not in the alphabet.
inline constexpr std::array<std::uint8_t, 256> kValues = [] {
  std::array<std::uint8_t, 256> values{};
  values.fill(0x80);
  for (std::uint8_t i = 0; i < 64; ++i) {
    values[static_cast<std::uint8_t>(kAlphabet[i])] = i;
  }
  return values;
}();

inline void Encode(const std::uint8_t *from, std::size_t size, char *to) {
  for (; size >= 3; size -= 3, from += 3, to += 4) {
    to[0] = kAlphabet[from[0] >> 2];
    to[1] = kAlphabet[(from[0] << 4 | from[1] >> 4) & 63];
    to[2] = kAlphabet[(from[1] << 2 | from[2] >> 6) & 63];
    to[3] = kAlphabet[from[2] & 63];
  }
  if (size > 0) {
    const std::uint8_t second = size == 2 ? from[1] : 0;
    to[0] = kAlphabet[from[0] >> 2];
    to[1] = kAlphabet[(from[0] << 4 | second >> 4) & 63];
    to[2] = size == 2 ? kAlphabet[second << 2 & 63] : '=';
    to[3] = '=';
  }
}

// Decode returns whether all of `size` digits were in the alphabet.
inline bool Decode(const char *digits, std::size_t size, std::uint8_t *to) {
  const auto *from = reinterpret_cast<const std::uint8_t *>(digits);
  std::uint8_t seen = 0;
  for (; size >= 4; size -= 4, from += 4, to += 3) {
    const std::uint8_t a = kValues[from[0]];
    const std::uint8_t b = kValues[from[1]];
    const std::uint8_t c = kValues[from[2]];
    const std::uint8_t d = kValues[from[3]];
    seen |= a | b | c | d;
    to[0] = static_cast<std::uint8_t>(a << 2 | b >> 4);
    to[1] = static_cast<std::uint8_t>(b << 4 | c >> 2);
    to[2] = static_cast<std::uint8_t>(c << 6 | d);
  }
  std::uint8_t last[4] = {};
  for (std::size_t i = 0; i < size; ++i) {
    last[i] = kValues[from[i]];
    seen |= last[i];
  }
  if (size >= 2) {
    to[0] = static_cast<std::uint8_t>(last[0] << 2 | last[1] >> 4);
  }
  if (size == 3) {
    to[1] = static_cast<std::uint8_t>(last[1] << 4 | last[2] >> 2);
  }
  return seen < 0x80;
}

}  // namespace table_base64

}  // namespace fernet::bench
