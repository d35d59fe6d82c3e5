// Tokens in the values that the program reads itself.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "client/keys.hpp"
#include "core/keyring.hpp"
#include "core/random.hpp"
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

// Change is what a rotation makes of a value.
struct Change {
  enum Kind : std::uint8_t { kUnchanged, kChanged, kFailed };
  Kind kind = kUnchanged;
  const char *cause = "";  // for kFailed, a sentence
};

// OnUnknown is what to do with a token that no key decrypts, as --on-unknown
// says.
enum class OnUnknown : std::uint8_t { kFail, kLeave, kPlaintext };
OnUnknown OnUnknownOf(const std::string &word);

// ValueReader finds the tokens in values, for one thread. What it decrypts to
// look inside lies in locked pages, and is wiped.
class ValueReader {
 public:
  // Throws Failure when OpenSSL lacks what is needed.
  explicit ValueReader(const Keys &keys);

  // Count adds the tokens in `value` to `tally`. Throws Failure when OpenSSL
  // fails, and Cancelled.
  void Count(std::string_view value, Tally *tally);

  // Rotate makes `*out` the value with each of its tokens encrypted with the
  // first key, if it is kChanged. Throws as Count.
  Change Rotate(std::string_view value, OnUnknown on_unknown, std::string *out);

 private:
  std::span<std::uint8_t> Scratch(std::size_t size);

  Keyring ring_;
  bool has_keys_;
  std::span<std::uint8_t> scratch_;
  RandomBuffer *ivs_;
};

}  // namespace fernet::client
