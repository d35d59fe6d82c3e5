// The tokens in a value that is not one, and in the plaintext of a token.
#pragma once

#include "core/recogniser.hpp"
#include "pg/server/boundary.hpp"
#include "pg/session/session_keys.hpp"

namespace fernet::pg {

// FindPlaces tells `found` of every token in `value`, FindPlacesInside of every
// token in the plaintext of the one in `*reader`, which the key at `index`
// decrypts. `keys` has null members without a key. Both return kOk or
// kTooManyCandidates, FindPlacesInside also kNoKeyOpens for a wrong padding.
// They raise failures of libcrypto and pending interrupts.
Status FindPlaces(const SessionKeys &keys, const varlena *value,
                  FoundPlace found, void *state);
Status FindPlacesInside(const SessionKeys &keys, TokenReader *reader,
                        std::uint32_t index, FoundPlace found, void *state);

// FindPlacesInPart is FindPlaces for a part of a value; `shared` is for all
// parts.
Status FindPlacesInPart(const SessionKeys &keys, std::span<const char> part,
                        Allowance *shared, FoundPlace found, void *state);

// TokenTraces counts the places of a value.
struct TokenTraces {
  Status status = Status::kOk;  // what FindPlaces or FindPlacesInside returned
  std::int64_t primary = 0;     // tokens that the first key decrypts
  std::int64_t secondary = 0;   // tokens that another key decrypts
  std::int64_t unknown = 0;  // tokens that no key decrypts, or none was tried
  std::int64_t remnants = 0;
  std::uint32_t last_key =
      0;  // of those that decrypt some: furthest from first
  std::uint64_t newest_secondary =
      0;             // the latest time of the secondary ones; see Place
  Place first = {};  // the first token, or else the first remnant

  bool has_token() const { return primary + secondary + unknown > 0; }
  // holds_only_unknown: every trace is a token that no key decrypts.
  bool holds_only_unknown() const {
    return unknown > 0 && primary + secondary + remnants == 0 &&
           status == Status::kOk;
  }
  bool any() const {
    return has_token() || remnants > 0 || status == Status::kTooManyCandidates;
  }
};

// CountPlace is the FoundPlace whose state is a TokenTraces.
void CountPlace(const Place &place, void *state) noexcept;

TokenTraces TraceTokens(const SessionKeys &keys, const varlena *value);
TokenTraces TraceTokensInside(const SessionKeys &keys, TokenReader *reader,
                              std::uint32_t index);

// RotateNested returns a copy of `value`, a token, in which it and the tokens
// inside of it are encrypted with the first key, in the same size. Only for a
// value in which the places were found without kTooManyCandidates.
varlena *RotateNested(const SessionKeys &keys, const varlena *value);

// RotateFound returns a copy of `part` as RotatePart does, and tells `found` of
// every token as it was. Null unless `*out_status`, which is what FindPlaces
// returns, is kOk.
varlena *RotateFound(const SessionKeys &keys, std::span<const char> part,
                     Allowance *shared, FoundPlace found, void *state,
                     Status *out_status);

// RotatePart returns a copy of `part`, of the same size, in which the tokens
// are encrypted with the first key, or null if they are already. Only for a
// part in which the places were found without kTooManyCandidates.
varlena *RotatePart(const SessionKeys &keys, std::span<const char> part,
                    Allowance *shared);

}  // namespace fernet::pg
