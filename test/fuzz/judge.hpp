// What the contract says about a text, computed the plain way: bit by bit, and
// without any code of the core. The fuzzers compare the core with it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/status.hpp"
#include "fuzz/fuzz.hpp"

namespace fernet::fuzz {

inline constexpr std::string_view kAsciiSpace = " \t\n\v\f\r";

std::string_view Trim(std::string_view text);

// DigitValue is the value of a digit of base64url, or -1.
int DigitValue(char c);

// FirstBadDigit is the offset of the first character that is not a digit, or
// the size of `text`.
std::size_t FirstBadDigit(std::string_view text);

// DecodeBits is the whole bytes in `digits`. HasSpareBits says whether a bit
// after them is not zero.
Bytes DecodeBits(std::string_view digits);
bool HasSpareBits(std::string_view digits);

// EncodeBits is base64url with padding.
std::string EncodeBits(View bytes);

// WithoutEquals is `text` without the '=' at its end: at most two are removed.
std::string_view WithoutEquals(std::string_view text);

// JudgedToken is what TokenReader::Load should return, and the bytes of the
// whole token if it should accept the text.
struct JudgedToken {
  Outcome outcome;
  Bytes bytes;

  View signed_part() const { return View(bytes).first(bytes.size() - 32); }
  View ciphertext() const { return signed_part().subspan(25); }
  View iv() const { return View(bytes).subspan(9, 16); }
  View hmac() const { return View(bytes).last(32); }
  std::uint64_t timestamp() const {
    return Input(View(bytes).subspan(1)).Number(8);
  }
};
JudgedToken JudgeToken(std::string_view text);

// JudgeKey is what ParseKey should return, JudgeKeys what KeyList::Parse should
// return, with the bytes of the keys if they should accept the text.
Outcome JudgeKey(std::string_view text);
struct JudgedKeys {
  Outcome outcome;
  std::vector<Bytes> keys;
};
JudgedKeys JudgeKeys(std::string_view text);

}  // namespace fernet::fuzz
