#include "client/json.hpp"

#include "client/text.hpp"

namespace fernet::client {

void JsonWriter::Separate() {
  if (needs_comma_) {
    out_ += ',';
  }
  needs_comma_ = true;
}

JsonWriter &JsonWriter::Open(char bracket) {
  Separate();
  out_ += bracket;
  needs_comma_ = false;
  return *this;
}

JsonWriter &JsonWriter::Close(char bracket) {
  out_ += bracket;
  needs_comma_ = true;
  return *this;
}

JsonWriter &JsonWriter::Name(std::string_view name) {
  Text(name);
  out_ += ':';
  needs_comma_ = false;
  return *this;
}

JsonWriter &JsonWriter::Text(std::string_view text) {
  Separate();
  out_ += '"';
  while (!text.empty()) {
    const std::size_t size = CharacterSize(text);
    const auto first = static_cast<unsigned char>(text[0]);
    if (size == 0) {
      out_ += "\xEF\xBF\xBD";
    } else if (first < 0x20 || first == 0x7F) {
      out_ += "\\u00";
      out_ += "0123456789abcdef"[first >> 4U];
      out_ += "0123456789abcdef"[first & 15U];
    } else {
      out_ += first == '"' || first == '\\' ? "\\" : "";
      out_ += text.substr(0, size);
    }
    text.remove_prefix(size == 0 ? 1 : size);
  }
  out_ += '"';
  return *this;
}

JsonWriter &JsonWriter::TextOrNull(std::string_view text) {
  if (!text.empty()) {
    return Text(text);
  }
  Separate();
  out_ += "null";
  return *this;
}

JsonWriter &JsonWriter::Number(std::int64_t number) {
  Separate();
  out_ += std::to_string(number);
  return *this;
}

JsonWriter &JsonWriter::Truth(bool truth) {
  Separate();
  out_ += truth ? "true" : "false";
  return *this;
}

}  // namespace fernet::client
