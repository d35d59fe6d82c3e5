#include "pg/column/column_job.hpp"

#include <algorithm>
#include <utility>

#include "pg/column/job_lock.hpp"
#include "pg/column/ledger.hpp"
#include "pg/column/triggers.hpp"
#include "pg/report/report.hpp"

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
  Tally tally;             // of this pass so far
  bool verifying = false;  // this pass reads, with one snapshot
  std::int64_t adopted = 0;
};

// StatisticsOf is what the job counts for: what it wrote in all passes, and
// what its last look still found failing, once.
Tally StatisticsOf(const Running &running) {
  Tally tally;
  tally.changed = running.changed;
  tally.adopted = running.adopted;
  tally.malformed = running.tally.malformed;
  tally.no_key_opens = running.tally.no_key_opens;
  return tally;
}

// Record writes the progress of a pass that writes into the ledger, at the
// start of a transaction: no row is locked then.
void Record(const Running &running) {
  // From the second pass on, the job meets its own work.
  const std::int64_t own_work = running.pass > 1 ? running.changed : 0;
  WriteLedger(running.ledger, {.state = JobState::kRunning,
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

void Sleep(std::int64_t microseconds) {
  const TimestampTz end = GetCurrentTimestamp() + microseconds;
  while (true) {
    CHECK_FOR_INTERRUPTS();
    const std::int64_t left = end - GetCurrentTimestamp();
    if (left <= 0) {
      return;
    }
    const auto milliseconds =
        static_cast<long>(std::min<std::int64_t>(left, 60000000) / 1000 + 1);
    static_cast<void>(WaitLatch(MyLatch,
                                WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
                                milliseconds, PG_WAIT_EXTENSION));
    ResetLatch(MyLatch);
  }
}

// Commit ends a transaction of the job and starts the next. Write batches use
// READ COMMITTED; verification uses one snapshot. The session's default does
// not matter.
void Commit(Running *running) {
  SPI_commit();
  MemoryContextSwitchTo(running->batch_memory);
  MemoryContextReset(running->batch_memory);
  static_cast<void>(set_config_option(
      "transaction_isolation",
      running->verifying ? "repeatable read" : "read committed", PGC_USERSET,
      PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false));
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
             running->verifying ? "verifying" : "writing", running->pass,
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

// PassOverTable goes once over the pages that `table` has when it starts.
void PassOverTable(Running *running, Oid table) {
  const ColumnJob &job = *running->job;
  BlockNumber page = 0;
  BlockNumber pages = InvalidBlockNumber;
  while (page < pages) {
    ColumnTarget target;
    // Opened anew in each transaction: the lock went with the last commit.
    if (!OpenTarget(table, job.column, AccessOf(job), &target)) {
      return;
    }
    RequireRights(job.relation, job.column, AccessOf(job));
    if (!IsBelow(job.relation, table)) {
      CloseTarget(target);
      return;
    }
    if (pages == InvalidBlockNumber) {
      pages = target.pages;
      running->pages_of_pass += pages;
      running->densest = 0;
      running->pages_per_batch = std::clamp<std::int64_t>(
          static_cast<std::int64_t>(static_cast<double>(job.batch_rows) /
                                    PageDensity(target)),
          1, kMaxBatchPages);
    }
    const PageRange range = NextRange(*running, page, pages);
    Tally batch;
    if (range.from < range.end) {
      batch = RunBatch(target, job.rule, range, running->verifying,
                       &running->warnings);
    }
    CloseTarget(target);
    running->tally.Add(batch);
    running->pages_done += range.end - page;
    if (running->verifying) {
      MemoryContextReset(running->batch_memory);
    } else {
      running->changed += batch.changed;
      running->adopted += batch.adopted;
      Commit(running);
      Record(*running);
    }
    if (range.from < range.end) {
      AdaptBatch(running, range, batch.total());
    }
    NoticeProgress(running);
    if (job.pause_microseconds > 0 && !running->verifying &&
        batch.total() > 0) {
      Sleep(job.pause_microseconds);
    }
    page = range.end;
  }
}

// Pass goes once over all tables. A write pass has a transaction and a snapshot
// for each batch, so it can miss a row that the application moves. A verifying
// pass reads with a single snapshot, which sees every row once.
Tally Pass(Running *running, MemoryContext job_memory, bool verifying) {
  running->verifying = verifying;
  running->pass += verifying ? 0 : 1;
  running->pages_done = 0;
  running->pages_of_pass = 0;
  running->tally = {};
  running->pass_started = GetCurrentTimestamp();
  Commit(running);
  if (verifying) {
    // Before any table's pages are counted: what the snapshot sees shall not
    // lie on a page that was added meanwhile.
    static_cast<void>(GetTransactionSnapshot());
  }
  // Looked up in each pass: partitions come and go.
  MemoryContextSwitchTo(job_memory);
  List *const tables =
      TablesBelow(running->job->relation, AccessOf(*running->job));
  MemoryContextSwitchTo(running->batch_memory);
  if (get_rel_name(running->job->relation) == nullptr) {
    FERNET_RAISE(ERRCODE_UNDEFINED_TABLE,
                 errmsg("%s no longer exists", running->name));
  }
  for (int i = 0; i < list_length(tables); ++i) {
    PassOverTable(running, list_nth_oid(tables, i));
  }
  list_free(tables);
  running->verifying = false;
  Commit(running);
  return running->tally;
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
  static_cast<void>(Pass(running, job_memory, true));
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

void NoticeEnd(const Running &running, const JobResult &result) {
  const ColumnJob &job = *running.job;
  const double seconds = SecondsSince(running.started);
  const bool rotated_all = job.rule.direction == ValueRule::kRotate &&
                           !job.dry_run && job.slices == 1 &&
                           result.left() == 0;
  ereport(
      NOTICE,
      errmsg("%s: " INT64_FORMAT " values %s, " INT64_FORMAT
             " unchanged, " INT64_FORMAT " plaintext, " INT64_FORMAT " failed",
             running.name, result.changed,
             job.dry_run ? "to change" : "changed", result.unchanged,
             result.plaintext, result.left()),
      errdetail("%d %s and one verification in %.1f s, %.0f values/s.%s",
                running.pass, running.pass == 1 ? "pass" : "passes", seconds,
                static_cast<double>(result.changed) / seconds,
                rotated_all
                    ? " Every token of this column is encrypted with the first "
                      "key: the old key can be dropped for this column."
                    : ""),
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
    const Tally written = Pass(running, job_memory, false);
    running->warnings.muted = true;
    result = Judge(*running, written, Pass(running, job_memory, true));
    if (result.pending == 0) {
      break;
    }
    if (written.changed == 0 && running->pass < kMaxPasses) {
      Sleep(wait);
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
  };
  Commit(&running);
  JobResult result;
  if (job.dry_run) {
    result = Judge(running, {}, Pass(&running, job_memory, true));
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
    CountForStatistics(StatisticsOf(running), job.rule.direction);
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
