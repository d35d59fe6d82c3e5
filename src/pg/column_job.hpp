// A job on a whole column: passes of batches with a commit after each.
#pragma once

#include "pg/boundary.hpp"
#include "pg/page_batch.hpp"
#include "pg/value_change.hpp"

namespace fernet::pg {

// ColumnJob is what a caller asks for.
struct ColumnJob {
  Oid relation;
  const char *column;
  ValueRule rule;  // its keys must stay good for the whole job
  std::int64_t batch_rows;
  std::int64_t pause_microseconds;  // after each batch
  int slice;                        // from 1
  int slices;
  bool dry_run;
  Oid caller;  // the function that was called, which tells the extension
};

// JobResult is what has become of the column's values.
struct JobResult {
  std::int64_t changed = 0;  // by this job, in all passes
  Tally last;                // what the last pass saw
};

// UnchangedBefore is how many values were as they should be before the job: the
// last pass saw every value, those that the job itself has changed included.
std::int64_t UnchangedBefore(const ColumnJob &job, const JobResult &result);

// RunColumnJob runs `job` in transactions of its own. The caller is connected
// to SPI so that it may commit, and CurrentMemoryContext outlives the commits.
// Raises what CheckColumn does, and 55006 when another job is at work on the
// same column or slice; it is for the caller to say what is left at the end.
JobResult RunColumnJob(const ColumnJob &job);

}  // namespace fernet::pg
