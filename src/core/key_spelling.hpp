// How the text of a statement spells a value that is a key: as it is, with
// escapes, or as several literals that are joined.
#pragma once

#include <cstddef>
#include <span>

#include "core/ascii.hpp"

namespace fernet {

constexpr bool IsNameCharacter(char c) noexcept {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
         (c >= 'a' && c <= 'z') || c == '_';
}

// IsDigitOfKey says whether `c` belongs to base64, in either alphabet.
constexpr bool IsDigitOfKey(char c) noexcept {
  return IsNameCharacter(c) || c == '-' || c == '+' || c == '/';
}

// Spelling is how a text is read. kPlain: each character stands for itself.
// kSql: as the values of SQL's literals, whatever kind each is.
enum class Spelling { kPlain, kSql };

// Step is what a text begins with.
struct Step {
  std::size_t size = 0;  // in characters
  char digit = '\0';     // the digit of a key that it stands for, if any
  bool joins = false;    // the values of the literals around it are one
};

// NextStep reads the beginning of `text`, which is not empty. What joins is the
// end of a literal, a line end, "||" or ",", and the beginning of the next.
Step NextStep(std::span<const char> text, Spelling spelling) noexcept;

}  // namespace fernet
