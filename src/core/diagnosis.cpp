#include "core/diagnosis.hpp"

#include <algorithm>
#include <string_view>

#include "core/ascii.hpp"
#include "core/base64url.hpp"
#include "core/key.hpp"

namespace fernet {
namespace {

// Every token with a timestamp before the year 2106 begins like this: the
// version byte, and the upper four bytes of the seconds since 1970.
constexpr std::string_view kTokenStart = "gAAAAA";

struct Prefix {
  std::string_view start;
  LikelyCause cause;
};

// The first prefix that fits decides.
constexpr Prefix kPrefixes[] = {
    {"\"gAAAAA", LikelyCause::kQuoted},
    {"'gAAAAA", LikelyCause::kQuoted},
    {"b'gAAAAA", LikelyCause::kBytesLiteral},  // Python's repr of bytes
    {"b\"gAAAAA", LikelyCause::kBytesLiteral},
    {"Z0FBQUFB", LikelyCause::kBase64Twice},
    {"\\x674141414141", LikelyCause::kHex},
    {"674141414141", LikelyCause::kHex},
    {"enc:fernet:", LikelyCause::kEncFernetPrefix},
    {"fernet:", LikelyCause::kFernetPrefix},
    {"$encrypted$", LikelyCause::kEncryptedPrefix},
};

bool StartsWith(std::span<const char> text, std::string_view start) noexcept {
  return text.size() >= start.size() &&
         std::equal(start.begin(), start.end(), text.begin());
}

bool Contains(std::span<const char> text, std::string_view part) noexcept {
  return std::search(text.begin(), text.end(), part.begin(), part.end()) !=
         text.end();
}

bool IsKey(std::span<const char> text) noexcept {
  Key key;
  return ParseKey(text, &key).ok();
}

bool IsDigit(char c) noexcept {
  const char digit[] = {c};
  std::uint8_t nothing = 0;
  return base64url::Decode(digit, {&nothing, 0}) == base64url::kNoOffset;
}

// DiagnoseDamage is for a value that begins like a token.
LikelyCause DiagnoseDamage(std::span<const char> token) noexcept {
  const auto digits = WithoutPadding(token);
  const auto bad = std::ranges::find_if_not(digits, IsDigit);
  if (bad == digits.end()) {
    // All characters are valid, so some are missing.
    return LikelyCause::kTruncated;
  }
  if (std::ranges::any_of(digits, IsSpace)) {
    return LikelyCause::kWhiteSpaceInside;
  }
  if (Contains(digits, "%3D") || Contains(digits, "%3d")) {
    return LikelyCause::kUrlEncoded;
  }
  const bool only_standard = std::ranges::all_of(
      digits, [](char c) { return IsDigit(c) || c == '+' || c == '/'; });
  return only_standard ? LikelyCause::kStandardAlphabet : LikelyCause::kDamaged;
}

}  // namespace

LikelyCause DiagnoseNonToken(std::span<const char> value) noexcept {
  const auto text = TrimSpace(value);
  if (text.empty()) {
    return LikelyCause::kEmpty;
  }
  for (const Prefix &prefix : kPrefixes) {
    if (StartsWith(text, prefix.start)) {
      return prefix.cause;
    }
  }
  if (StartsWith(text, kTokenStart)) {
    return DiagnoseDamage(text);
  }
  return IsKey(text) ? LikelyCause::kKey : LikelyCause::kPlaintext;
}

}  // namespace fernet
