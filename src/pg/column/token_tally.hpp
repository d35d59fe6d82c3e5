// The tokens of one place: a column, a large object, a text of a catalog.
#pragma once

#include <array>

#include "pg/column/column_census.hpp"
#include "pg/server/boundary.hpp"
#include "pg/session/session_keys.hpp"

namespace fernet::pg {

// TokenTally counts the tokens of a place by form and by the key that decrypts
// them; plain data of a fixed size.
struct TokenTally {
  std::array<std::array<std::int64_t, kMaxKeys>, kTokenForms> of_key;
  std::array<std::int64_t, kTokenForms> unknown_key;
  std::array<std::int64_t, kTokenForms> no_key_set;
  std::int64_t malformed;  // that were cut or changed
  std::int64_t too_many;   // values in which too much looks like a token
  std::int64_t not_read;   // values with a part of the type `not_read_type`
  Oid not_read_type;

  std::int64_t of_primary() const;
  std::int64_t of_secondary() const;
  std::int64_t of_unknown() const;
  // has_any: there is a token, or something that was not read.
  bool has_any() const;
};

// TallyValue adds the tokens in `value`, of type `type`, to `*out`. `keys` has
// null members without a key. Raises failures of libcrypto and pending
// interrupts.
void TallyValue(const SessionKeys &keys, Datum value, Oid type,
                TokenTally *out);

// TallyPart adds the tokens in a part of something larger.
void TallyPart(const SessionKeys &keys, std::span<const char> part,
               TokenTally *out);

}  // namespace fernet::pg
