#pragma once

#include <cstddef>
#include <cstdint>

namespace fernet {

// Status is every outcome the core can have. The words for each are in
// src/pg/report.cpp; the core itself never words anything.
enum class Status : std::uint8_t {
  kOk,

  // A key or a list of keys that cannot be used.
  kKeyMissing,           // nothing between two commas, or an empty list
  kKeyBadLength,         // neither 43 characters nor 44 with the last a '='
  kKeyBadCharacter,      // a character outside base64url
  kKeyStandardAlphabet,  // '+' or '/': base64, but not the URL-safe alphabet
  kKeyHex,               // 64 hexadecimal digits
  kKeyBase64Twice,       // base64url of the base64url of a key
  kKeyQuoted,            // a quotation mark before or after it
  kKeyTrailingBits,      // 32 bytes and then bits that should be zero
  kKeyDuplicate,         // the same 32 bytes stand earlier in the list
  kTooManyKeys,          // more than kMaxKeys

  // A value that is not a Fernet token, whatever the key.
  kTokenBadCharacter,  // a character outside base64url, or white space inside
  kTokenBadPadding,    // '=' signs that do not complete the last group of four
  kTokenBadLength,     // a number of characters that no base64 has
  kTokenTrailingBits,  // bits after the last byte that should be zero
  kTokenBadVersion,    // the first byte is not 0x80
  kTokenTooShort,      // fewer bytes than a token of an empty plaintext
  kTokenPartialBlock,  // the ciphertext is not a whole number of AES blocks

  // A token that is well formed and yet not to be opened.
  kNoKeyOpens,    // no HMAC fits, or the padding under a genuine one is wrong
  kTokenExpired,  // older than its ttl
  kTokenFromFuture,  // more than kMaxClockSkew ahead of the clock

  // libcrypto did not do its part.
  kRandomFailed,  // no random bytes
  kCryptoFailed,  // no AES-128-CBC or SHA-256, or out of memory

  // The caller's GoOn said no.
  kStopped,
};

// GoOn is asked between two chunks of a large token whether to go on: false
// ends the work with kStopped, so that a gigabyte can be interrupted.
using GoOn = bool (*)() noexcept;

inline bool Always() noexcept { return true; }

// Outcome is a Status and the place it speaks of. Nothing in it is secret.
struct [[nodiscard]] Outcome {
  Status status = Status::kOk;
  // Characters before the offending one, from the start of the value given;
  // for a key, from the start of that key. The number of characters there are
  // for kKeyBadLength. 0 where the Status names no place.
  std::size_t offset = 0;
  // Which key of the list is meant, from 1; 0 where none is.
  std::uint32_t key_position = 0;

  constexpr bool ok() const noexcept { return status == Status::kOk; }
};

// IsMalformedToken says whether `status` means "this is no Fernet token".
constexpr bool IsMalformedToken(Status status) noexcept {
  return status >= Status::kTokenBadCharacter &&
         status <= Status::kTokenPartialBlock;
}

}  // namespace fernet
