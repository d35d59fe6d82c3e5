// What a job does now, for its client, the ledger and the server log.
#pragma once

#include "pg/column/column_job.hpp"
#include "pg/column/failure_warnings.hpp"
#include "pg/column/ledger.hpp"
#include "pg/column/left_pages.hpp"
#include "pg/column/page_batch.hpp"
#include "pg/column/standby_lag.hpp"

namespace fernet::pg {

// Running is the state of a job; plain data.
struct Running {
  const ColumnJob *job;
  const char *name;            // of the columns, while they are there
  const char *operation;       // for the ledger and the log
  MemoryContext job_memory;    // as long as the job
  MemoryContext batch_memory;  // reset after each batch
  FailureWarnings warnings;
  const AttrNumber *attributes;  // of the columns in the relation
  AttrNumber source;             // 0 if the job has none
  Ledger *ledger;                // null for a dry run
  StandbyLag lag;

  TimestampTz started;
  TimestampTz pass_started;
  TimestampTz last_notice;
  TimestampTz last_record;
  TimestampTz last_look_at_archive;  // 0: never

  std::int64_t rows_per_batch;  // what the last batches have shown to be quick
  LeftPages left;               // of this pass
  bool has_waited;              // as long as it may, for rows of others
  int pass;                     // of those that write
  bool reading;                 // this pass reads, with one snapshot
  std::int64_t pages_done;      // of this pass
  std::int64_t pages_of_pass;
  Tally tally;  // of this pass so far
  // See BatchResult; of this pass so far.
  std::int64_t *of_column;
  Tally seen;  // by the last reading
  int readings;

  std::int64_t changed;  // by this job
  std::int64_t refused;  // rows that the table or its triggers refused
  bool subscribed;       // see IsSubscribed
  bool is_proved;        // the last reading was a proof that holds
};

// Record writes the progress into the ledger. No row is locked then.
void Record(Running *running, JobState state = JobState::kRunning);
void RecordEnd(const Running &running, const JobResult &result);

// NoticeStart, NoticeProgress and NoticeEnd tell the client. NoticeProgress
// does, and calls Record, only now and then.
void NoticeStart(const Running &running);
void NoticeProgress(Running *running);
// WarnOfArchive warns now and then if the WAL archiver fails.
void WarnOfArchive(Running *running);
void NoticeEnd(const Running &running, const JobResult &result);

}  // namespace fernet::pg
