#pragma once

#include <cstddef>
#include <cstdint>

namespace fernet {

// Status is every outcome the core can have. src/pg/report/report.cpp has the
// message for each; the core has no messages.
enum class Status : std::uint8_t {
  kOk,

  // A key or a list of keys that cannot be used.
  kKeyMissing,           // nothing between two commas, or an empty list
  kKeyBadLength,         // neither 43 characters nor 44 that end in '='
  kKeyBadCharacter,      // a character outside base64url
  kKeyStandardAlphabet,  // '+' or '/': base64, but not the URL-safe alphabet
  kKeyHex,               // 64 hexadecimal digits
  kKeyBase64Twice,       // base64url of the base64url of a key
  kKeyQuoted,            // a quotation mark before or after it
  kKeyByteOrderMark,     // the bytes EF BB BF before it
  kKeyBytesLiteral,      // b' or b" before it, as Python prints bytes
  kKeyAssignment,        // a name and a '=' or ':' before it
  kKeyUnusualSpace,      // a white space that is not ASCII before or after it
  kKeyTrailingBits,      // 32 bytes and then bits that should be zero
  kKeyDuplicate,         // the same 32 bytes are earlier in the list
  kTooManyKeys,          // more than kMaxKeys

  // A value that is not a Fernet token, whatever the key.
  kTokenBadCharacter,  // a character outside base64url, or white space inside
  kTokenBadPadding,    // '=' signs that do not complete the last group of four
  kTokenBadLength,     // no base64 text has this number of characters
  kTokenTrailingBits,  // bits after the last byte that should be zero
  kTokenBadVersion,    // the first byte is not 0x80
  kTokenTooShort,      // fewer bytes than a token of an empty plaintext
  kTokenPartialBlock,  // the ciphertext is not a whole number of AES blocks

  // A well-formed token that is refused.
  kNoKeyOpens,       // no HMAC fits, or one fits and the padding is wrong
  kTokenExpired,     // older than its ttl
  kTokenFromFuture,  // more than kMaxClockSkew ahead of the clock

  // More in a value looks like a token than there is time to try.
  kTooManyCandidates,

  // libcrypto failed.
  kRandomFailed,  // no random bytes
  kCryptoFailed,  // no AES-128-CBC or SHA-256, or out of memory

  // The caller's GoOn returned false.
  kStopped,
};

// GoOn is called between two chunks of a large token and says whether to go on.
// False ends the work with kStopped, so that a gigabyte can be interrupted.
using GoOn = bool (*)() noexcept;

inline bool Always() noexcept { return true; }

// Outcome is a Status and the place it is about. Nothing in it is secret. It is
// returned in registers: in memory, it would cost a token a tenth of its time.
struct [[nodiscard]] Outcome {
  Status status = Status::kOk;
  // The position of the key in the list, from 1; 0 where the Status is not
  // about a key.
  std::uint32_t key_position = 0;
  // The number of characters before the wrong one, from the start of the value,
  // or of the key. For kKeyBadLength, the number of characters of the key. 0
  // where the Status has no place.
  std::size_t offset = 0;

  constexpr bool ok() const noexcept { return status == Status::kOk; }
};
static_assert(sizeof(void *) < 8 || sizeof(Outcome) <= 16);

// IsMalformedToken says whether `status` means "this is no Fernet token".
constexpr bool IsMalformedToken(Status status) noexcept {
  return status >= Status::kTokenBadCharacter &&
         status <= Status::kTokenPartialBlock;
}

}  // namespace fernet
