#include "pg/column/column_job.hpp"

#include <algorithm>
#include <utility>

#include "pg/column/job_lock.hpp"
#include "pg/column/ledger.hpp"
#include "pg/column/reading.hpp"
#include "pg/column/triggers.hpp"
#include "pg/report/report.hpp"
#include "pg/server/interrupts.hpp"

namespace fernet::pg {
namespace {

// Slices take turns with stripes of this many pages. The stripes do not depend
// on the size of the table when a slice starts, so every page belongs to a
// slice.
constexpr BlockNumber kStripePages = 256;

// Passes repeat while something is left. There is a limit because the
// application may hold a lock, or write with an old key, for ever.
constexpr int kMaxPasses = 8;
constexpr std::int64_t kFirstWait = 200000;  // microseconds, for locked rows
constexpr std::int64_t kLongestWait = 2000000;

constexpr std::int64_t kNoticeInterval = 5000000;  // microseconds

// A batch reads at most this many pages, however few rows they hold: a batch
// must end, because the application may wait for it.
constexpr std::int64_t kMaxBatchPages = 8192;

// Running is the state of a job; plain data.
struct Running {
  const ColumnJob *job;
  const char *name;            // of the column, while it is known to be there
  const char *operation;       // for the ledger and the log
  MemoryContext batch_memory;  // reset after each batch
  FailureWarnings warnings;
  std::int64_t pages_per_batch = 0;
  double densest = 0;  // rows of a page, of this table
  int pass = 0;
  std::int64_t changed = 0;
  TimestampTz started;
  TimestampTz pass_started;
  TimestampTz last_notice;
  std::int64_t pages_done = 0;  // of this pass
  std::int64_t pages_of_pass = 0;
  Ledger *ledger = nullptr;
  Tally tally;              // of this pass so far
  bool reading = false;     // this pass reads, with one snapshot
  AttrNumber attribute;     // of the column in the relation
  bool subscribed = false;  // see IsSubscribed
};

// Record writes the progress of a pass that writes into the ledger, at the
// start of a transaction: no row is locked then.
void Record(const Running &running, JobState state = JobState::kRunning) {
  // From the second pass on, the job meets its own work.
  const std::int64_t own_work = running.pass > 1 ? running.changed : 0;
  WriteLedger(running.ledger, {.state = state,
                               .pass = running.pass,
                               .done = running.pages_done,
                               .total = running.pages_of_pass,
                               .changed = running.changed,
                               .unchanged = std::max<std::int64_t>(
                                   running.tally.unchanged - own_work, 0),
                               .failed = running.tally.left()});
}

void RecordEnd(const Running &running, const JobResult &result) {
  CloseLedger(running.ledger, {.state = result.left() == 0 ? JobState::kDone
                                                           : JobState::kFailed,
                               .pass = running.pass,
                               .done = running.pages_done,
                               .total = running.pages_of_pass,
                               .changed = result.changed,
                               .unchanged = result.unchanged,
                               .failed = result.left()});
}

ColumnAccess AccessOf(const ColumnJob &job) {
  return job.dry_run ? ColumnAccess::kRead : ColumnAccess::kWrite;
}

// AccessNow: two readings that held the lock of a write would wait for each
// other behind an ALTER TABLE.
ColumnAccess AccessNow(const Running &running) {
  return running.reading ? ColumnAccess::kRead : AccessOf(*running.job);
}

// Commit ends a transaction of the job and starts the next. All use READ
// COMMITTED, so a batch and a reading take a new snapshot. The session's
// default does not matter.
void Commit(Running *running) {
  SPI_commit();
  MemoryContextSwitchTo(running->batch_memory);
  MemoryContextReset(running->batch_memory);
  static_cast<void>(set_config_option("transaction_isolation", "read committed",
                                      PGC_USERSET, PGC_S_SESSION,
                                      GUC_ACTION_LOCAL, true, 0, false));
  // A deferred constraint would raise its error at the commit, when it is too
  // late to tell which row caused it.
  ConstraintsSetStmt immediate = {};
  NodeSetTag(&immediate, T_ConstraintsSetStmt);
  AfterTriggerSetState(&immediate);
}

double SecondsSince(TimestampTz start) {
  return std::max(
      static_cast<double>(GetCurrentTimestamp() - start) / USECS_PER_SEC,
      0.001);
}

void NoticeProgress(Running *running) {
  const TimestampTz now = GetCurrentTimestamp();
  if (now - running->last_notice < kNoticeInterval) {
    return;
  }
  running->last_notice = now;
  const double seconds = SecondsSince(running->started);
  const double share =
      std::clamp(static_cast<double>(running->pages_done) /
                     static_cast<double>(
                         std::max<std::int64_t>(running->pages_of_pass, 1)),
                 0.0001, 1.0);
  ereport(
      NOTICE,
      errmsg(INT64_FORMAT " values changed, %.0f values/s; %s pass %d, "
                          "%.0f %%, about %.0f s left",
             running->changed, static_cast<double>(running->changed) / seconds,
             running->reading ? "reading" : "writing", running->pass,
             share * 100,
             SecondsSince(running->pass_started) * (1 - share) / share),
      HideStatement());
}

// NextRange is the next pages of this slice from `page` on, or an empty range
// at `pages`.
PageRange NextRange(const Running &running, BlockNumber page,
                    BlockNumber pages) {
  const auto slices = static_cast<BlockNumber>(running.job->slices);
  BlockNumber limit = pages;
  if (slices > 1) {
    const auto own = static_cast<BlockNumber>(running.job->slice - 1);
    BlockNumber stripe = page / kStripePages;
    if (stripe % slices != own) {
      stripe += (own + slices - stripe % slices) % slices;
      page = static_cast<BlockNumber>(
          std::min<std::int64_t>(pages, std::int64_t{stripe} * kStripePages));
    }
    limit = static_cast<BlockNumber>(std::min<std::int64_t>(
        pages, (std::int64_t{stripe} + 1) * kStripePages));
  }
  if (page >= pages) {
    return {pages, pages};
  }
  const std::int64_t end = page + running.pages_per_batch;
  return {page, static_cast<BlockNumber>(std::min<std::int64_t>(end, limit))};
}

// AdaptBatch aims at batch_rows rows by the fullest pages there have been:
// after a stretch of empty ones the next may be full.
void AdaptBatch(Running *running, PageRange range, std::int64_t rows) {
  running->densest = std::max(
      running->densest, static_cast<double>(rows) / (range.end - range.from));
  if (running->densest > 0) {
    running->pages_per_batch = std::clamp<std::int64_t>(
        static_cast<std::int64_t>(
            static_cast<double>(running->job->batch_rows) / running->densest),
        1, kMaxBatchPages);
  }
}

// RequireSameColumn: columns may be renamed, and so swapped, between two
// batches.
void RequireSameColumn(const Running &running) {
  if (get_attnum(running.job->relation, running.job->column) !=
      running.attribute) {
    FERNET_RAISE(
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        errmsg("column %s was renamed or dropped while the job ran",
               running.name),
        errdetail("All batches up to then are committed."),
        errhint("Run the job again, for each column that holds tokens now."));
  }
}

// OpenTable opens `table` anew: the lock of the batch before went with its
// commit. Returns false if it is gone or no longer a part of the relation.
bool OpenTable(const Running &running, Oid table, ColumnTarget *out) {
  const ColumnJob &job = *running.job;
  const ColumnAccess access = AccessNow(running);
  if (!OpenTarget(table, job.column, access, out)) {
    return false;
  }
  RequireRights(job.relation, job.column, access);
  RequireSameColumn(running);
  if (!IsBelow(job.relation, table)) {
    CloseTarget(*out);
    return false;
  }
  return true;
}

void BeginTable(Running *running, const ColumnTarget &target) {
  running->pages_of_pass += target.pages;
  running->densest = 0;
  running->pages_per_batch = std::clamp<std::int64_t>(
      static_cast<std::int64_t>(static_cast<double>(running->job->batch_rows) /
                                PageDensity(target)),
      1, kMaxBatchPages);
}

// WriteRange is one batch, and commits it.
Tally WriteRange(Running *running, const ColumnTarget &target,
                 PageRange range) {
  Tally batch;
  if (range.from < range.end) {
    batch = RunBatch(target, running->job->rule, range, &running->warnings);
  }
  CloseTarget(target);
  running->tally.Add(batch);
  running->changed += batch.changed;
  CountChanges(batch, running->job->rule.direction);
  Commit(running);
  Record(*running);
  return batch;
}

Tally ReadRange(Running *running, const ColumnTarget &target, PageRange range) {
  Tally batch;
  if (range.from < range.end) {
    batch = ReadBatch(target, running->job->rule, range, &running->warnings);
  }
  CloseTarget(target);
  running->tally.Add(batch);
  MemoryContextReset(running->batch_memory);
  return batch;
}

// PassOverTable goes once over the pages that `table` has when it starts.
void PassOverTable(Running *running, Oid table) {
  const std::int64_t pause = running->job->pause_microseconds;
  BlockNumber page = 0;
  BlockNumber pages = InvalidBlockNumber;
  while (page < pages) {
    ColumnTarget target;
    if (!OpenTable(*running, table, &target)) {
      return;
    }
    if (pages == InvalidBlockNumber) {
      pages = target.pages;
      BeginTable(running, target);
    }
    const PageRange range = NextRange(*running, page, pages);
    running->pages_done += range.end - page;
    const Tally batch = running->reading ? ReadRange(running, target, range)
                                         : WriteRange(running, target, range);
    if (range.from < range.end) {
      AdaptBatch(running, range, batch.total());
    }
    NoticeProgress(running);
    if (pause > 0 && !running->reading && batch.total() > 0) {
      SleepFor(pause);
    }
    page = range.end;
  }
}

// BeginPass starts a transaction and forgets what the pass before has counted.
void BeginPass(Running *running, bool reading) {
  running->reading = reading;
  running->pages_done = 0;
  running->pages_of_pass = 0;
  running->tally = {};
  running->pass_started = GetCurrentTimestamp();
  Commit(running);
  if (get_rel_name(running->job->relation) == nullptr) {
    FERNET_RAISE(ERRCODE_UNDEFINED_TABLE,
                 errmsg("%s no longer exists", running->name));
  }
}

// WritePass goes once over all tables, with a transaction and a snapshot for
// each batch: a row that the application moves may pass it by.
Tally WritePass(Running *running, MemoryContext job_memory) {
  ++running->pass;
  BeginPass(running, false);
  // Looked up in each pass: partitions come and go.
  MemoryContextSwitchTo(job_memory);
  List *const tables =
      TablesBelow(running->job->relation, ColumnAccess::kWrite);
  MemoryContextSwitchTo(running->batch_memory);
  for (int i = 0; i < list_length(tables); ++i) {
    PassOverTable(running, list_nth_oid(tables, i));
  }
  list_free(tables);
  Commit(running);
  return running->tally;
}

// ReadPass reads every value once, with one snapshot, and writes nothing. A
// proof compares the number of values with what a query counts.
Tally ReadPass(Running *running, MemoryContext job_memory, bool proof) {
  BeginPass(running, true);
  MemoryContextSwitchTo(job_memory);
  const Reading reading = BeginReading(running->job->relation);
  MemoryContextSwitchTo(running->batch_memory);
  for (int i = 0; i < list_length(reading.tables); ++i) {
    PassOverTable(running, list_nth_oid(reading.tables, i));
  }
  if (proof) {
    RequireSameColumn(*running);
    RequireSameCount(reading, running->job->relation, running->job->column,
                     running->tally.total());
    running->subscribed = IsSubscribed(reading);
  }
  EndReading(reading);
  list_free(reading.tables);
  running->reading = false;
  Commit(running);
  return running->tally;
}

void TellOfWaiting(void *state) {
  const auto &running = *static_cast<const Running *>(state);
  Record(running, JobState::kWaiting);
  ereport(NOTICE,
          errmsg("waiting for open transactions that may still write old "
                 "values to %s",
                 running.name),
          HideStatement());
}

// Prove waits for whoever may still bring an old value, and reads everything.
// One of several slices proves nothing: the gate does, when all have ended.
Tally Prove(Running *running, MemoryContext job_memory) {
  const ColumnJob &job = *running->job;
  if (job.slices > 1) {
    return ReadPass(running, job_memory, false);
  }
  Commit(running);
  WaitForOldWriters(job.relation, running->name, TellOfWaiting, running);
  Record(*running);
  return ReadPass(running, job_memory, true);
}

bool HasWidth(const ColumnJob &job) {
  ColumnTarget target;
  if (!OpenTarget(job.relation, job.column, AccessOf(job), &target)) {
    return false;
  }
  CloseTarget(target);
  return target.max_characters > 0;
}

// RequireWidth refuses an adoption before the first write if the tokens would
// not fit. Other jobs write values of about the same size.
void RequireWidth(Running *running, MemoryContext job_memory) {
  if (running->job->rule.direction != ValueRule::kRotate ||
      running->job->rule.on_plaintext != OnPlaintext::kEncrypt ||
      running->job->dry_run) {
    return;
  }
  if (!HasWidth(*running->job)) {
    return;
  }
  running->warnings.muted = true;
  static_cast<void>(ReadPass(running, job_memory, false));
  running->warnings.muted = false;
  const std::int64_t too_long = std::exchange(running->warnings.too_long, 0);
  if (too_long > 0) {
    FERNET_RAISE(
        ERRCODE_STRING_DATA_RIGHT_TRUNCATION,
        errmsg("column \"%s\" is too narrow for the tokens of " INT64_FORMAT
               " values",
               running->job->column, too_long),
        errdetail("A token has 4 characters for each 3 bytes of its "
                  "plaintext, and about 80 more."),
        errhint("Nothing was changed. Make the column wider, or change its "
                "type to text."));
  }
}

void NoticeStart(const Running &running) {
  const ColumnJob &job = *running.job;
  if (job.rule.direction == ValueRule::kRotate) {
    ereport(NOTICE,
            errmsg("%s %s with key %s",
                   job.dry_run ? "reading, to re-encrypt" : "re-encrypting",
                   running.name, FingerprintOf(job.rule.keys.list->keys()[0])),
            HideStatement());
  }
}

// DescribeKeys says how many tokens each key of the session decrypts, and after
// a proof, which keys the column does not need any more.
const char *DescribeKeys(const Running &running, const JobResult &result) {
  const auto keys = running.job->rule.keys.list->keys();
  const bool proved = running.job->slices == 1 && !running.job->dry_run &&
                      !running.subscribed && result.left() == 0 &&
                      running.tally.of_key[0] > 0;
  StringInfoData text;
  initStringInfo(&text);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    appendStringInfo(&text, " Key %s decrypts " INT64_FORMAT " tokens%s.",
                     FingerprintOf(keys[i]), running.tally.of_key[i],
                     i == 0   ? ", the first key"
                     : proved ? " and is not needed for this column any more"
                              : "");
  }
  if (running.subscribed) {
    appendStringInfoString(
        &text,
        " A subscription writes to this table, so a key may still be needed.");
  }
  return text.data;
}

// DescribeUnknown counts what on_unknown has let pass.
const char *DescribeUnknown(const Running &running) {
  const std::int64_t values = running.tally.holding_unknown;
  return values == 0
             ? ""
             : psprintf(" " INT64_FORMAT
                        " values are or hold a token that no key of the "
                        "session decrypts.",
                        values);
}

void NoticeEnd(const Running &running, const JobResult &result) {
  const ColumnJob &job = *running.job;
  const double seconds = SecondsSince(running.started);
  ereport(
      NOTICE,
      errmsg("%s: " INT64_FORMAT " values %s, " INT64_FORMAT
             " unchanged, " INT64_FORMAT " plaintext, " INT64_FORMAT " failed",
             running.name, result.changed,
             job.dry_run ? "to change" : "changed", result.unchanged,
             result.plaintext, result.left()),
      errdetail("%d %s and one verification in %.1f s, %.0f "
                "values/s.%s%s",
                running.pass, running.pass == 1 ? "pass" : "passes", seconds,
                static_cast<double>(result.changed) / seconds,
                job.rule.direction == ValueRule::kRotate
                    ? DescribeKeys(running, result)
                    : "",
                DescribeUnknown(running)),
      HideStatement());
}

// Judge computes the result from the values that were written and the values
// that were seen at the end. A value that the table refused is seen as one
// still to change.
JobResult Judge(const Running &running, const Tally &written,
                const Tally &seen) {
  JobResult result = {.unchanged = seen.unchanged,
                      .plaintext = seen.plaintext,
                      .failed = seen.failed,
                      .total = seen.total()};
  if (running.job->dry_run) {
    result.changed = seen.changed;
    return result;
  }
  const std::int64_t refused =
      std::clamp<std::int64_t>(written.failed - seen.failed, 0, seen.changed);
  result.changed = running.changed;
  result.unchanged = std::max<std::int64_t>(seen.unchanged - result.changed, 0);
  result.failed += refused;
  result.pending = seen.changed - refused;
  return result;
}

// WriteUntilDone repeats passes until a look at all rows finds nothing left
// that another pass could change.
JobResult WriteUntilDone(Running *running, MemoryContext job_memory) {
  JobResult result;
  std::int64_t wait = kFirstWait;
  while (running->pass < kMaxPasses) {
    const Tally written = WritePass(running, job_memory);
    running->warnings.muted = true;
    result = Judge(*running, written, Prove(running, job_memory));
    if (result.pending == 0) {
      break;
    }
    if (written.changed == 0 && running->pass < kMaxPasses) {
      SleepFor(wait);
      wait = std::min(2 * wait, kLongestWait);
    }
  }
  return result;
}

}  // namespace

