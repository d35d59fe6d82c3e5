// Keys and lists of keys. A key is 32 bytes; its text is URL-safe base64.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/secret.hpp"
#include "core/status.hpp"

namespace fernet {

inline constexpr std::size_t kKeySize = 32;
inline constexpr std::size_t kEncodedKeySize = 44;
inline constexpr std::uint32_t kMaxKeys = 64;

// Key is one Fernet key. Its first half signs, its second half encrypts.
//
// Source: Fernet spec, section "Key Format".
class Key {
 public:
  std::span<std::uint8_t, kKeySize> mutable_bytes() noexcept {
    return bytes_.mutable_bytes();
  }
  std::span<const std::uint8_t, kKeySize> bytes() const noexcept {
    return bytes_.bytes();
  }
  std::span<const std::uint8_t, 16> signing_half() const noexcept {
    return bytes().first<16>();
  }
  std::span<const std::uint8_t, 16> encryption_half() const noexcept {
    return bytes().last<16>();
  }
  void Wipe() noexcept { bytes_.Wipe(); }

 private:
  SecretBytes<kKeySize> bytes_;
};

// KeyList is up to kMaxKeys keys in the order they were given: the first
// encrypts, all decrypt. It allocates nothing and wipes itself.
class KeyList {
 public:
  std::span<const Key> keys() const noexcept {
    return std::span(keys_).first(size_);
  }

  // Parse replaces the list by the keys in `text`: separated by commas, with
  // ASCII white space around each ignored, each 44 characters of URL-safe
  // base64 or 43 without the '='. On any Status but kOk the list is empty and
  // wiped, and the Outcome's key_position says which key is wrong.
  Outcome Parse(std::span<const char> text) noexcept;

  void Wipe() noexcept;

 private:
  Outcome ParseNext(std::span<const char> text) noexcept;

  std::uint32_t size_ = 0;
  std::array<Key, kMaxKeys> keys_;
};

// ParseKey reads one key from `text`, white space already removed, into
// `*out`. On any Status but kOk, `*out` is wiped. The Status names the common
// mistakes: hexadecimal digits, base64 applied twice, the standard alphabet,
// and what surrounds the key.
Outcome ParseKey(std::span<const char> text, Key *out) noexcept;

// GenerateKey writes a new key to `out`, as text. When OpenSSL's private random
// generator fails, it returns kRandomFailed and wipes `out`.
Status GenerateKey(std::span<char, kEncodedKeySize> out) noexcept;

// FingerprintText is 16 lower-case hexadecimal digits and a terminating NUL.
using FingerprintText = std::array<char, 17>;

// Fingerprint names `key` without revealing it: the first 8 bytes of
// HMAC-SHA256 with the whole key over a fixed text. Returns kCryptoFailed, and
// an empty text, when OpenSSL cannot compute it.
//
// Source: the extension's contract, section 4; RFC 2104.
Status Fingerprint(const Key &key, FingerprintText *out) noexcept;

}  // namespace fernet
