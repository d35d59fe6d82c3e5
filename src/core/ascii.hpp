// Classes of ASCII characters, the same in every locale.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

namespace fernet {

constexpr bool IsSpace(char c) noexcept {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

constexpr bool IsHexDigit(char c) noexcept {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
         (c >= 'A' && c <= 'F');
}

// TrimIf is `text` without the characters at its two ends of which `is_space`
// says so.
template <typename Predicate>
constexpr std::span<const char> TrimIf(std::span<const char> text,
                                       Predicate is_space) noexcept {
  while (!text.empty() && is_space(text.front())) {
    text = text.subspan(1);
  }
  while (!text.empty() && is_space(text.back())) {
    text = text.first(text.size() - 1);
  }
  return text;
}

// TrimSpace is `text` without the ASCII white space at its two ends.
constexpr std::span<const char> TrimSpace(std::span<const char> text) noexcept {
  return TrimIf(text, IsSpace);
}

// WithoutPadding is `text` without the '=' at its end: at most two are removed.
constexpr std::span<const char> WithoutPadding(
    std::span<const char> text) noexcept {
  for (int i = 0; i < 2 && !text.empty() && text.back() == '='; ++i) {
    text = text.first(text.size() - 1);
  }
  return text;
}

}  // namespace fernet
