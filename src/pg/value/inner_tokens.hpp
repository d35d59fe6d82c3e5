// The tokens inside of a value of any type.
#pragma once

#include "pg/server/boundary.hpp"
#include "pg/session/session_keys.hpp"
#include "pg/value/token_places.hpp"

namespace fernet::pg {

// InnerTokens is what TraceInnerTokens has found.
struct InnerTokens {
  // Remnants are not counted inside of a token: it is good. The place of
  // `first` is in its leaf.
  TokenTraces traces;
  Oid not_read = InvalidOid;  // a type in the value in which nobody can look
};

// TraceInnerTokens counts the tokens in the leaves of `value`, of type `type`.
// `keys` has null members without a key. With `found`, it is told of each place
// that is counted. Raises failures of libcrypto and pending interrupts.
InnerTokens TraceInnerTokens(const SessionKeys &keys, Datum value, Oid type,
                             FoundPlace found = nullptr, void *state = nullptr);

// RotateAndTrace is TraceInnerTokens, and what RotateInnerTokens makes of the
// value in `*out_rotated`, for a type without domains inside. It opens each
// token once for both. The new value is of use only without kTooManyCandidates.
InnerTokens RotateAndTrace(const SessionKeys &keys, Datum value, Oid type,
                           Datum *out_rotated);

// RotateInnerTokens re-encrypts every token in `value` that a key decrypts with
// the first key, where it stands and with its timestamp. Nothing else changes.
// Returns `value` if all are already, else a new value. Only for a value in
// which TraceInnerTokens has not found kTooManyCandidates.
//
// Raises what TraceInnerTokens does, and what a type or a domain says to the
// new value. A domain's code may take the keys away.
Datum RotateInnerTokens(const SessionKeys &keys, Datum value, Oid type);

}  // namespace fernet::pg
