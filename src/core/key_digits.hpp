// The base64url of keys, without a branch or an address that depends on them.
// That of tokens, which are public, is in base64url.hpp and is faster.
// Private to src/core.
#pragma once

#include <cstdint>
#include <span>

#include "core/key.hpp"

namespace fernet {

// kKeyDigits is the number of digits of a key, without the '='.
inline constexpr std::size_t kKeyDigits = kEncodedKeySize - 1;

// EncodeKey writes the text of `key`, with the '='.
void EncodeKey(std::span<const std::uint8_t, kKeySize> key,
               std::span<char, kEncodedKeySize> out) noexcept;

// DecodeKey reads `digits` into `out`. It returns whether all of them are in
// the alphabet and the last one has no bits beyond the key; if not, `out` holds
// something else.
bool DecodeKey(std::span<const char, kKeyDigits> digits,
               std::span<std::uint8_t, kKeySize> out) noexcept;

}  // namespace fernet
