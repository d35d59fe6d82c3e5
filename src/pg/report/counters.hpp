// Counters for the view pg_stat_fernet: uses and failures of each database, in
// shared memory.
#pragma once

#include <array>

#include "core/status.hpp"
#include "pg/server/boundary.hpp"

namespace fernet::pg::counters {

enum Kind : std::uint8_t {
  kEncrypted,
  kDecrypted,
  kRotated,
  kMalformed,   // PF003
  kNoKeyOpens,  // PF004
  kWrongAge,    // PF005
  kKeyErrors,   // PF001, PF002, PF006
  kKinds,
};

using Counts = std::array<std::uint64_t, kKinds>;

// Add counts `times` events in this session. They reach shared memory at the
// end of the transaction, so a call costs only an addition.
void Add(Kind kind, std::uint64_t times = 1);

// AddIfCommitted counts `times` events when the transaction commits, and not if
// it, or a subtransaction around the call, is rolled back or prepared.
void AddIfCommitted(Kind kind, std::uint64_t times);

// AddFailure counts a token that was refused for the reason `status`.
void AddFailure(Status status);

// Prepare attaches shared memory, if the server has it. A function that will
// count calls it first, because it may raise an error.
void Prepare();

// DatabaseCounts is the sum of all sessions of one database.
struct DatabaseCounts {
  Oid database;
  Counts counts;
  TimestampTz reset;
};

// ForEachDatabase calls `visit` for each database with counts. Returns false if
// the server has no shared memory for us.
bool ForEachDatabase(void (*visit)(const DatabaseCounts &, void *state),
                     void *state);

// Reset sets the counts of this database to zero.
void Reset();

// Install registers hooks and callbacks. Called once, by _PG_init.
void Install();

}  // namespace fernet::pg::counters
