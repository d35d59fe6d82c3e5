// Strict base64url (RFC 4648, section 5): the decoder accepts only what the
// encoder writes, with or without the '=' at the end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace fernet::base64url {

// EncodedSize is the number of characters, '=' included, of `size` bytes.
constexpr std::size_t EncodedSize(std::size_t size) noexcept {
  return size / 3 * 4 + (size % 3 == 0 ? 0 : 4);
}

// DecodedSize is the number of bytes of `digits` characters without '='.
// 4n+1 characters are never valid; DecodedSize rounds them down.
constexpr std::size_t DecodedSize(std::size_t digits) noexcept {
  return digits / 4 * 3 + digits % 4 * 3 / 4;
}

// Encode writes the EncodedSize(in.size()) characters of `in`, padded, to the
// start of `out`, which must be that large.
void Encode(std::span<const std::uint8_t> in, std::span<char> out) noexcept;

// kNoOffset: Decode returns it when every character is in the alphabet.
inline constexpr std::size_t kNoOffset = static_cast<std::size_t>(-1);

// Decode reads `digits`, the characters without '=', into `out`, which must be
// DecodedSize(digits.size()) large. It returns the offset of the first
// character outside the alphabet, or kNoOffset. It ignores the bits after the
// last byte: see HasTrailingBits.
std::size_t Decode(std::span<const char> digits,
                   std::span<std::uint8_t> out) noexcept;

// HasTrailingBits says whether the last of `digits` holds bits that belong to
// no byte and are not zero. If it does, another text decodes to the same bytes.
//
// Source: RFC 4648, section 3.5, "Canonical Encoding".
bool HasTrailingBits(std::span<const char> digits) noexcept;

}  // namespace fernet::base64url
