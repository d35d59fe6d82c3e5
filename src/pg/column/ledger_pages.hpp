// The rows of the ledger and the pages that they are in.
//
// They are in a materialized view, fernet_ledger. PostgreSQL lets nobody attach
// a trigger, rule, policy, default or constraint to one, write to it, lock its
// rows or publish it, whoever owns it. We write to its pages ourselves, with no
// executor and no transaction of the row's own, so that nobody's code runs and
// a row is there as soon as it is written.
#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

inline constexpr const char *kLedgerName = "fernet_ledger";

// kKeptJobs is how many of the newest jobs have a row. A row that is older goes
// when a job begins, unless its own job is still under way.
inline constexpr std::int64_t kKeptJobs = 1000;

// LedgerNumbers is what a row begins with, in the order of the columns of
// fernet_ledger. All of it has a fixed size and can be changed in place.
struct LedgerNumbers {
  std::int64_t id;
  TimestampTz started;
  TimestampTz updated;
  TimestampTz finished;  // -infinity until then
  std::int64_t done;
  std::int64_t total;
  std::int64_t rotated;
  std::int64_t unchanged;
  std::int64_t failed;
  Oid reloid;
  Oid role_id;
  Oid lock_part;
  std::int32_t pid;
  std::int32_t slice;
  std::int32_t slices;
  std::int32_t pass;
  NameData state;  // kRunning, kWaiting, or how the job has ended
};

inline constexpr const char *kRunning = "running";
inline constexpr const char *kWaiting = "waiting";

// LedgerTexts is what a row ends with. It never changes.
struct LedgerTexts {
  const char *operation;
  const char *relation;
  ArrayType *columns;  // of names
  const char *role;
  const char *fingerprint;
};

// kLedgerColumns is how many columns a row has; the first kLedgerNumbers are
// LedgerNumbers.
inline constexpr int kLedgerNumbers = 17;
inline constexpr int kLedgerColumns = 22;

// FindLedger returns the ledger of the extension that the function `caller`
// belongs to, or InvalidOid when it has none that is as we know it.
Oid FindLedger(Oid caller);

// TryOpenLedger opens the ledger to write, in RowExclusiveLock. Returns null
// when that is not possible without waiting.
Relation TryOpenLedger(Oid ledger);

// OpenLedgerToRead opens the ledger, or returns null when there is none.
Relation OpenLedgerToRead(Oid ledger);

// ForEachLedgerRow calls `visit` with each row: a copy, in a memory that goes
// after the call.
void ForEachLedgerRow(Relation ledger,
                      void (*visit)(HeapTuple row, void *state), void *state);

// NumbersOf is the part of a row that ForEachLedgerRow has found.
inline LedgerNumbers *NumbersOf(HeapTuple row) {
  return reinterpret_cast<LedgerNumbers *>(GETSTRUCT(row));
}

// IsUnderWay says whether a row is one of a job that has not ended, or that is
// gone.
bool IsUnderWay(const LedgerNumbers &numbers);

// AddLedgerRow adds a row whose `numbers` lack an id, sets that, tells the
// `place` of the row, and removes rows that are not kept. False if another
// session is adding one.
bool AddLedgerRow(Relation ledger, LedgerNumbers *numbers,
                  const LedgerTexts &texts, ItemPointer place);

// ChangeLedgerRow gives the row `numbers.id` these numbers. `place` is where it
// was last, and is brought up to date. False if it is gone.
bool ChangeLedgerRow(Relation ledger, const LedgerNumbers &numbers,
                     ItemPointer place);

}  // namespace fernet::pg
