// Texts for people: what is safe to print, and numbers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fernet::client {

// Printable is `text` with everything escaped that could move the cursor of a
// terminal, or hide or reorder text: control characters, line breaks, what is
// no UTF-8, and the marks of direction of Unicode. Names and messages may come
// from anybody.
std::string Printable(std::string_view text);

// CharacterSize is the size of the character of UTF-8 that `text`, which is not
// empty, begins with; 0 if there is none.
std::size_t CharacterSize(std::string_view text);

// QuoteIdentifier is `name` as it is written in SQL, with quotation marks only
// where it needs them, as quote_ident does.
std::string QuoteIdentifier(std::string_view name);

// ArrayLiteral is the text form of an array of these elements.
std::string ArrayLiteral(const std::vector<std::string> &elements);

// Columns is the width of printable text on a terminal, one column a character.
std::size_t Columns(std::string_view text);

// FitColumns cuts `text` to so many columns, with "..." at its end.
std::string FitColumns(std::string_view text, std::size_t columns);

// SizeText is a number of bytes, as pg_size_pretty writes it.
std::string SizeText(std::int64_t bytes);

// DurationText is a time for people: "5 s", "3 min 20 s", "2 h 5 min".
std::string DurationText(double seconds);

// Counted is a number with its noun: "1 table", "2 tables".
std::string Counted(std::int64_t number, std::string_view noun);

}  // namespace fernet::client
