#include "fuzz/judge.hpp"

#include <algorithm>
#include <array>
#include <cctype>

namespace fernet::fuzz {

std::string_view Trim(std::string_view text) {
  const std::size_t from = text.find_first_not_of(kAsciiSpace);
  if (from == std::string_view::npos) {
    return text.substr(0, 0);
  }
  return text.substr(from, text.find_last_not_of(kAsciiSpace) + 1 - from);
}

namespace {

constexpr std::string_view kDigits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

// A table, because otherwise the fuzzers would spend most of their time here.
constexpr std::array<std::int8_t, 256> kValues = [] {
  std::array<std::int8_t, 256> values{};
  for (std::size_t c = 0; c < values.size(); ++c) {
    const std::size_t at = kDigits.find(static_cast<char>(c));
    values[c] =
        at == kDigits.npos ? std::int8_t{-1} : static_cast<std::int8_t>(at);
  }
  return values;
}();

}  // namespace

int DigitValue(char c) { return kValues[static_cast<std::uint8_t>(c)]; }

std::size_t FirstBadDigit(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size() && DigitValue(text[at]) >= 0) {
    ++at;
  }
  return at;
}

Bytes DecodeBits(std::string_view digits) {
  Bytes bytes(digits.size() * 6 / 8);
  auto to = bytes.begin();
  unsigned buffer = 0;
  int bits = 0;
  for (const char digit : digits) {
    buffer = buffer << 6 | static_cast<unsigned>(DigitValue(digit));
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      *to++ = static_cast<std::uint8_t>(buffer >> bits);
    }
  }
  return bytes;
}

bool HasSpareBits(std::string_view digits) {
  const int value = digits.empty() ? 0 : DigitValue(digits.back());
  return digits.size() % 4 == 2   ? value % 16 != 0
         : digits.size() % 4 == 3 ? value % 4 != 0
                                  : false;
}

std::string EncodeBits(View bytes) {
  std::string text((bytes.size() + 2) / 3 * 4, '=');
  auto to = text.begin();
  unsigned buffer = 0;
  int bits = 0;
  for (const std::uint8_t byte : bytes) {
    buffer = buffer << 8 | byte;
    bits += 8;
    while (bits >= 6) {
      bits -= 6;
      *to++ = kDigits[buffer >> bits & 63];
    }
  }
  if (bits > 0) {
    *to = kDigits[buffer << (6 - bits) & 63];
  }
  return text;
}

std::string_view WithoutEquals(std::string_view text) {
  for (int i = 0; i < 2 && text.ends_with('='); ++i) {
    text.remove_suffix(1);
  }
  return text;
}

JudgedToken JudgeToken(std::string_view text) {
  const std::string_view trimmed = Trim(text);
  const std::string_view digits = WithoutEquals(trimmed);
  const auto start = static_cast<std::size_t>(trimmed.data() - text.data());
  const std::size_t bad = FirstBadDigit(digits);
  if (bad != digits.size()) {
    return {{.status = Status::kTokenBadCharacter, .offset = start + bad}, {}};
  }
  if (digits.size() % 4 == 1) {
    return {{Status::kTokenBadLength}, {}};
  }
  if (trimmed != digits && trimmed.size() % 4 != 0) {
    return {
        {.status = Status::kTokenBadPadding, .offset = start + digits.size()},
        {}};
  }
  if (HasSpareBits(digits)) {
    return {{.status = Status::kTokenTrailingBits,
             .offset = start + digits.size() - 1},
            {}};
  }
  Bytes bytes = DecodeBits(digits);
  if (bytes.empty()) {
    return {{Status::kTokenTooShort}, {}};
  }
  if (bytes[0] != 0x80) {
    return {{Status::kTokenBadVersion}, {}};
  }
  // Version, time, IV, one block, HMAC.
  if (bytes.size() < 1 + 8 + 16 + 16 + 32) {
    return {{Status::kTokenTooShort}, {}};
  }
  if ((bytes.size() - 1 - 8 - 16 - 32) % 16 != 0) {
    return {{Status::kTokenPartialBlock}, {}};
  }
  return {{}, std::move(bytes)};
}

