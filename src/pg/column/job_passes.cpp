#include "pg/column/job_passes.hpp"

#include <algorithm>
#include <utility>

#include "pg/report/report.hpp"
#include "pg/server/interrupts.hpp"
#include "pg/server/transactions.hpp"
#include "pg/server/unix_time.hpp"

namespace fernet::pg {
namespace {

// Slices take turns with stripes of this many pages. The stripes do not depend
// on the size of the table when a slice starts, so every page belongs to a
// slice.
constexpr BlockNumber kStripePages = 256;

// What a batch may do, because the application may wait for the rows that it
// has written.
constexpr std::int64_t kBatchBytes = 8 * 1024 * 1024;  // of new values
constexpr std::int64_t kBatchTime = 200000;            // microseconds
constexpr BlockNumber kBatchPages = 8192;  // that hold no value at all

// AFTER triggers fire when a batch has written its rows: how long they take is
// known once a few rows have fired them.
constexpr std::int64_t kFirstRowsWithTriggers = 32;

constexpr std::int64_t kReadTime = 500000;  // between two looks at the clock

constexpr std::int64_t kAskInterval = 1000000;  // for news of standbys

constexpr int kQuickRetries = 3;
constexpr std::int64_t kFirstWait = 50000;  // microseconds
constexpr std::int64_t kLongestWait = 1000000;
constexpr int kDefaultPatience = 60000;  // milliseconds
// A row whose triggers meet a lock so often is refused by them.
constexpr int kTries = 5;

// AccessNow: two readings that held the lock of a write would wait for each
// other behind an ALTER TABLE.
ColumnAccess AccessNow(const Running &running) {
  return running.reading ? ColumnAccess::kRead : AccessOf(*running.job);
}

void RequireSameColumn(const ColumnJob &job, const char *column,
                       AttrNumber attribute) {
  if (get_attnum(job.relation, column) == attribute) {
    return;
  }
  FERNET_RAISE(
      ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
      errmsg("column %s was renamed or dropped while the job ran",
             NameOf(job.relation, column)),
      errdetail("All batches up to then are committed."),
      errhint("Run the job again, for each column that holds tokens now."));
}

// RequireSameColumns: columns may be renamed, and so swapped, between two
// batches.
void RequireSameColumns(const Running &running) {
  const ColumnJob &job = *running.job;
  for (std::size_t i = 0; i < job.columns.size(); ++i) {
    RequireSameColumn(job, job.columns[i], running.attributes[i]);
  }
  if (job.source != nullptr) {
    RequireSameColumn(job, job.source, running.source);
  }
}

// OpenTable opens `table` anew: the lock of the batch before went with its
// commit. Returns false if it is gone or no longer a part of the relation.
bool OpenTable(const Running &running, Oid table, TableTarget *out) {
  const ColumnJob &job = *running.job;
  const ColumnAccess access = AccessNow(running);
  if (!OpenTarget(table, job.columns, access, out)) {
    return false;
  }
  RequireRights(job.relation, job.columns, access);
  RequireSameColumns(running);
  if (job.source != nullptr) {
    RequireRights(job.relation, ColumnNames(&job.source, 1),
                  ColumnAccess::kRead);
    OpenSource(job.source, out);
  }
  if (!IsBelow(job.relation, table)) {
    CloseTarget(*out);
    return false;
  }
  return true;
}

// NextRange is the next rows of this slice from the beginning of `rest` on.
PageRange NextRange(const Running &running, PageRange rest) {
  PageRange range = rest;
  const auto slices = static_cast<BlockNumber>(running.job->slices);
  if (slices > 1) {
    const auto own = static_cast<BlockNumber>(running.job->slice - 1);
    BlockNumber stripe = range.from / kStripePages;
    if (stripe % slices != own) {
      stripe += (own + slices - stripe % slices) % slices;
      range.from = static_cast<BlockNumber>(std::min<std::int64_t>(
          rest.end, std::int64_t{stripe} * kStripePages));
      range.first = 0;
    }
    range.end = static_cast<BlockNumber>(std::min<std::int64_t>(
        rest.end, (std::int64_t{stripe} + 1) * kStripePages));
  }
  range.end = static_cast<BlockNumber>(std::min<std::int64_t>(
      range.end, std::int64_t{range.from} + kBatchPages));
  return range;
}

// AdaptBatch lets batches grow while they are quick, and shrink where the
// AFTER triggers of a batch take long or it meets locks of others.
void AdaptBatch(Running *running, const BatchResult &batch, std::int64_t took) {
  std::int64_t rows = running->rows_per_batch;
  if (batch.met_lock) {
    rows /= 8;
  } else if (took > kBatchTime) {
    rows /= 2;
  } else if (took < kBatchTime / 2) {
    rows *= 2;
  }
  running->rows_per_batch =
      std::clamp<std::int64_t>(rows, 1, running->job->batch_rows);
}

// BeginTable shrinks the first batches of a table with AFTER triggers.
void BeginTable(Running *running, const TableTarget &target) {
  const TriggerDesc *const triggers = target.relation->trigdesc;
  if (triggers != nullptr && (triggers->trig_update_after_row ||
                              triggers->trig_update_after_statement)) {
    running->rows_per_batch =
        std::min(running->rows_per_batch, kFirstRowsWithTriggers);
  }
}

void AddToPass(Running *running, const BatchResult &batch) {
  running->tally.Add(batch.tally);
  for (std::size_t i = 0; i <= running->job->columns.size(); ++i) {
    running->of_column[i] += batch.of_column[i];
  }
}

// WriteRange is one batch, and commits it.
BatchResult WriteRange(Running *running, const TableTarget &target,
                       PageRange range, const BatchOrder &order) {
  const TimestampTz start = GetCurrentTimestamp();
  const BatchResult batch = RunBatch(target, running->job->rule, range, order,
                                     &running->warnings, &running->left);
  // Not with the commit, which may wait for a standby.
  AdaptBatch(running, batch, GetCurrentTimestamp() - start);
  CloseTarget(target);
  const Tally &tally = batch.tally;
  AddToPass(running, batch);
  running->pages_done += batch.rest.from - range.from;
  running->changed += tally.changed;
  running->refused += tally.refused;
  CountChanges(tally, running->job->rule.direction);
  Commit(running);
  Record(running);
  return batch;
}

BatchResult ReadRange(Running *running, const TableTarget &target,
                      PageRange range) {
  const BatchResult batch =
      ReadBatch(target, running->job->rule, range,
                {.microseconds = kReadTime,
                 .tries_writing = running->job->dry_run,
                 .fresh_since = static_cast<std::uint64_t>(
                     TimestampToUnixSeconds(running->started) + 1)},
                &running->warnings, &running->left);
  CloseTarget(target);
  running->pages_done += batch.rest.from - range.from;
  AddToPass(running, batch);
  MemoryContextReset(running->batch_memory);
  return batch;
}

BatchOrder OrderOf(const Running &running) {
  return {.rows = running.rows_per_batch,
          .bytes = kBatchBytes,
          .microseconds = kBatchTime,
          .fires_deferred = true};
}

void WaitForStandbys(Running *running) {
  bool told = false;
  TimestampTz asked = GetCurrentTimestamp();
  while (IsTooFar(&running->lag)) {
    if (!told) {
      told = true;
      Record(running, JobState::kWaiting);
      ereport(
          NOTICE,
          errmsg("waiting for a standby that lags by more than \"max_lag\""),
          HideStatement());
    }
    SleepFor(kFirstWait);
    if (GetCurrentTimestamp() - asked >= kAskInterval) {
      asked = GetCurrentTimestamp();
      AskForNews();
    }
    Commit(running);
  }
  if (told) {
    Record(running);
  }
}

// AfterBatch gives way to everything else on the server.
void AfterBatch(Running *running, const BatchResult &batch) {
  NoticeProgress(running);
  if (running->reading) {
    return;
  }
  const std::int64_t pause = running->job->pause_microseconds;
  if (pause > 0 && batch.tally.total() > 0) {
    SleepFor(pause);
  }
  WarnOfArchive(running);
  WaitForStandbys(running);
}

// PassOverTable goes once over the pages that `table` has when it starts.
void PassOverTable(Running *running, Oid table) {
  PageRange rest = {0, InvalidBlockNumber};
  while (!rest.empty()) {
    TableTarget target;
    if (!OpenTable(*running, table, &target)) {
      return;
    }
    if (rest.end == InvalidBlockNumber) {
      rest.end = target.pages;
      running->pages_of_pass += target.pages;
      BeginTable(running, target);
    }
    const PageRange range = NextRange(*running, rest);
    running->pages_done += range.from - rest.from;  // of other slices
    const BatchResult batch =
        running->reading
            ? ReadRange(running, target, range)
            : WriteRange(running, target, range, OrderOf(*running));
    rest.from = batch.rest.from;
    rest.first = batch.rest.first;
    AfterBatch(running, batch);
  }
}

// ForgetPass forgets what the pass before has counted.
void ForgetPass(Running *running, bool reading) {
  running->reading = reading;
  running->pass += reading ? 0 : 1;
  running->pages_done = 0;
  running->pages_of_pass = 0;
  running->tally = {};
  std::fill_n(running->of_column, running->job->columns.size() + 1, 0);
  running->left.Clear();
  running->pass_started = GetCurrentTimestamp();
}

void RequireRelation(const Running &running) {
  if (get_rel_name(running.job->relation) == nullptr) {
    FERNET_RAISE(ERRCODE_UNDEFINED_TABLE,
                 errmsg("%s no longer exists", running.name));
  }
}

// BeginPass starts a transaction for a pass that writes.
void BeginPass(Running *running) {
  ForgetPass(running, false);
  Commit(running);
  RequireRelation(*running);
}

// RetryRange goes over pages that were left, with `order` for each batch.
void RetryRange(Running *running, const LeftPages::Range &left,
                const BatchOrder *order, TimestampTz end) {
  PageRange rest = left.pages;
  while (!rest.empty() && GetCurrentTimestamp() < end) {
    TableTarget target;
    if (!OpenTable(*running, left.table, &target)) {
      return;
    }
    PageRange range = rest;
    range.end = std::min(range.end, target.pages);
    if (range.empty()) {
      CloseTarget(target);
      return;
    }
    if (rest.from == left.pages.from && rest.first == left.pages.first) {
      BeginTable(running, target);
    }
    const BatchResult batch = WriteRange(
        running, target, range, order != nullptr ? *order : OrderOf(*running));
    rest.from = batch.rest.from;
    rest.first = batch.rest.first;
    NoticeProgress(running);
    WaitForStandbys(running);
  }
  // What there was no time for is still left.
  for (BlockNumber page = rest.from; page < rest.end; ++page) {
    running->left.Add(left.table, page);
  }
}

// RetryOnce goes once over all pages that were left.
void RetryOnce(Running *running, const BatchOrder *order,
               TimestampTz end = DT_NOEND) {
  LeftPages left(running->job_memory);
  left.Take(&running->left);
  left.Sort();
  running->tally = {};
  running->pages_done = 0;
  running->pages_of_pass = left.pages();
  for (const LeftPages::Range &range : left.ranges()) {
    RetryRange(running, range, order, end);
  }
  left.Clear();
}

// WaitForEach waits for the rows that are left, one at a time.
void WaitForEach(Running *running) {
  const TimestampTz end = GetCurrentTimestamp() + PatienceMicroseconds();
  std::int64_t wait = kFirstWait;
  int tries = 0;
  while (!running->left.empty() && GetCurrentTimestamp() < end) {
    ++tries;
    const BatchOrder order = {.rows = 1,
                              .busy = BatchOrder::kWait,
                              .is_last_try = tries >= kTries,
                              .fires_deferred = true};
    RetryOnce(running, &order, end);
    if (!running->left.empty()) {
      SleepFor(wait);
      wait = std::min(2 * wait, kLongestWait);
    }
  }
  running->has_waited = !running->left.empty();
}

// NameBusy writes what is left, or warns of it.
void NameBusy(Running *running) {
  BatchOrder order = OrderOf(*running);
  order.busy = BatchOrder::kName;
  const bool muted = std::exchange(running->warnings.muted, false);
  RetryOnce(running, &order);
  running->warnings.muted = muted;
}

}  // namespace

ColumnAccess AccessOf(const ColumnJob &job) {
  return job.dry_run ? ColumnAccess::kTry : ColumnAccess::kWrite;
}

std::int64_t PatienceMicroseconds() {
  return std::int64_t{1000} *
         (LockTimeout > 0 ? LockTimeout : kDefaultPatience);
}

void Commit(Running *running) {
  CommitAndStart();
  MemoryContextSwitchTo(running->batch_memory);
  MemoryContextReset(running->batch_memory);
  static_cast<void>(set_config_option("transaction_isolation", "read committed",
                                      PGC_USERSET, PGC_S_SESSION,
                                      GUC_ACTION_LOCAL, true, 0, false));
  // The application waits for its rows, and a reading waits for the disk.
  CommitWithoutDisk();
  // A deferred constraint would raise its error at the commit, when it is too
  // late to tell which row caused it.
  SetAllImmediate();
}

void WritePass(Running *running) {
  BeginPass(running);
  // Looked up in each pass: partitions come and go.
  MemoryContextSwitchTo(running->job_memory);
  List *const tables =
      TablesBelow(running->job->relation, ColumnAccess::kWrite);
  MemoryContextSwitchTo(running->batch_memory);
  for (int i = 0; i < list_length(tables); ++i) {
    PassOverTable(running, list_nth_oid(tables, i));
  }
  list_free(tables);
  Commit(running);
}

void RetryLeft(Running *running) {
  if (running->left.empty()) {
    return;
  }
  LeftPages left(running->job_memory);
  left.Take(&running->left);
  BeginPass(running);
  running->left.Take(&left);
  std::int64_t wait = kFirstWait;
  RetryOnce(running, nullptr);
  for (int i = 1; i < kQuickRetries && !running->left.empty(); ++i) {
    SleepFor(wait);
    wait *= 2;
    RetryOnce(running, nullptr);
  }
  if (!running->left.empty() && !running->has_waited) {
    WaitForEach(running);
  }
  if (!running->left.empty()) {
    NameBusy(running);
  }
}

Tally ReadPass(Running *running, Proof *proof) {
  ForgetPass(running, true);
  Record(running);
  if (proof == nullptr) {
    Commit(running);
  }
  RequireRelation(*running);
  MemoryContextSwitchTo(running->job_memory);
  const Reading reading = BeginReading(running->job->relation, Reader::kAlone);
  MemoryContextSwitchTo(running->batch_memory);
  for (int i = 0; i < list_length(reading.tables); ++i) {
    PassOverTable(running, list_nth_oid(reading.tables, i));
  }
  if (proof != nullptr) {
    RequireSameColumns(*running);
    RequireSameCount(
        reading, running->job->relation,
        ColumnsToCount(running->job->columns, running->job->source),
        running->of_column);
    running->subscribed = IsSubscribed(reading);
    JudgeProof(reading, running->job->columns, proof);
  }
  EndReading(reading);
  if (proof != nullptr) {
    EndProof(*proof);
  }
  list_free(reading.tables);
  running->reading = false;
  running->is_proved = proof != nullptr && proof->holds;
  running->seen = running->tally;
  ++running->readings;
  Commit(running);
  return running->tally;
}

}  // namespace fernet::pg
