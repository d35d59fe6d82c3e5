#pragma once

#include <cstdint>
#include <span>

namespace fernet {

// LikelyCause says what has probably happened to a value that is not a token.
enum class LikelyCause : std::uint8_t {
  kPlaintext,         // no sign of a token: it was never encrypted
  kEmpty,             // nothing but white space
  kTruncated,         // a token that was cut, for example by a varchar(n)
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

// DiagnoseNonToken guesses why `value`, which TokenReader::Load has refused, is
// not a token. It needs no key and looks only at the form. When nothing else
// fits, it returns kPlaintext.
LikelyCause DiagnoseNonToken(std::span<const char> value) noexcept;

// IsNoTraceOfToken says whether a value with this `cause` may be taken for a
// plaintext. A value with any other cause holds a token in some form, or a part
// of one, and must not be encrypted as a plaintext.
constexpr bool IsNoTraceOfToken(LikelyCause cause) noexcept {
  return cause == LikelyCause::kPlaintext || cause == LikelyCause::kEmpty ||
         cause == LikelyCause::kKey || cause == LikelyCause::kEncryptedPrefix;
}

}  // namespace fernet
