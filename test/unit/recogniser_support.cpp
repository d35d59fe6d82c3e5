#include "unit/recogniser_support.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>

#include "support/reference.hpp"

namespace fernet::test {
namespace {

reference::Found FoundAt(const Place &place) {
  constexpr const char *kKinds[] = {"opened", "unknown", "not tried",
                                    "remnant"};
  return {.kind = kKinds[place.kind],
          .key = place.kind == Place::kOpened ? place.key_index : 0u,
          .timestamp = place.timestamp,
          .offset = place.decodings == 0 ? place.offset : 0,
          .size = place.size,
          .nesting = place.nesting,
          .decodings = place.decodings};
}

}  // namespace

std::string SealedBy(int number, std::string_view plaintext,
                     std::uint64_t time) {
  return reference::Seal(TestKeyBytes(number), time, kTestIv,
                         ToBytes(plaintext));
}

std::string Replaced(std::string text, char from, char to) {
  std::ranges::replace(text, from, to);
  return text;
}

std::string WithoutEquals(std::string text) {
  while (text.ends_with('=')) {
    text.pop_back();
  }
  return text;
}

std::string UrlSafe(std::string_view text) {
  return reference::Encode(ToBytes(text));
}

std::string Standard(std::string_view text) {
  return Replaced(Replaced(UrlSafe(text), '-', '+'), '_', '/');
}

std::string Hex(std::string_view text, bool upper) {
  const std::string_view digits =
      upper ? "0123456789ABCDEF" : "0123456789abcdef";
  std::string hex;
  for (const char c : text) {
    hex += digits[static_cast<unsigned char>(c) >> 4];
    hex += digits[static_cast<unsigned char>(c) & 15];
  }
  return hex;
}

std::string InLines(std::string_view text, std::string_view line_end,
                    std::size_t width) {
  std::string lines;
  for (std::size_t i = 0; i < text.size(); i += width) {
    lines += std::string(text.substr(i, width)) + std::string(line_end);
  }
  return lines;
}

std::vector<reference::Found> Told::sorted() const {
  std::vector<reference::Found> all;
  std::ranges::transform(places, std::back_inserter(all), FoundAt);
  std::ranges::sort(all);
  return all;
}

void Keep(const Place &place, void *state) noexcept {
  static_cast<Told *>(state)->places.push_back(place);
}

Told Look(Keyring *ring, std::string_view value, GoOn go_on) {
  Told told;
  Bytes scratch(Recogniser::ScratchSize(value.size()));
  Recogniser recogniser(ring, scratch, Keep, &told, go_on);
  told.status = recogniser.Look(value);
  told.scratch_is_clean = AllZero(scratch);
  EXPECT_TRUE(told.places.empty() || MayHoldPlaces(value));
  return told;
}

std::string Rotated(std::string value, bool *out_changed) {
  const auto ring = RingOf({2, 1});
  Told told;
  Bytes scratch(Recogniser::ScratchSize(value.size()));
  Recogniser recogniser(ring.get(), scratch, Keep, &told);
  RandomBuffer ivs;
  EXPECT_EQ(recogniser.Rotate(value, &ivs, out_changed), Status::kOk);
  EXPECT_TRUE(AllZero(scratch));
  return value;
}

}  // namespace fernet::test
