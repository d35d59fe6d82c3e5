#include "client/pattern.hpp"

#include "client/errors.hpp"
#include "client/text.hpp"

namespace fernet::client {
namespace {

constexpr std::string_view kSpecial = "|*+?()[]{}.^$\\";

char Lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// Reader goes through a dotted name character by character.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  // Next stores the next character that is no quotation mark of the syntax.
  bool Next(char *out, bool *out_is_quoted) {
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c != '"') {
        *out = c;
        *out_is_quoted = quoted_;
        return true;
      }
      if (quoted_ && at_ < text_.size() && text_[at_] == '"') {
        ++at_;
        *out = c;
        *out_is_quoted = true;
        return true;
      }
      quoted_ = !quoted_;
    }
    if (quoted_) {
      throw UsageError("a quotation mark is not closed in \"" +
                       Printable(text_) + "\"");
    }
    return false;
  }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
  bool quoted_ = false;
};

void AppendToRegex(char c, bool is_quoted, std::string *out) {
  if (!is_quoted && c == '*') {
    *out += ".*";
  } else if (!is_quoted && c == '?') {
    *out += '.';
  } else if ((is_quoted && kSpecial.find(c) != std::string_view::npos) ||
             c == '$') {
    *out += '\\';
    *out += c;
  } else {
    *out += is_quoted ? c : Lower(c);
  }
}

}  // namespace

std::vector<std::string> PatternParts(std::string_view pattern) {
  std::vector<std::string> parts = {""};
  Reader reader(pattern);
  char c = 0;
  bool is_quoted = false;
  while (reader.Next(&c, &is_quoted)) {
    if (c == '.' && !is_quoted) {
      parts.emplace_back();
    } else {
      AppendToRegex(c, is_quoted, &parts.back());
    }
  }
  for (std::string &part : parts) {
    part.insert(0, "^(");
    part += ")$";
  }
  return parts;
}

std::vector<std::string> NameParts(std::string_view name) {
  std::vector<std::string> parts = {""};
  Reader reader(name);
  char c = 0;
  bool is_quoted = false;
  while (reader.Next(&c, &is_quoted)) {
    if (c == '.' && !is_quoted) {
      parts.emplace_back();
    } else {
      parts.back() += is_quoted ? c : Lower(c);
    }
  }
  for (const std::string &part : parts) {
    if (part.empty()) {
      throw UsageError("\"" + Printable(name) + "\" has an empty part");
    }
  }
  return parts;
}

std::vector<std::string> SplitNames(std::string_view text) {
  std::vector<std::string> names;
  std::string line;
  bool quoted = false;
  const auto add = [&] {
    if (!line.empty() && line.back() == '\r') {
      line.pop_back();
    }
    if (!line.empty() && line[0] != '#') {
      names.push_back(line);
    }
    line.clear();
  };
  for (const char c : text) {
    quoted = quoted != (c == '"' && (line.empty() || line[0] != '#'));
    if (c == '\n' && !quoted) {
      add();
    } else {
      line += c;
    }
  }
  add();
  return names;
}

}  // namespace fernet::client
