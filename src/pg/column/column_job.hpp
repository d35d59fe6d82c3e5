// A job on whole columns: passes of batches with a commit after each.
#pragma once

#include "pg/column/page_batch.hpp"
#include "pg/server/boundary.hpp"
#include "pg/value/value_change.hpp"

namespace fernet::pg {

// ColumnJob is the work that a caller asks for.
struct ColumnJob {
  Oid relation;
  ColumnNames columns;
  const char *source = nullptr;  // whose blind indexes are in the only column
  ValueRule rule;                // its keys must stay good for the whole job
  std::int64_t batch_rows;
  std::int64_t pause_microseconds;    // after each batch
  std::int64_t max_lag_microseconds;  // of a standby; 0 for any
  int slice;                          // from 1
  int slices;
  bool dry_run;
  Oid caller;  // the function that was called, which tells the extension
};

// JobResult counts the columns' values: `changed` by this job, the others as
// one snapshot saw them at the end.
struct JobResult {
  std::int64_t changed = 0;    // by this job; of a dry run, to be changed
  std::int64_t unchanged = 0;  // as they should be before the job
  std::int64_t plaintext = 0;
  std::int64_t failed = 0;
  std::int64_t pending = 0;  // locked, or written by the application meanwhile
  std::int64_t fresh =
      0;  // of those: encrypted with an old key since the start
  std::int64_t total = 0;

  std::int64_t left() const { return failed + pending; }
};

// RunColumnJob runs `job` in transactions of its own. The caller may commit
// (see CommitAndStart), and CurrentMemoryContext outlives the commits. Raises
// what CheckColumns raises, and 55006 when another job works on the same table
// or slice. The caller reports what is left at the end.
JobResult RunColumnJob(const ColumnJob &job);

}  // namespace fernet::pg