JobResult RunColumnJob(const ColumnJob &job) {
  const MemoryContext job_memory = CurrentMemoryContext;
  const AttrNumber attribute =
      CheckColumn(job.relation, job.column, AccessOf(job));
  if (job.rule.direction == ValueRule::kDecrypt) {
    RequireNoEncryption(job.relation, job.column);
  }
  // A dry run needs no right to write, so it must not keep a job from running.
  if (!job.dry_run) {
    TakeTurn(job_memory, job.relation, attribute, job.slice, job.slices);
    NameTriggers(job.relation, attribute);
  }
  const char *const relation_name = quote_qualified_identifier(
      get_namespace_name(get_rel_namespace(job.relation)),
      get_rel_name(job.relation));
  Running running = {
      .job = &job,
      .name = NameOf(job.relation, job.column),
      .operation =
          job.rule.direction == ValueRule::kRotate ? "rotate" : "decrypt",
      .batch_memory = AllocSetContextCreate(job_memory, "pg_fernet batch",
                                            ALLOCSET_DEFAULT_SIZES),
      .warnings = {},
      .started = GetCurrentTimestamp(),
      .pass_started = GetCurrentTimestamp(),
      .last_notice = GetCurrentTimestamp(),
      .tally = {},
      .attribute = attribute,
  };
  NoticeStart(running);
  Commit(&running);
  JobResult result;
  if (job.dry_run) {
    result = Judge(running, {}, ReadPass(&running, job_memory, false));
  } else {
    RequireWidth(&running, job_memory);
    running.ledger = OpenLedger(
        job_memory,
        {.caller = job.caller,
         .relation = job.relation,
         .relation_name = relation_name,
         .columns = &running.job->column,
         .column_count = 1,
         .operation = running.operation,
         .slice = job.slice,
         .slices = job.slices,
         .keys = job.rule.keys.list,
         .lock_part = LockPart(attribute, job.slices == 1 ? 0 : job.slice)});
    Commit(&running);
    result = WriteUntilDone(&running, job_memory);
    RecordEnd(running, result);
    // What the last look still found failing, once.
    CountFailures(running.tally);
  }
  // Not Commit, which would change the isolation level of the transaction after
  // the job.
  SPI_commit();
  MemoryContextSwitchTo(running.batch_memory);
  NoticeEnd(running, result);
  MemoryContextSwitchTo(job_memory);
  return result;
}

}  // namespace fernet::pg
