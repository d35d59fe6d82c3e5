#include "client/values.hpp"

#include <algorithm>
#include <memory>

#include "client/cancel.hpp"
#include "client/errors.hpp"
#include "core/secret_pages.hpp"

namespace fernet::client {
namespace {

// Most values fit into the first pages.
constexpr std::size_t kFirstScratch = std::size_t{64} * 1024;

// Look is what the recogniser's places are counted in. A token is the whole
// value if its digits are [begin, end): '=' and white space around it do not
// count.
struct Look {
  std::size_t begin;
  std::size_t end;
  Tally *tally;
};

Form FormOf(const Place &place, const Look &look) {
  if (place.nesting > 0) {
    return kNested;
  }
  if (place.decodings > 0) {
    return kEncoded;
  }
  return place.offset == look.begin && place.offset + place.size == look.end
             ? kWhole
             : kInside;
}

void CountPlace(const Place &place, void *state) noexcept {
  const auto *const look = static_cast<const Look *>(state);
  const Form form = FormOf(place, *look);
  switch (place.kind) {
    case Place::kOpened:
      ++look->tally->of_key[form][place.key_index];
      break;
    case Place::kUnknownKey:
      ++look->tally->unknown_key[form];
      break;
    case Place::kNotTried:
      ++look->tally->no_key_set[form];
      break;
    case Place::kRemnant:
      // Inside of a token it is a part of a good one.
      look->tally->malformed += place.nesting == 0 ? 1 : 0;
      break;
  }
}

// Traces are the tokens of a value that is to be rotated.
struct Traces {
  Look look;
  bool has_unknown_whole;
  bool has_unknown_inside;
  bool has_remnant;
};

void TracePlace(const Place &place, void *state) noexcept {
  auto *const traces = static_cast<Traces *>(state);
  if (place.kind == Place::kUnknownKey) {
    (FormOf(place, traces->look) == kWhole ? traces->has_unknown_whole
                                           : traces->has_unknown_inside) = true;
  } else if (place.kind == Place::kRemnant && place.nesting == 0) {
    traces->has_remnant = true;
  }
}

Change ChangeFor(const Traces &traces, OnUnknown on_unknown, bool has_changed) {
  if (traces.has_unknown_whole && on_unknown != OnUnknown::kLeave) {
    return {Change::kFailed, "no key decrypts it"};
  }
  if (traces.has_unknown_inside && on_unknown == OnUnknown::kFail) {
    return {Change::kFailed, "no key decrypts a token inside"};
  }
  if (traces.has_remnant) {
    return {Change::kFailed, "a token in it was cut or changed"};
  }
  return {has_changed ? Change::kChanged : Change::kUnchanged, ""};
}

bool MayGoOn() noexcept { return !cancel::IsAsked(); }

Look LookAt(std::string_view value, Tally *tally) {
  constexpr std::string_view kSpace = " \t\n\v\f\r";
  const std::size_t begin = value.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) {
    return {0, 0, tally};
  }
  value = value.substr(0, value.find_last_not_of(kSpace) + 1);
  return {begin, value.find_last_not_of('=') + 1, tally};
}

}  // namespace

OnUnknown OnUnknownOf(const std::string &word) {
  return word == "leave"       ? OnUnknown::kLeave
         : word == "plaintext" ? OnUnknown::kPlaintext
                               : OnUnknown::kFail;
}

ValueReader::ValueReader(const Keys &keys) : has_keys_(keys.count() > 0) {
  keys.Prepare(&ring_);
  const SecretPages pages = SecretPages::Map(sizeof(RandomBuffer));
  if (pages.address == nullptr) {
    throw Failure("out of memory");
  }
  ivs_ = std::construct_at(static_cast<RandomBuffer *>(pages.address));
}

std::span<std::uint8_t> ValueReader::Scratch(std::size_t size) {
  if (scratch_.size() < size) {
    // Pages are never given back: the next ones are twice as large.
    const std::size_t wanted =
        std::max({kFirstScratch, 2 * scratch_.size(), size});
    const SecretPages pages = SecretPages::Map(wanted);
    if (pages.address == nullptr) {
      throw Failure("out of memory");
    }
    scratch_ = {static_cast<std::uint8_t *>(pages.address), wanted};
  }
  return scratch_;
}

void ValueReader::Count(std::string_view value, Tally *tally) {
  if (!MayHoldPlaces({value.data(), value.size()})) {
    return;
  }
  Look look = LookAt(value, tally);
  Recogniser recogniser(has_keys_ ? &ring_ : nullptr,
                        Scratch(Recogniser::ScratchSize(value.size())),
                        CountPlace, &look, MayGoOn);
  switch (recogniser.Look({value.data(), value.size()})) {
    case Status::kOk:
      return;
    case Status::kTooManyCandidates:
      ++tally->too_many;
      return;
    case Status::kStopped:
      throw Cancelled();
    default:
      throw Failure("could not complete the cryptographic operation");
  }
}

Change ValueReader::Rotate(std::string_view value, OnUnknown on_unknown,
                           std::string *out) {
  if (!MayHoldPlaces({value.data(), value.size()})) {
    return {};
  }
  Traces traces = {.look = LookAt(value, nullptr),
                   .has_unknown_whole = false,
                   .has_unknown_inside = false,
                   .has_remnant = false};
  *out = value;
  bool has_changed = false;
  Recogniser recogniser(&ring_, Scratch(Recogniser::ScratchSize(value.size())),
                        TracePlace, &traces, MayGoOn);
  switch (recogniser.Rotate({out->data(), out->size()}, ivs_, &has_changed)) {
    case Status::kOk:
      return ChangeFor(traces, on_unknown, has_changed);
    case Status::kTooManyCandidates:
      return {Change::kFailed,
              "more in it looks like a token than can be tried"};
    case Status::kStopped:
      throw Cancelled();
    default:
      throw Failure("could not complete the cryptographic operation");
  }
}

}  // namespace fernet::client
