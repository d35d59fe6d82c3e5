#include "core/key_spelling.hpp"

#include <algorithm>
#include <string_view>

namespace fernet {
namespace {

constexpr std::size_t kLongestTag = 63;

unsigned DigitValue(char c) noexcept {
  if (c <= '9') {
    return static_cast<unsigned>(c - '0');
  }
  return static_cast<unsigned>((c | 0x20) - 'a') + 10;
}

// ReadNumber is the step over `fewest` to `most` digits of `base`, 8 or 16,
// that `text` begins with, if their number is that of a digit of a key.
Step ReadNumber(std::span<const char> text, unsigned base, std::size_t fewest,
                std::size_t most) noexcept {
  unsigned number = 0;
  std::size_t size = 0;
  while (size < std::min(most, text.size()) && IsHexDigit(text[size]) &&
         DigitValue(text[size]) < base) {
    number = number * base + DigitValue(text[size++]);
  }
  const bool is_digit = size >= fewest && number < 0x80 &&
                        IsDigitOfKey(static_cast<char>(number));
  return is_digit ? Step{.size = size, .digit = static_cast<char>(number)}
                  : Step{};
}

// ReadEscape reads what comes after a backslash. A digit of a key in U&'\0061'
// would be a control character as an octal number.
Step ReadEscape(std::span<const char> text) noexcept {
  if (text.empty()) {
    return {};
  }
  const auto rest = text.subspan(1);
  Step number;
  switch (text.front()) {
    case 'x':
      number = ReadNumber(rest, 16, 1, 2);
      break;
    case 'u':
      number = ReadNumber(rest, 16, 4, 4);
      break;
    case 'U':
      number = ReadNumber(rest, 16, 8, 8);
      break;
    case '+':
      number = ReadNumber(rest, 16, 6, 6);
      break;
    default:
      number = ReadNumber(text, 16, 4, 4);
      return number.size != 0 ? number : ReadNumber(text, 8, 1, 3);
  }
  number.size += number.size == 0 ? 0 : 1;
  return number;
}

bool Skip(std::span<const char> *text, std::string_view word) noexcept {
  const bool found = text->size() >= word.size() &&
                     std::ranges::equal(text->first(word.size()), word);
  *text = text->subspan(found ? word.size() : 0);
  return found;
}

void SkipSpace(std::span<const char> *text) noexcept {
  *text = {std::ranges::find_if_not(*text, IsSpace), text->end()};
}

// SkipQuote goes over one or two apostrophes, or a tag with its dollars.
bool SkipQuote(std::span<const char> *text) noexcept {
  if (Skip(text, "'")) {
    Skip(text, "'");
    return true;
  }
  if (text->empty() || text->front() != '$') {
    return false;
  }
  const auto tag = text->subspan(1, std::min(kLongestTag, text->size() - 1));
  const auto end = std::ranges::find_if_not(tag, IsNameCharacter);
  if (end == tag.end() || *end != '$') {
    return false;
  }
  *text = {end + 1, text->end()};
  return true;
}

// JoinSize is the length of what joins two literals at the beginning of `text`,
// or 0.
std::size_t JoinSize(std::span<const char> text) noexcept {
  auto rest = text;
  if (!SkipQuote(&rest)) {
    return 0;
  }
  SkipSpace(&rest);
  Skip(&rest, "::text");
  SkipSpace(&rest);
  if (!Skip(&rest, "||")) {
    Skip(&rest, ",");
  }
  SkipSpace(&rest);
  if (rest.size() > 1 && (rest[1] == '\'' || rest[1] == '&')) {
    for (const std::string_view prefix : {"E", "e", "U&", "u&"}) {
      Skip(&rest, prefix);
    }
  }
  return SkipQuote(&rest) ? text.size() - rest.size() : 0;
}

}  // namespace

Step NextStep(std::span<const char> text, Spelling spelling) noexcept {
  const char c = text.front();
  if (IsDigitOfKey(c)) {
    return {.size = 1, .digit = c};
  }
  if (spelling == Spelling::kSql && c == '\\') {
    const Step escape = ReadEscape(text.subspan(1));
    return {.size = escape.size + 1, .digit = escape.digit};
  }
  if (spelling == Spelling::kSql && (c == '\'' || c == '$')) {
    const std::size_t size = JoinSize(text);
    return {.size = std::max<std::size_t>(size, 1), .joins = size != 0};
  }
  return {.size = 1};
}

}  // namespace fernet
