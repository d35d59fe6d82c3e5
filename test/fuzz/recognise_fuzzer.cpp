// Recogniser on any value, and on tokens in layers of everything, against a
// slow search; and what it rotates.
//
// An input: 0 and then the value as it is; 255 and then the kind of a large
// value; else what to do besides, the size of a plaintext, how many layers,
// each of them, and what to damage.
#include "core/recogniser.hpp"

#include "fuzz/fuzz.hpp"
#include "fuzz/judge.hpp"
#include "fuzz/mutators.hpp"
#include "support/recogniser_reference.hpp"
#include "support/reference.hpp"

namespace fernet::fuzz {
namespace {

using test::reference::Found;

// Keys 0 and 1 are the session's, 2 is a stranger's.
constexpr int kKeys = 2;

struct Told {
  std::vector<Found> places;
  // Where each is in a value of this size.
  std::span<const char> value;
};

void Keep(const Place &place, void *state) noexcept {
  constexpr const char *kKinds[] = {"opened", "unknown", "not tried",
                                    "remnant"};
  auto *const told = static_cast<Told *>(state);
  const std::size_t at = OffsetInValue(told->value, place);
  Require(at <= told->value.size() &&
              (place.decodings > 0 || place.nesting > 0 || at == place.offset),
          "a place is in the value");
  told->places.push_back(
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
      return before + EncodeBits(bytes);
    case 1:  // digits right before and behind it
      return before + text + before;
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

bool IsWiped(const Bytes &scratch) {
  return std::ranges::all_of(scratch, [](auto byte) { return byte == 0; });
}

// Check checks a value, which somebody may have damaged.
void Check(const std::string &value, bool may_be_damaged) {
  const std::vector<Bytes> keys = SessionKeys();
  static const auto ring = MakeRing(keys);
  for (const bool has_keys : {true, false}) {
    Exact<char> exact(value, 1);
    Bytes scratch(Recogniser::ScratchSize(value.size()));
    Told told = {.places = {}, .value = exact.span()};
    Recogniser recogniser(has_keys ? ring.get() : nullptr, scratch, Keep,
                          &told);
    Require(recogniser.Look(exact.span()) == Status::kOk,
            "a small value is looked at to its end");
    Require(Equal(exact.span(), value), "a value that is looked at stays");
    Require(IsWiped(scratch), "the scratch is wiped");
    Require(MayHoldPlaces(exact.span()) || told.places.empty(),
            "what holds a place may hold one");
    Require(SizeUpToOpenRun(exact.span()) <= value.size(),
            "the part before the last run is a part");
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
  Told before = {.places = {}, .value = rotated.span()};
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

// CheckInto compares what is found in a token with what is found inside of it.
void CheckInto(const std::string &value) {
  const std::vector<Bytes> keys = SessionKeys();
  static const auto ring = MakeRing(keys);
  const std::string text = test::reference::Seal(
      keys[1], 1577836800, View(KeyBytes(9)).first(16),
      View(reinterpret_cast<const std::uint8_t *>(value.data()), value.size()));
  TokenReader reader;
  std::uint32_t index = 0;
  Require(reader.Load(text).ok() && ring->FindKey(&reader, &index).ok() &&
              index == 1,
          "a key opens what it has sealed");
  Bytes scratch(reader.ciphertext_size() +
                Recogniser::ScratchSize(reader.ciphertext_size()));
  Told inside = {.places = {}, .value = text};
  Recogniser into(ring.get(), scratch, Keep, &inside);
  const Status looked_into = into.LookInto(&reader, index);
  Bytes more(Recogniser::ScratchSize(text.size()));
  Told all = {.places = {}, .value = text};
  Recogniser whole(ring.get(), more, Keep, &all);
  const Status looked = whole.Look(text);
  Require(looked == Status::kOk && looked_into == Status::kOk &&
              all.places.size() == inside.places.size() + 1,
          "what is inside of a token is found with the token too");
}

// CheckBounded looks at a value that is more work than is allowed: Look adds
// the work that a value of its size is worth to what is left, so that is taken
// off before, and so many bytes are left.
void CheckBounded(const std::string &value, std::size_t left) {
  Allowance worth = {.to_try = 0, .to_end = 0, .to_decode = 0};
  worth.AddPart(value.size());
  Allowance few = {.to_try = left - worth.to_try,
                   .to_end = left - worth.to_end,
                   .to_decode = left - worth.to_decode};
  static const auto ring = MakeRing(SessionKeys());
  Bytes scratch(Recogniser::ScratchSize(value.size()));
  Told told = {.places = {}, .value = value};
  Recogniser recogniser(ring.get(), scratch, Keep, &told, Always, &few);
  const Status status = recogniser.Look(value);
  Require(status == Status::kOk || status == Status::kTooManyCandidates,
          "a value is looked at, or is too much work");
  Require(IsWiped(scratch), "the scratch is wiped");
}

// LongValue is more than a step of work, of a kind.
std::string LongValue(std::uint8_t kind) {
  constexpr std::size_t kSize = (std::size_t{1} << 20) + 100;
  const auto token = [](std::size_t size) {
    static const auto ring = MakeRing(SessionKeys());
    std::string text(TokenSize(size), '?');
    RandomBuffer ivs;
    Require(ring->Seal(Bytes(size), 1577836800, &ivs, text) == Status::kOk,
            "a large plaintext is sealed");
    return text;
  };
  switch (kind % 5) {
    case 0:
      return token(kSize * 3 / 4);
    case 1:
      return std::string(kSize, 'A');
    case 2:  // no run of digits is long enough
      return InLines(std::string(kSize, '!'), 70);
    case 3:
      return std::string(kSize, 'g') + token(1000);
    default: {
      const std::string text = token(kSize * 9 / 16);
      return InLines(
          EncodeBits(View(reinterpret_cast<const std::uint8_t *>(text.data()),
                          text.size())),
          76);
    }
  }
}

// CheckLong looks at a large value, which somebody may stop.
void CheckLong(std::uint8_t kind, std::size_t allowed) {
  const std::string value = LongValue(kind);
  static const auto ring = MakeRing(SessionKeys());
  Bytes scratch(Recogniser::ScratchSize(value.size()));
  Told told = {.places = {}, .value = value};
  const Patience patience(allowed);
  Recogniser recogniser(ring.get(), scratch, Keep, &told, Patience::Ask);
  const Status status = recogniser.Look(value);
  if (!patience.EndedWith(status)) {
    Require(status == Status::kOk, "a large value is looked at to its end");
  }
  Require(IsWiped(scratch), "the scratch is wiped");
}

// DeepValue has a token in more tokens than are seen through.
std::string DeepValue() {
  std::string value(40, 's');
  for (std::uint32_t i = 0; i < kMaxNesting + 2; ++i) {
    value = test::reference::Seal(
        KeyBytes(0), 1577836800, View(KeyBytes(9)).first(16),
        View(reinterpret_cast<const std::uint8_t *>(value.data()),
             value.size()));
  }
  return value;
}

void CheckDeep() {
  const std::string value = DeepValue();
  static const auto ring = MakeRing(SessionKeys());
  Bytes scratch(Recogniser::ScratchSize(value.size()));
  Told told = {.places = {}, .value = value};
  Recogniser recogniser(ring.get(), scratch, Keep, &told);
  Require(recogniser.Look(value) == Status::kTooManyCandidates,
          "what is too deep is told of");
  Require(IsWiped(scratch), "the scratch is wiped");
}

void Run(Input input) {
  static const bool once = [] {
    CheckDeep();
    return true;
  }();
  static_cast<void>(once);
  const SteadyRandom random(false);
  const std::uint8_t how = input.Byte();
  if (how == 0) {
    Check(std::string(AsText(input.rest())), true);
    return;
  }
  if (how == 0xff) {
    const std::uint8_t kind = input.Byte();
    CheckLong(kind, 2u * input.Byte());
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
  if (how % 4 == 2) {
    CheckInto(value);
  } else if (how % 4 == 3) {
    CheckBounded(value, std::size_t{4} * (how / 4u) * (how / 4u));
  }
}

}  // namespace
}  // namespace fernet::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data,
                                      std::size_t size) {
  fernet::fuzz::Run(fernet::fuzz::Input({data, size}));
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t *data,
                                               std::size_t size,
                                               std::size_t most,
                                               unsigned int seed) {
  using namespace fernet::fuzz;
  // Other inputs have no text.
  const bool has_text = size > 0 && data[0] == 0;
  return MutateTail(data, size, most, has_text ? seed : 0, 1, MutateToken);
}
