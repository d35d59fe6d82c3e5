#include "client/text.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

namespace fernet::client {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";

bool IsContinuation(char c) {
  return (static_cast<unsigned char>(c) & 0xC0U) == 0x80;
}

// Character is a character of UTF-8 at the start of a text; a size of 0 means
// that there is none.
struct Character {
  std::size_t size;
  std::uint32_t code;
};

Character FirstCharacter(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  if (first < 0x80) {
    return {1, first};
  }
  const std::size_t size = first >= 0xF0 ? 4U : first >= 0xE0 ? 3U : 2U;
  if (first < 0xC2 || first > 0xF4 || text.size() < size) {
    return {0, 0};
  }
  std::uint32_t code = first & (0x7FU >> size);
  for (std::size_t i = 1; i < size; ++i) {
    if (!IsContinuation(text[i])) {
      return {0, 0};
    }
    code = code << 6U | (static_cast<unsigned char>(text[i]) & 0x3FU);
  }
  constexpr std::array<std::uint32_t, 5> kSmallest = {0, 0, 0x80, 0x800,
                                                      0x10000};
  const bool is_surrogate = code >= 0xD800 && code <= 0xDFFF;
  return code < kSmallest.at(size) || code > 0x10FFFF || is_surrogate
             ? Character{0, 0}
             : Character{size, code};
}

// Misleads says whether a character is not seen, or changes how others are.
bool Misleads(std::uint32_t code) {
  return code < 0x20 || (code >= 0x7F && code <= 0xA0) || code == 0xAD ||
         code == 0x61C || (code >= 0x200B && code <= 0x200F) ||
         (code >= 0x2028 && code <= 0x202E) ||
         (code >= 0x2060 && code <= 0x206F) || code == 0xFEFF ||
         (code >= 0xFFF9 && code <= 0xFFFB) ||
         (code >= 0xE0000 && code <= 0xE0FFF);
}

void AppendEscaped(std::string_view bytes, std::string *out) {
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      *out += "\\n";
    } else {
      *out += "\\x";
      *out += kHexDigits[byte >> 4U];
      *out += kHexDigits[byte & 15U];
    }
  }
}

bool IsPlainIdentifier(std::string_view name) {
  const auto is_letter = [](char c) {
    return (c >= 'a' && c <= 'z') || c == '_';
  };
  return !name.empty() && is_letter(name[0]) &&
         std::all_of(name.begin(), name.end(), [&](char c) {
           return is_letter(c) || (c >= '0' && c <= '9');
         });
}

}  // namespace

std::string Printable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Character character = FirstCharacter(text);
    const std::size_t size = character.size == 0 ? 1 : character.size;
    if (character.size == 0 || Misleads(character.code)) {
      AppendEscaped(text.substr(0, size), &out);
    } else {
      out += text.substr(0, size);
    }
    text.remove_prefix(size);
  }
  return out;
}

std::size_t CharacterSize(std::string_view text) {
  return FirstCharacter(text).size;
}

std::string QuoteIdentifier(std::string_view name) {
  if (IsPlainIdentifier(name)) {
    return std::string(name);
  }
  std::string out = "\"";
  for (const char c : name) {
    out += c;
    if (c == '"') {
      out += c;
    }
  }
  return out + '"';
}

std::string ArrayLiteral(const std::vector<std::string> &elements) {
  std::string out = "{";
  for (const std::string &element : elements) {
    out += out.size() == 1 ? "\"" : ",\"";
    for (const char c : element) {
      if (c == '"' || c == '\\') {
        out += '\\';
      }
      out += c;
    }
    out += '"';
  }
  return out + '}';
}

std::size_t Columns(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return !IsContinuation(c); }));
}

std::string FitColumns(std::string_view text, std::size_t columns) {
  if (Columns(text) <= columns) {
    return std::string(text);
  }
  const std::size_t kept = columns > 3 ? columns - 3 : 0;
  std::size_t end = 0;
  std::size_t seen = 0;
  while (end < text.size() && (seen < kept || IsContinuation(text[end]))) {
    ++end;
    seen += end < text.size() && !IsContinuation(text[end]) ? 1U : 0U;
  }
  return std::string(text.substr(0, end)) +
         std::string(std::min<std::size_t>(3, columns), '.');
}

std::string SizeText(std::int64_t bytes) {
  constexpr std::array kUnits = {"bytes", "kB", "MB", "GB", "TB"};
  std::size_t unit = 0;
  while (bytes >= 10 * 1024 && unit + 1 < kUnits.size()) {
    bytes = (bytes + 512) / 1024;
    ++unit;
  }
  return std::to_string(bytes) + ' ' + kUnits.at(unit);
}

std::string DurationText(double seconds) {
  const auto whole = static_cast<std::int64_t>(seconds < 0 ? 0 : seconds);
  if (whole < 60) {
    return std::to_string(whole) + " s";
  }
  if (whole < 3600) {
    return std::to_string(whole / 60) + " min " + std::to_string(whole % 60) +
           " s";
  }
  return std::to_string(whole / 3600) + " h " +
         std::to_string(whole / 60 % 60) + " min";
}

std::string Counted(std::int64_t number, std::string_view noun) {
  return std::to_string(number) + ' ' + std::string(noun) +
         (number == 1 ? "" : "s");
}

}  // namespace fernet::client
