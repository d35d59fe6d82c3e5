#include "core/key_search.hpp"

#include <algorithm>
#include <cstddef>
#include <string_view>

#include "core/ascii.hpp"
#include "core/key.hpp"
#include "core/key_digits.hpp"

namespace fernet {
namespace {

constexpr std::string_view kScram = "SCRAM-SHA-256$";

constexpr bool IsCapital(char c) noexcept { return c >= 'A' && c <= 'Z'; }
constexpr bool IsSmall(char c) noexcept { return c >= 'a' && c <= 'z'; }
constexpr bool IsDecimal(char c) noexcept { return c >= '0' && c <= '9'; }

constexpr bool IsKeyDigit(char c) noexcept {
  return IsCapital(c) || IsSmall(c) || IsDecimal(c) || c == '-' || c == '_';
}

// IsOfBase64 is for what stands beside a word: with one of these, it is part of
// something longer in the standard alphabet.
constexpr bool IsOfBase64(char c) noexcept { return c == '+' || c == '/'; }

bool StartsWith(std::span<const char> text, std::string_view start) noexcept {
  return text.size() >= start.size() &&
         std::equal(start.begin(), start.end(), text.begin());
}

// EscapeSize is the length of the escape that `text` begins with, or 0: "%2C",
// or a backslash and the character after it.
std::size_t EscapeSize(std::span<const char> text) noexcept {
  if (text.size() >= 3 && text[0] == '%' && IsHexDigit(text[1]) &&
      IsHexDigit(text[2])) {
    return 3;
  }
  return text.size() >= 2 && text[0] == '\\' ? 2 : 0;
}

// ScramSize is the length of the SCRAM secret that `text` begins with, or 0.
std::size_t ScramSize(std::span<const char> text) noexcept {
  if (!StartsWith(text, kScram)) {
    return 0;
  }
  const auto is_part = [](char c) {
    return IsKeyDigit(c) || IsOfBase64(c) || c == '$' || c == ':' || c == '=';
  };
  return static_cast<std::size_t>(std::ranges::find_if_not(text, is_part) -
                                  text.begin());
}

bool IsMixed(std::span<const char> word) noexcept {
  return std::ranges::any_of(word, IsCapital) &&
         std::ranges::any_of(word, IsSmall) &&
         std::ranges::any_of(word, IsDecimal);
}

// IsKeyWord judges `word`, all key digits, by what it is and by what stands
// before it (`before`, 0 at the start) and after it (`rest`).
bool IsKeyWord(char before, std::span<const char> word,
               std::span<const char> rest) noexcept {
  if (word.size() != kKeyDigits || IsOfBase64(before)) {
    return false;
  }
  const bool padded = StartsWith(rest, "=") || StartsWith(rest, "%3D") ||
                      StartsWith(rest, "%3d");
  const std::size_t padding = !padded ? 0 : rest.front() == '=' ? 1 : 3;
  const char after = rest.size() > padding ? rest[padding] : '\0';
  if (IsOfBase64(after) || after == '=' || (padded && IsKeyDigit(after)) ||
      (!padded && (before == '.' || !IsMixed(word)))) {
    return false;
  }
  Key key;
  return ParseKey(word, &key).ok();
}

}  // namespace

bool HoldsKey(std::span<const char> text) noexcept {
  char before = '\0';
  while (!text.empty()) {
    std::size_t size = std::max(EscapeSize(text), ScramSize(text));
    if (size == 0) {
      const auto end = std::ranges::find_if_not(text, IsKeyDigit);
      size = static_cast<std::size_t>(end - text.begin());
      if (IsKeyWord(before, text.first(size), text.subspan(size))) {
        return true;
      }
      size = std::max<std::size_t>(size, 1);
      before = text[size - 1];
    } else {
      before = '\0';
    }
    text = text.subspan(size);
  }
  return false;
}

}  // namespace fernet
