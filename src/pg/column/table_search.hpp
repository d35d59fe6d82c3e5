// Tokens in all columns of one table, in one reading of it.
#pragma once

#include "pg/column/token_tally.hpp"
#include "pg/server/boundary.hpp"
#include "pg/session/session_keys.hpp"

namespace fernet::pg {

// SearchedPlace is what a search has found in one place, or why it was not
// searched. Its memory is valid while the sink is called.
struct SearchedPlace {
  Oid relation = InvalidOid;     // a table, or the one that the place is at
  const char *column = nullptr;  // null for the whole relation
  const char *type = nullptr;    // of the column, or the kind of the place
  const TokenTally *tally = nullptr;
  const TokenTally *vanished = nullptr;  // with SearchRule::since
  const char *not_read = nullptr;        // why, a sentence; else null
  const char *name = nullptr;            // of a place that is no column
};
using PlaceSink = void (*)(const SearchedPlace &place, void *state);

// PageCount counts what a search has read.
struct PageCount {
  std::int64_t tables = 0;
  std::int64_t pages = 0;
  std::int64_t read = 0;
};

// SearchRule is how tables are searched.
struct SearchRule {
  SessionKeys keys;
  double percent = 100;         // of the pages of each table
  Snapshot snapshot = nullptr;  // of all tables; null: a new one for each,
                                // whose lock is let go afterwards
  Snapshot since = nullptr;     // of a watch: tally rows that vanished since
  PlaceSink sink = nullptr;
  void *state = nullptr;
};

// SearchTable looks for tokens in every column of `relation` and of its
// partitions in which there can be some: a table, a materialized view, or a
// foreign table. It tells the sink of each column with a token, and of whatever
// was not read.
//
// The table is locked in ACCESS SHARE. Privileges and row security are those of
// `relation`, as in a query. Runs no code of others. Raises what the server
// does when it cannot go on, and failures of libcrypto.
//
// With the snapshot of a proof, it counts values by a query as well, and raises
// what RequireSameCount does.
void SearchTable(Oid relation, const SearchRule &rule, PageCount *pages);

// CannotHoldTokens says whether values of `type` are known to hold none.
bool CannotHoldTokens(Oid type);

}  // namespace fernet::pg
