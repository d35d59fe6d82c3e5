// Values with tokens in them, and what Recogniser says of a value, for its
// tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/recogniser.hpp"
#include "support/recogniser_reference.hpp"
#include "unit/support.hpp"

namespace fernet::test {

// The time of the tokens here, in 2020.
inline constexpr std::uint64_t kSealTime = 1577836800;

// SealedBy is the token of `plaintext` under test key `number`.
std::string SealedBy(int number, std::string_view plaintext,
                     std::uint64_t time = kSealTime);

std::string Replaced(std::string text, char from, char to);

// WithoutEquals is `text` without the '=' at its end.
std::string WithoutEquals(std::string text);

// The same text in base64 of either alphabet, and in hex.
std::string UrlSafe(std::string_view text);
std::string Standard(std::string_view text);
std::string Hex(std::string_view text, bool upper = false);

// InLines is `text` with `line_end` behind each `width` characters.
std::string InLines(std::string_view text, std::string_view line_end,
                    std::size_t width);

// Told is all that Recogniser says of a value.
struct Told {
  Status status = Status::kOk;
  std::vector<Place> places;
  bool scratch_is_clean = false;

  // As the slow search says it, with places that were told of twice.
  std::vector<reference::Found> sorted() const;
};

// Keep adds a place to the Told at `state`.
void Keep(const Place &place, void *state) noexcept;

Told Look(Keyring *ring, std::string_view value, GoOn go_on = Always);

// Rotated is `value` with its tokens under test key 2.
std::string Rotated(std::string value, bool *out_changed);

}  // namespace fernet::test
