// The values of columns by the key that decrypts them, in one reading.
#pragma once

#include <array>

#include "pg/column/column_target.hpp"
#include "pg/column/reading.hpp"
#include "pg/server/boundary.hpp"
#include "pg/session/session_keys.hpp"

namespace fernet::pg {

// CensusGroup counts values with the same status. For tokens of one key it has
// the oldest and the newest time, in seconds since 1970.
struct CensusGroup {
  std::int64_t values = 0;
  std::uint64_t oldest = 0;
  std::uint64_t newest = 0;

  void Add(std::uint64_t timestamp);
};

// TokenForm is how a token sits in a value.
enum class TokenForm { kWhole, kInside, kEncoded, kNested };
inline constexpr std::size_t kTokenForms = 4;

// CensusTokens counts tokens of one form.
struct CensusTokens {
  std::array<CensusGroup, kMaxKeys> of_key;
  CensusGroup unknown_key;
  CensusGroup no_key_set;
};

// ColumnCensus is the whole count of a column; plain data of a fixed size.
//
// `tokens` counts every token, wherever it sits. The other members count each
// value once. A token that holds others counts with the key that is furthest
// from the first one, an unknown one before all: with that key the value is
// lost. So does a value that is no token and holds some; it is malformed if one
// of them was cut or changed.
struct ColumnCensus {
  SessionKeys keys;  // all null without a key
  std::array<CensusTokens, kTokenForms> tokens;
  std::array<CensusGroup, kMaxKeys> of_key;
  CensusGroup unknown_key;
  CensusGroup no_key_set;
  CensusGroup malformed;
  std::int64_t plaintext = 0;  // malformed values without a trace of a token
  // Of unknown_key: texts that hold such tokens only, and may be plaintexts
  // that quote them; and values that hold one, and are no such text.
  std::int64_t quoting = 0;
  std::int64_t unknown_inside = 0;
  CensusGroup empty;    // empty strings
  CensusGroup without;  // documents, arrays and rows without a token

  CensusTokens *of(TokenForm form) {
    return &tokens[static_cast<std::size_t>(form)];
  }
  std::int64_t values() const;
};

// TakeCensus counts every value of `columns`, with `keys` and in one reading,
// into `out`, which has a place for each column. Raises what CheckColumns,
// BeginReading and RequireSameCount do. Unless it is null, it judges `proof`.
void TakeCensus(Oid relation, ColumnNames columns, const SessionKeys &keys,
                Reader reader, Proof *proof, ColumnCensus *out);

}  // namespace fernet::pg
