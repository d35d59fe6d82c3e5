#include "client/values.hpp"

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
      ++look->tally->malformed;
      break;
  }
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

ValueReader::ValueReader(const Keys &keys) : has_keys_(keys.count() > 0) {
  keys.Prepare(&ring_);
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

}  // namespace fernet::client
