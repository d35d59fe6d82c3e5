// Keys that other programs derive from a secret, to read what they have
// written. Such a key is only as strong as its secret; use GenerateKey for a
// new one.
#pragma once

#include <cstdint>
#include <span>

#include "core/key.hpp"

namespace fernet {

// Each of these writes the key to `out`, as text. On kCryptoFailed, when
// OpenSSL lacks the algorithm or is out of memory, `out` is wiped.

// DeriveByHkdf is HKDF with SHA-256; `salt` and `info` may be empty.
//
// Source: RFC 5869.
Status DeriveByHkdf(std::span<const std::uint8_t> secret,
                    std::span<const std::uint8_t> salt,
                    std::span<const std::uint8_t> info,
                    std::span<char, kEncodedKeySize> out) noexcept;

// DeriveByPbkdf2 is PBKDF2 with HMAC-SHA256 and `iterations`, at least 1. It
// asks `go_on` after every 4096 of them, which take about a millisecond, and
// returns kStopped, with `out` wiped, when that says no. OpenSSL's own PBKDF2
// cannot be stopped.
//
// Source: RFC 8018, section 5.2, for a key of one block.
Status DeriveByPbkdf2(std::span<const std::uint8_t> secret,
                      std::span<const std::uint8_t> salt,
                      std::uint32_t iterations, GoOn go_on,
                      std::span<char, kEncodedKeySize> out) noexcept;

// DeriveBySha256 is SHA-256 of `secret`.
Status DeriveBySha256(std::span<const std::uint8_t> secret,
                      std::span<char, kEncodedKeySize> out) noexcept;

}  // namespace fernet
