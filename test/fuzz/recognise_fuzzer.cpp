// Recogniser on any value, and on tokens in layers of everything, against a
// slow search; and what it rotates.
//
// An input: 0 and then the value as it is; else the key and the size of a
// plaintext, how many layers, each of them, and what to damage.
#include "core/recogniser.hpp"

#include "fuzz/fuzz.hpp"
#include "fuzz/judge.hpp"
#include "support/recogniser_reference.hpp"
#include "support/reference.hpp"

namespace fernet::fuzz {
namespace {

using test::reference::Found;

// Keys 0 and 1 are the session's, 2 is a stranger's.
constexpr int kKeys = 2;

struct Told {
  std::vector<Found> places;
};

void Keep(const Place &place, void *state) noexcept {
  constexpr const char *kKinds[] = {"opened", "unknown", "not tried",
                                    "remnant"};
  static_cast<Told *>(state)->places.push_back(
      {.kind = kKinds[place.kind],
       .key = place.kind == Place::kOpened ? place.key_index : 0u,
       .timestamp = place.timestamp,
       .offset = place.decodings == 0 ? place.offset : 0,
       .size = place.size,
       .nesting = place.nesting,
       .decodings = place.decodings});
}

std::vector<Bytes> SessionKeys() {
  std::vector<Bytes> keys;
  for (int i = 0; i < kKeys; ++i) {
    keys.push_back(KeyBytes(i));
  }
  return keys;
}

std::string Hexadecimal(std::string_view text, bool upper) {
  std::string hex;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    for (const int digit : {byte >> 4, byte & 15}) {
      hex += (upper ? "0123456789ABCDEF" : "0123456789abcdef")[digit];
    }
  }
  return hex;
}

std::string InLines(std::string_view text, std::size_t width) {
  std::string lines;
  for (std::size_t i = 0; i < text.size(); i += width) {
    lines += std::string(text.substr(i, width)) + "\r\n";
  }
  return lines;
}

// Wrap is one more layer around `text`.
std::string Wrap(const std::string &text, Input *input) {
  const View bytes(reinterpret_cast<const std::uint8_t *>(text.data()),
                   text.size());
  const std::uint8_t how = input->Byte();
  const std::string before(how / 16u % 4u, 'k');
  switch (how % 16) {
    case 0:
    case 1:
      return before + EncodeBits(bytes);
    case 2:
    case 3: {
      std::string standard = EncodeBits(bytes);
      std::ranges::replace(standard, '-', '+');
      std::ranges::replace(standard, '_', '/');
      return how % 16 == 2 ? before + standard
                           : InLines(standard, 1 + input->Byte() % 80u);
    }
    case 4:
      return before + Hexadecimal(text, false);
    case 5:
      return "\\x" + Hexadecimal(text, true);
    case 6:
      return "{\"" + before + "\":\"" + text + "\"}";
    case 7:
      return "\xef\xbb\xbf" + text;
    case 8:
      return "v1:" + text;
    case 9:
      return before + '/' + text;
    case 10:
      return std::string(WithoutEquals(text));
    case 11:
      return text + text;
    case 12:
      return text + '\n' + before;
    default:
      return test::reference::Seal(KeyBytes(how % 16 - 13), 1577836800 + how,
                                   View(KeyBytes(9)).first(16), bytes);
  }
}

// Certain returns the places that a search must find in any value. In base64 or
// hex that was damaged too, these are only the tokens that a key opens: the
// slow search also joins digits that the damage has put next to each other.
std::vector<Found> Certain(std::vector<Found> places) {
  std::erase_if(places, [](const Found &found) {
    return found.kind != "opened" && found.decodings > 0;
  });
  return places;
}

// Check checks a value, which somebody may have damaged.
void Check(const std::string &value, bool may_be_damaged) {
  const std::vector<Bytes> keys = SessionKeys();
  static const auto ring = MakeRing(keys);
  for (const bool has_keys : {true, false}) {
    Exact<char> exact(value, 1);
    Bytes scratch(Recogniser::ScratchSize(value.size()));
    Told told;
    Recogniser recogniser(has_keys ? ring.get() : nullptr, scratch, Keep,
                          &told);
    Require(recogniser.Look(exact.span()) == Status::kOk,
            "a small value is looked at to its end");
    Require(Equal(exact.span(), value), "a value that is looked at stays");
    Require(std::ranges::all_of(scratch, [](auto byte) { return byte == 0; }),
            "the scratch is wiped");
    std::ranges::sort(told.places);
    told.places.erase(std::unique(told.places.begin(), told.places.end()),
                      told.places.end());
    const std::vector<Found> slow = test::reference::Recognise(
        has_keys ? keys : std::vector<Bytes>(), value);
    Require(may_be_damaged ? Certain(told.places) == Certain(slow)
                           : told.places == slow,
            "what is found is what a slow search finds");
  }

  Exact<char> rotated(value, 2);
  Bytes scratch(Recogniser::ScratchSize(value.size()));
  Told before;
  Recogniser recogniser(ring.get(), scratch, Keep, &before);
  RandomBuffer ivs;
  bool has_changed = false;
  Require(recogniser.Rotate(rotated.span(), &ivs, &has_changed) == Status::kOk,
          "a small value is rotated to its end");
  const std::string after(rotated.span().begin(), rotated.span().end());
  Require(has_changed == (after != value), "a change is told of");
  for (const Found &found : test::reference::Recognise({keys[0]}, after)) {
    Require(found.kind != "opened" || found.key == 0, "all keys are known");
  }
  // What the second key alone still opens was left behind.
  for (const Found &found : test::reference::Recognise({keys[1]}, after)) {
    Require(found.kind != "opened", "nothing is left to the second key");
  }
}

void Run(Input input) {
  if (input.Byte() == 0) {
    Check(std::string(AsText(input.rest())), true);
    return;
  }
  std::string value(input.Byte() % 128u, 's');
  for (int count = 1 + input.Byte() % 6; count > 0 && value.size() < 6000;
       --count) {
    value = Wrap(value, &input);
  }
  const std::string whole = value;
  DamageText(&input, &value);
  Check(value, value != whole);
}

}  // namespace
}  // namespace fernet::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data,
                                      std::size_t size) {
  fernet::fuzz::Run(fernet::fuzz::Input({data, size}));
  return 0;
}
