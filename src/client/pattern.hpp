// Names with wildcards, as psql and PostgreSQL's clients understand them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fernet::client {

// Identifier is a part of a dotted name: as it is, or as a regular expression.
// PatternParts splits `pattern` at its dots into regular expressions: an
// asterisk is any text, a question mark any character, letters are in lower
// case; what stands in quotation marks is meant as it is. Throws UsageError
// when a quotation mark is not closed.
std::vector<std::string> PatternParts(std::string_view pattern);

// NameParts splits a dotted name into its parts, as SQL does. Throws UsageError
// if it is none.
std::vector<std::string> NameParts(std::string_view name);

// ReadNames splits a file into its names: one a line, but line breaks in
// quotation marks are part of a name. Empty lines, and those that begin with
// "#", are left out.
std::vector<std::string> SplitNames(std::string_view text);

}  // namespace fernet::client
