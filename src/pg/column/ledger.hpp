// The table fernet_rotation: a row for each job on a column, its progress
// updated in the transaction of each batch.
#pragma once

#include "core/key.hpp"
#include "pg/server/boundary.hpp"

namespace fernet::pg {

// Ledger is this job's row. The table belongs to the owner of the extension,
// under whose identity it is written: callers can read their rows only.
struct Ledger {
  Oid table = InvalidOid;  // invalid: the job is not recorded
  // Together they tell it from the rows of other servers that have been
  // replicated to this one.
  std::int64_t id = 0;
  TimestampTz started = 0;
};

// LedgerEntry is what a row says of a job under way.
struct LedgerEntry {
  const char *state;  // running, done or failed
  int pass;
  std::int64_t pages_done;  // of this pass
  std::int64_t pages_total;
  std::int64_t changed;
  std::int64_t unchanged;
  std::int64_t failed;
};

// LedgerJob is what a row says of its job from the start.
struct LedgerJob {
  Oid relation;
  const char *relation_name;  // qualified
  const char *column;
  const char *operation;  // rotate or decrypt
  int slice;
  int slices;
  const Key *first_key;     // for its fingerprint
  std::uint32_t lock_part;  // of the lock by which the job is known to live
};

// OpenLedger adds a row for `job` to the ledger of the extension that the
// function `caller` belongs to, if it has one and its owner wants the row, and
// marks rows whose job is gone as interrupted. The caller is connected to SPI.
Ledger OpenLedger(Oid caller, const LedgerJob &job);

// WriteLedger brings the row up to date, where there is one. Raises 55000 if
// the ledger is gone, and with it the extension that the job belongs to.
void WriteLedger(const Ledger &ledger, const LedgerEntry &entry);

}  // namespace fernet::pg