namespace {

bool IsHex(std::string_view text) {
  return std::ranges::all_of(
      text, [](unsigned char c) { return std::isxdigit(c) != 0; });
}

// IsKeyTwice says whether `text` is base64 of the text of a key, perhaps with a
// line end after it.
bool IsKeyTwice(std::string_view text) {
  const std::string_view digits = WithoutEquals(text);
  if (FirstBadDigit(digits) != digits.size()) {
    return false;
  }
  const Bytes bytes = DecodeBits(digits);
  return bytes.size() >= 43 && bytes.size() <= 46 &&
         JudgeKey(Trim(AsText(bytes))).ok();
}

bool IsQuoted(std::string_view text) {
  constexpr std::string_view kQuotes = "\"'";
  return !text.empty() && (kQuotes.find(text.front()) != kQuotes.npos ||
                           kQuotes.find(text.back()) != kQuotes.npos);
}

// Around is what stands around a key that is neither hexadecimal nor encoded
// twice.
Status Around(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) {
    return Status::kKeyByteOrderMark;
  }
  for (const std::string_view space :
       {"\xc2\xa0", "\xe2\x80\xaf", "\xe2\x80\x89", "\xe2\x80\xa8",
        "\xe3\x80\x80", "\xe2\x80\x8b", "\xe2\x81\xa0", "\xef\xbb\xbf"}) {
    if (text.starts_with(space) || text.ends_with(space)) {
      return Status::kKeyUnusualSpace;
    }
  }
  if (text.starts_with("b'") || text.starts_with("B'") ||
      text.starts_with("b\"") || text.starts_with("B\"")) {
    return Status::kKeyBytesLiteral;
  }
  const std::size_t sign = text.substr(0, 43).find_first_of(":=");
  if (sign != text.npos) {
    constexpr std::string_view kAround = "'\" \t\n\v\f\r";
    const std::size_t first = text.find_first_not_of(kAround, sign + 1);
    const std::size_t last = text.find_last_not_of(kAround);
    if (first != text.npos && (last - first == 42 || last - first == 43)) {
      return Status::kKeyAssignment;
    }
  }
  return IsQuoted(text) ? Status::kKeyQuoted : Status::kKeyBadLength;
}

}  // namespace

Outcome JudgeKey(std::string_view text) {
  const bool padded = text.size() == 44 && text.back() == '=';
  if (text.size() != 43 && !padded) {
    const bool hex = text.size() == 64 && IsHex(text);
    return {.status = hex                ? Status::kKeyHex
                      : IsKeyTwice(text) ? Status::kKeyBase64Twice
                                         : Around(text),
            .offset = text.size()};
  }
  const std::string_view digits = text.substr(0, 43);
  const std::size_t bad = FirstBadDigit(digits);
  if (bad != digits.size()) {
    const bool standard = digits[bad] == '+' || digits[bad] == '/';
    return {.status = standard ? Status::kKeyStandardAlphabet
                               : Status::kKeyBadCharacter,
            .offset = bad};
  }
  if (HasSpareBits(digits)) {
    return {.status = Status::kKeyTrailingBits, .offset = 42};
  }
  return {};
}

JudgedKeys JudgeKeys(std::string_view text) {
  JudgedKeys judged;
  std::uint32_t position = 0;
  for (std::size_t from = 0; from <= text.size();) {
    const std::size_t comma = std::min(text.find(',', from), text.size());
    const std::string_view one = Trim(text.substr(from, comma - from));
    from = comma + 1;
    ++position;
    Outcome outcome = one.empty()     ? Outcome{Status::kKeyMissing}
                      : position > 64 ? Outcome{Status::kTooManyKeys}
                                      : JudgeKey(one);
    Bytes key;
    if (outcome.ok()) {
      key = DecodeBits(one.substr(0, 43));
      if (std::ranges::find(judged.keys, key) != judged.keys.end()) {
        outcome = {Status::kKeyDuplicate};
      }
    }
    if (!outcome.ok()) {
      outcome.key_position = position;
      return {outcome, {}};
    }
    judged.keys.push_back(std::move(key));
  }
  return judged;
}

}  // namespace fernet::fuzz
