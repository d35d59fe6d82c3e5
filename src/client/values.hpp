// Tokens in the values that the program reads itself.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "client/keys.hpp"
#include "core/keyring.hpp"
#include "core/recogniser.hpp"

namespace fernet::client {

// The forms in which a token is found, as fernet_find_tokens names them.
enum Form : std::uint8_t { kWhole, kInside, kEncoded, kNested, kForms };

// Tally counts the tokens of a column.
struct Tally {
  std::array<std::array<std::int64_t, kMaxKeys>, kForms> of_key = {};
  std::array<std::int64_t, kForms> unknown_key = {};
  std::array<std::int64_t, kForms> no_key_set = {};
  std::int64_t malformed = 0;
  std::int64_t too_many = 0;  // values in which too much looks like a token
};

// ValueReader finds the tokens in values, for one thread. What it decrypts to
// look inside lies in locked pages, and is wiped.
class ValueReader {
 public:
  // Throws Failure when OpenSSL lacks what is needed.
  explicit ValueReader(const Keys &keys);

  // Count adds the tokens in `value` to `tally`. Throws Failure when OpenSSL
  // fails, and Cancelled.
  void Count(std::string_view value, Tally *tally);

 private:
  std::span<std::uint8_t> Scratch(std::size_t size);

  Keyring ring_;
  bool has_keys_;
  std::span<std::uint8_t> scratch_;
};

}  // namespace fernet::client
