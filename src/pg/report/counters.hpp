// Counters for the views pg_stat_fernet and pg_stat_fernet_roles: uses and
// failures of each database, and of each role in it, in shared memory.
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

// Add counts `times` events in this session, for the role that SET ROLE has
// left; a function that is SECURITY DEFINER counts for its caller. They reach
// shared memory when the role changes and at the end of the transaction, so a
// call costs only an addition.
void Add(Kind kind, std::uint64_t times = 1);

// AddIfCommitted counts `times` events when the transaction commits, and not if
// it, or a subtransaction around the call, is rolled back or prepared.
void AddIfCommitted(Kind kind, std::uint64_t times);

// AddFailure counts a token that was refused for the reason `status`.
void AddFailure(Status status);

// Prepare attaches shared memory, if the server has it. A function that will
// count calls it first, because it may raise an error.
void Prepare();

// Total is the sum of all sessions of one database, or of those that one role
// had in it. What had no place of its own has invalid Oids.
struct Total {
  Oid database;
  Oid role;
  bool is_of_role;
  Counts counts;
  TimestampTz reset;
};

// ForEachTotal calls `visit` for each database with counts, then for each role
// of a database. Returns false if the server has no shared memory for us.
bool ForEachTotal(void (*visit)(const Total &, void *state), void *state);

// Reset sets the counts of this database to zero.
void Reset();

// Install registers hooks and callbacks. Called once, by _PG_init.
void Install();

}  // namespace fernet::pg::counters
