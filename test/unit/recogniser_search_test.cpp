// Recogniser against the slow search, over values that are drawn: the same in
// every run.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "core/recogniser.hpp"
#include "support/recogniser_reference.hpp"
#include "unit/recogniser_support.hpp"
#include "unit/support.hpp"

namespace fernet {
namespace {

using namespace std::string_literals;
using test::reference::Found;

std::uint32_t ValueCount() { return test::IsShort() ? 40 : 600; }

class Draw {
 public:
  explicit Draw(std::uint32_t seed) : generator_(seed) {}

  std::size_t Below(std::size_t count) { return generator_() % count; }
  bool OneIn(std::size_t count) { return Below(count) == 0; }
  template <typename T>
  T Of(std::initializer_list<T> values) {
    return values.begin()[Below(values.size())];
  }
  std::string Digits(std::size_t size) {
    std::string text;
    while (text.size() < size) {
      text += test::kUrlAlphabet[Below(test::kUrlAlphabet.size())];
    }
    return text;
  }

 private:
  std::mt19937 generator_;
};

// Around the bounds between which a time is taken for a token's.
constexpr std::uint64_t kTimes[] = {
    test::kSealTime, test::kSealTime, test::kSealTime,       0,
    0x4fff'ffff,     0x5000'0000,     0x8fff'ffff,           0x9000'0000,
    0xffff'ffff,     0x1'0000'0000,   std::uint64_t{1} << 40};

std::string Separator(Draw *draw) {
  return draw->Of(
      {""s,   ""s,     " "s, "."s,  "x"s,     "-"s,   "_"s,
       "+"s,  "/"s,    "="s, "\n"s, "\\"s,    "%"s,   "&"s,
       "\""s, "\xff"s, "g"s, "gA"s, "gAAAA"s, "v1:"s, std::string(31, 'r')});
}

std::string LineEnd(Draw *draw) {
  return draw->Of({"\n"s,     "\r\n"s,    "\\n"s,
                   "\\r\\n"s, "\\u000a"s, "\\U000D"s,
                   "\\\\n"s,  "\\\n"s,    "%0a"s,
                   "%0A"s,    "%0d"s,     "%0D%0A"s,
                   "&#10;"s,  "&#13;"s,   "&#xa;"s,
                   "&#XA;"s,  "&#xD;"s,   " \n"s,
                   "\n\t"s,   "\n  \t"s,  std::string(63, ' ') + '\n'});
}

std::string Pieces(Draw *draw, int depth);

std::string DrawnToken(Draw *draw, int depth) {
  const std::string plaintext = depth > 0 && draw->OneIn(3)
                                    ? Pieces(draw, depth - 1)
                                    : draw->Digits(draw->Below(60));
  // One draw a statement: the order of arguments is the compiler's.
  const int key = static_cast<int>(1 + draw->Below(3));
  const std::uint64_t time = kTimes[draw->Below(std::size(kTimes))];
  const std::string token = test::SealedBy(key, plaintext, time);
  return draw->OneIn(2) ? token : test::WithoutEquals(token);
}

// What looks like a token, or like a part of one
std::string LookAlike(Draw *draw) {
  const std::size_t size =
      draw->Of<std::size_t>({5, 6, 7, 31, 32, 33, 89, 90, 91, 97, 98, 99, 120});
  switch (draw->Below(4)) {
    case 0:
      return draw->Digits(size);
    case 1:
      return ("gAAAAA" + draw->Digits(size)).substr(0, size);
    case 2: {  // as random as a token, or a little less
      const std::size_t different = 22 + draw->Below(3);
      const std::size_t repeated = 77 - different + draw->Below(3);
      const std::string digits(test::kUrlAlphabet.substr(64 - different));
      const std::string others(repeated, 'A');
      return "gAAAAABdwJ6x" +
             (draw->OneIn(2) ? digits + others : others + digits);
    }
    default:
      return DrawnToken(draw, 0).substr(0, size);
  }
}

std::string Pieces(Draw *draw, int depth) {
  std::string text = Separator(draw);
  for (std::size_t count = 1 + draw->Below(3); count > 0; --count) {
    text += draw->OneIn(3) ? LookAlike(draw) : DrawnToken(draw, depth);
    text += Separator(draw);
  }
  return text;
}

std::string Encoded(Draw *draw, const std::string &text) {
  std::string digits;
  switch (draw->Below(4)) {
    case 0:
      digits = test::UrlSafe(text);
      break;
    case 1:
      digits = test::Standard(text);
      break;
    default:
      digits = test::Hex(text, draw->OneIn(2));
  }
  if (draw->OneIn(3)) {
    digits = test::WithoutEquals(digits);
  }
  if (draw->OneIn(2)) {
    const std::string line_end = LineEnd(draw);
    digits = test::InLines(digits, line_end, 1 + draw->Below(90));
  }
  return digits;
}

std::string Drawn(std::uint32_t seed) {
  Draw draw(seed);
  std::string value = Pieces(&draw, 2);
  for (std::size_t layers = draw.Below(4); layers > 0 && value.size() < 1000;
       --layers) {
    value = Encoded(&draw, value);
  }
  if (draw.OneIn(3)) {
    value = std::string(draw.Below(4), 'k') + value;
  }
  if (draw.OneIn(3)) {
    value += Separator(&draw);
    value += Separator(&draw);
  }
  return value;
}

// Certain is the places that both searches must find, each once. What no key
// opens is one where it stands in the value as it is: the slow search also
// tells of what is left of tokens where no whole one has room, and of digits
// that other digits stand between.
std::vector<Found> Certain(std::vector<Found> places) {
  std::erase_if(places, [](const Found &found) {
    return found.kind != "opened" && found.decodings + found.nesting > 0;
  });
  places.erase(std::unique(places.begin(), places.end()), places.end());
  return places;
}

std::vector<Found> Opened(std::vector<Found> places) {
  std::erase_if(places,
                [](const Found &found) { return found.kind != "opened"; });
  return places;
}

// MayChange says of each byte of a value whether its rotation may change it.
std::vector<bool> MayChange(const std::string &value,
                            const std::vector<Place> &places) {
  std::vector<bool> may_change(value.size());
  for (const Place &place : places) {
    if (place.kind != Place::kOpened || place.nesting > 0) {
      continue;
    }
    const Layer &layer = place.layers[0];
    const bool is_encoded = place.decodings > 0;
    const std::size_t begin = is_encoded ? layer.begin : place.offset;
    const std::size_t end = is_encoded ? layer.end : begin + place.size;
    for (std::size_t i = begin; i < end; ++i) {
      may_change[i] =
          test::DigitValue(value[i]) >= 0 || value[i] == '+' || value[i] == '/';
    }
  }
  return may_change;
}

TEST(RecogniserSearch, FindsWhatASlowSearchFinds) {
  const auto ring = test::RingOf({2, 1});
  const std::vector<test::Bytes> keys = {test::TestKeyBytes(2),
                                         test::TestKeyBytes(1)};
  for (std::uint32_t seed = 0; seed < ValueCount(); ++seed) {
    const std::string value = Drawn(seed);
    SCOPED_TRACE(seed);
    SCOPED_TRACE(value);
    const test::Told told = test::Look(ring.get(), value);
    ASSERT_EQ(told.status, Status::kOk);
    EXPECT_TRUE(told.scratch_is_clean);
    ASSERT_EQ(Certain(told.sorted()),
              Certain(test::reference::Recognise(keys, value)));
    ASSERT_EQ(Certain(test::Look(nullptr, value).sorted()),
              Certain(test::reference::Recognise({}, value)));
  }
}

TEST(RecogniserSearch, RotatesWhatItFindsAndNothingElse) {
  const auto ring = test::RingOf({2, 1});
  const auto new_ring = test::RingOf({2});
  for (std::uint32_t seed = 0; seed < ValueCount(); ++seed) {
    const std::string value = Drawn(seed);
    SCOPED_TRACE(seed);
    SCOPED_TRACE(value);
    const test::Told told = test::Look(ring.get(), value);
    bool changed = false;
    const std::string rotated = test::Rotated(value, &changed);
    EXPECT_EQ(changed, std::ranges::any_of(told.places, [](const Place &place) {
                return place.kind == Place::kOpened && place.key_index > 0;
              }));
    // What no key opens is left out: whether digits that end with a new token
    // are a token of somebody else is up to that token's last bits.
    std::vector<Found> expected = Opened(told.sorted());
    for (Found &found : expected) {
      found.key = 0;
    }
    std::ranges::sort(expected);
    ASSERT_EQ(Opened(test::Look(new_ring.get(), rotated).sorted()), expected);
    ASSERT_EQ(rotated.size(), value.size());
    const std::vector<bool> may_change = MayChange(value, told.places);
    for (std::size_t i = 0; i < value.size(); ++i) {
      EXPECT_TRUE(may_change[i] || rotated[i] == value[i]) << i;
    }
  }
}

}  // namespace
}  // namespace fernet
