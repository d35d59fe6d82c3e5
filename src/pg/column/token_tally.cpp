#include "pg/column/token_tally.hpp"

#include <numeric>

#include "core/recogniser.hpp"
#include "pg/server/interrupts.hpp"
#include "pg/value/inner_tokens.hpp"
#include "pg/value/token_places.hpp"
#include "pg/value/token_value.hpp"
#include "pg/value/value_form.hpp"

namespace fernet::pg {
namespace {

struct Tallier {
  TokenTally *out;
  bool is_whole = false;  // the value is a token
};

TokenForm FormOf(const Place &place, bool is_whole) {
  if (place.nesting > 0) {
    return TokenForm::kNested;
  }
  if (place.decodings > 0) {
    return TokenForm::kEncoded;
  }
  return is_whole ? TokenForm::kWhole : TokenForm::kInside;
}

void AddPlace(const Place &place, void *state) noexcept {
  const auto *const tallier = static_cast<const Tallier *>(state);
  const auto form = static_cast<std::size_t>(FormOf(place, tallier->is_whole));
  switch (place.kind) {
    case Place::kOpened:
      ++tallier->out->of_key[form][place.key_index];
      break;
    case Place::kUnknownKey:
      ++tallier->out->unknown_key[form];
      break;
    case Place::kNotTried:
      ++tallier->out->no_key_set[form];
      break;
    case Place::kRemnant:
      // Inside of a token it is a part of a good one.
      tallier->out->malformed += place.nesting == 0 ? 1 : 0;
      break;
  }
}

bool IsToken(const varlena *value) {
  TokenReader reader(MayGoOn);
  return LoadValue(value, &reader).ok();
}

void AddStatus(Status status, TokenTally *out) {
  out->too_many += status == Status::kTooManyCandidates ? 1 : 0;
}

template <typename Numbers>
std::int64_t Sum(const Numbers &numbers, std::size_t from = 0) {
  return std::accumulate(numbers.begin() + static_cast<std::ptrdiff_t>(from),
                         numbers.end(), std::int64_t{0});
}

}  // namespace

std::int64_t TokenTally::of_primary() const {
  std::int64_t tokens = 0;
  for (const auto &form : of_key) {
    tokens += form[0];
  }
  return tokens;
}

std::int64_t TokenTally::of_secondary() const {
  std::int64_t tokens = 0;
  for (const auto &form : of_key) {
    tokens += Sum(form, 1);
  }
  return tokens;
}

std::int64_t TokenTally::of_unknown() const {
  return Sum(unknown_key) + Sum(no_key_set);
}

bool TokenTally::has_any() const {
  return of_primary() + of_secondary() + of_unknown() + malformed + too_many +
             not_read >
         0;
}

void TallyValue(const SessionKeys &keys, Datum value, Oid type,
                TokenTally *out) {
  Tallier tallier = {.out = out};
  if (FormOf(type) == ValueForm::kText) {
    varlena *const text = PG_DETOAST_DATUM_PACKED(value);
    if (!MayHoldPlaces(ViewText(text))) {
      return;
    }
    value = PointerGetDatum(text);
    tallier.is_whole = IsToken(text);
  }
  const InnerTokens inner =
      TraceInnerTokens(keys, value, type, AddPlace, &tallier);
  AddStatus(inner.traces.status, out);
  if (OidIsValid(inner.not_read)) {
    ++out->not_read;
    out->not_read_type = inner.not_read;
  }
}

void TallyPart(const SessionKeys &keys, std::span<const char> part,
               TokenTally *out) {
  Tallier tallier = {.out = out};
  if (MayHoldPlaces(part)) {
    AddStatus(FindPlacesInPart(keys, part, nullptr, AddPlace, &tallier), out);
  }
}

}  // namespace fernet::pg
