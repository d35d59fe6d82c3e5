// JSON for other programs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fernet::client {

// JsonWriter writes one document, compact. The caller nests as JSON does.
class JsonWriter {
 public:
  JsonWriter &Open(char bracket);   // '{' or '['
  JsonWriter &Close(char bracket);  // '}' or ']'
  JsonWriter &Name(std::string_view name);
  // Text that is no UTF-8 has its wrong bytes replaced by U+FFFD.
  JsonWriter &Text(std::string_view text);
  JsonWriter &TextOrNull(std::string_view text);  // null if empty
  JsonWriter &Number(std::int64_t number);
  JsonWriter &Truth(bool truth);

  const std::string &document() const { return out_; }

 private:
  void Separate();

  std::string out_;
  bool needs_comma_ = false;
};

}  // namespace fernet::client
