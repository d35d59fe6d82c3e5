#pragma once

#include <cstdint>
#include <span>

namespace fernet {

// LikelyCause is what has probably happened to a value that is not a token.
enum class LikelyCause : std::uint8_t {
  kPlaintext,         // nothing points to a token: it was never encrypted
  kEmpty,             // nothing but white space
  kTruncated,         // a token that was cut, as by a varchar(n)
  kDamaged,           // a token with a character that does not belong in it
  kWhiteSpaceInside,  // a token broken into lines, or with spaces in it
  kStandardAlphabet,  // '+' and '/' in place of '-' and '_'
  kUrlEncoded,        // "%3D" in place of '='
  kBase64Twice,       // base64 of the token
  kHex,               // "\x" and the hexadecimal digits of the token: bytea
                      // written as text
  kQuoted,            // between quotes, as a JSON string
  kBytesLiteral,      // b'...', as Python prints bytes
  kFernetPrefix,      // "fernet:" before it
  kEncFernetPrefix,   // "enc:fernet:" and a key id before its base64
  kEncryptedPrefix,   // "$encrypted$": Fernet256, a format of its own
  kKey,               // a Fernet key
};

// DiagnoseNonToken guesses the cause for a `value` that TokenReader::Load has
// refused. It needs no key and looks at the form only; kPlaintext is what it
// says when it knows nothing better.
LikelyCause DiagnoseNonToken(std::span<const char> value) noexcept;

// IsNoTraceOfToken says whether a value that `cause` was found for may be taken
// for a plaintext. All others hold a token in some form, or what is left of
// one, and must not be encrypted as if it were none.
constexpr bool IsNoTraceOfToken(LikelyCause cause) noexcept {
  return cause == LikelyCause::kPlaintext || cause == LikelyCause::kEmpty ||
         cause == LikelyCause::kKey || cause == LikelyCause::kEncryptedPrefix;
}

}  // namespace fernet
