// The ledger of jobs: a row for each, behind the view fernet_rotation, and two
// lines in the server log.
//
// A row of the ledger is written while the job holds no row lock, and only if
// that is possible without waiting; otherwise it is written after the next
// batch. So a job never waits for the ledger, nor the application for a job
// because of it. The lines in the log are the durable record.
#pragma once

#include "core/key.hpp"
#include "pg/column/column_target.hpp"
#include "pg/server/boundary.hpp"
#include "pg/server/result_rows.hpp"

namespace fernet::pg {

// LedgerJob is the part of the row and of the log lines that is known at the
// start of a job. It must outlive the job.
struct LedgerJob {
  Oid caller;  // the function that was called, which tells the extension
  Oid relation;
  const char *relation_name;  // qualified
  ColumnNames columns;
  const char *operation;  // rotate or decrypt
  int slice;
  int slices;
  const KeyList *keys;      // for their fingerprints
  std::uint32_t lock_part;  // of the lock by which the job is known to live
};

// JobState says what a job is doing, or how it ended.
enum class JobState : std::uint8_t {
  kRunning,
  kWaiting,  // for a standby, or for transactions that may write an old value
  kDone,
  kFailed,  // something is left
};

// LedgerEntry is the part of a row that changes while the job runs. `done` and
// `total` are in units of the job.
struct LedgerEntry {
  JobState state;
  int pass;
  std::int64_t done;  // of this pass
  std::int64_t total;
  std::int64_t changed;
  std::int64_t unchanged;
  std::int64_t failed;
};

struct Ledger;

// OpenLedger logs the start of `job`, adds a row for it and marks rows whose
// job is gone as interrupted. If `memory` is deleted before CloseLedger was
// called, it logs that the job was interrupted. Without a ledger, there is no
// row.
Ledger *OpenLedger(MemoryContext memory, const LedgerJob &job);

// WriteLedger updates the row. The job must hold no row lock. Raises 55000 if
// the extension of the job was dropped.
void WriteLedger(Ledger *ledger, const LedgerEntry &entry);

// CloseLedger updates the row for the last time, and logs the end.
void CloseLedger(Ledger *ledger, const LedgerEntry &entry);

// PutLedgerRows puts the rows that the current role may see into `rows`, the
// columns of fernet_ledger: its own, all for a member of pg_monitor. During
// recovery there are none. `caller` is the SQL function.
void PutLedgerRows(Oid caller, const ResultRows &rows);

}  // namespace fernet::pg
