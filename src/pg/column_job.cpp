#include "pg/column_job.hpp"

#include <algorithm>

#include "pg/ledger.hpp"
#include "pg/report.hpp"

namespace fernet::pg {
namespace {

// Slices take turns at stripes of this many pages, whatever the size of the
// table is when each of them starts, so that no page is left to nobody.
constexpr BlockNumber kStripePages = 256;

// A pass after which something is left is followed by another. The application
// may move a row behind the scan, or write under an old key, for ever.
constexpr int kMaxPasses = 12;
constexpr std::int64_t kFirstWait = 100000;  // microseconds, for locked rows
constexpr std::int64_t kLongestWait = 2000000;

constexpr std::int64_t kNoticeInterval = 5000000;  // microseconds

// How many pages are read in one batch at the most, however few rows they hold:
// a batch must end, and the application waits for one batch at the most.
constexpr std::int64_t kMaxBatchPages = 8192;

// Running is a job under way; plain data.
struct Running {
  const ColumnJob *job;
  MemoryContext batch_memory;
  FailureWarnings warnings;
  std::int64_t pages_per_batch = 0;
  int pass = 0;
  std::int64_t changed = 0;
  TimestampTz started;
  TimestampTz last_notice;
  std::int64_t pages_done = 0;  // of this pass
  std::int64_t pages_of_pass = 0;
  Ledger ledger;
  Tally tally;  // of this pass so far
};

void Record(const Running &running, const char *state) {
  // From the second pass on, the job meets its own work.
  const std::int64_t own_work = running.pass > 1 ? running.changed : 0;
  WriteLedger(running.ledger, {.state = state,
                               .pass = running.pass,
                               .pages_done = running.pages_done,
                               .pages_total = running.pages_of_pass,
                               .changed = running.changed,
                               .unchanged = std::max<std::int64_t>(
                                   running.tally.unchanged - own_work, 0),
                               .failed = running.tally.left()});
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

// Commit ends a transaction of the job and starts the next, which sees each row
// as it is when its batch begins, whatever the session's default is.
void Commit(Running *running) {
  SPI_commit();
  MemoryContextSwitchTo(running->batch_memory);
  MemoryContextReset(running->batch_memory);
  if (XactIsoLevel != XACT_READ_COMMITTED) {
    static_cast<void>(set_config_option(
        "transaction_isolation", "read committed", PGC_USERSET, PGC_S_SESSION,
        GUC_ACTION_LOCAL, true, 0, false));
  }
  // A deferred constraint would speak up at the commit, when it is too late to
  // tell which row it means.
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
  ereport(NOTICE,
          errmsg(INT64_FORMAT " values changed, %.0f %% of pass %d, %.0f "
                              "values/s, about %.0f s left",
                 running->changed, share * 100, running->pass,
                 static_cast<double>(running->changed) / seconds,
                 running->pass == 1 ? seconds * (1 - share) / share : 0.0),
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
      page = stripe * kStripePages;
    }
    limit = std::min(pages, (stripe + 1) * kStripePages);
  }
  if (page >= pages) {
    return {pages, pages};
  }
  const std::int64_t end = page + running.pages_per_batch;
  return {page, static_cast<BlockNumber>(std::min<std::int64_t>(end, limit))};
}

// AdaptBatch aims the next batch at batch_rows rows by what this one held.
void AdaptBatch(Running *running, PageRange range, std::int64_t rows) {
  const std::int64_t pages = range.end - range.from;
  const std::int64_t aimed =
      pages * running->job->batch_rows / std::max<std::int64_t>(rows, 1);
  running->pages_per_batch = std::clamp<std::int64_t>(
      aimed, 1, std::min(running->pages_per_batch * 4, kMaxBatchPages));
}

// PassOverTable goes once over the pages that `table` has when it starts.
void PassOverTable(Running *running, Oid table) {
  const ColumnJob &job = *running->job;
  BlockNumber page = 0;
  BlockNumber pages = InvalidBlockNumber;
  while (page < pages) {
    ColumnTarget target;
    // Opened anew in each transaction: the lock went with the last commit.
    if (!OpenTarget(table, job.column, ColumnAccess::kWrite, &target)) {
      return;
    }
    if (pages == InvalidBlockNumber) {
      pages = target.pages;
      running->pages_of_pass += pages;
      running->pages_per_batch = std::clamp<std::int64_t>(
          static_cast<std::int64_t>(static_cast<double>(job.batch_rows) /
                                    PageDensity(target)),
          1, kMaxBatchPages);
    }
    const PageRange range = NextRange(*running, page, pages);
    Tally batch;
    if (range.from < range.end) {
      batch =
          RunBatch(target, job.rule, range, job.dry_run, &running->warnings);
    }
    CloseTarget(target);
    running->tally.Add(batch);
    running->changed += batch.changed;
    running->pages_done += range.end - page;
    Record(*running, "running");
    Commit(running);
    if (range.from < range.end) {
      AdaptBatch(running, range, batch.total());
    }
    NoticeProgress(running);
    if (job.pause_microseconds > 0) {
      Sleep(job.pause_microseconds);
    }
    page = range.end;
  }
}

Tally Pass(Running *running, MemoryContext job_memory) {
  ++running->pass;
  running->pages_done = 0;
  running->pages_of_pass = 0;
  running->tally = {};
  MemoryContextSwitchTo(job_memory);
  // Looked up in each pass: partitions come and go.
  List *const tables =
      TablesBelow(running->job->relation, ColumnAccess::kWrite);
  Commit(running);
  for (int i = 0; i < list_length(tables); ++i) {
    PassOverTable(running, list_nth_oid(tables, i));
  }
  list_free(tables);
  running->warnings.muted = true;
  return running->tally;
}

bool FiresOn(const Trigger &trigger, AttrNumber attribute, bool rows_only) {
  bool names_column = trigger.tgnattr == 0;
  for (int i = 0; i < trigger.tgnattr; ++i) {
    names_column = names_column || trigger.tgattr[i] == attribute;
  }
  const bool enabled =
      trigger.tgenabled == TRIGGER_FIRES_ALWAYS ||
      (trigger.tgenabled == TRIGGER_FIRES_ON_ORIGIN &&
       SessionReplicationRole != SESSION_REPLICATION_ROLE_REPLICA) ||
      (trigger.tgenabled == TRIGGER_FIRES_ON_REPLICA &&
       SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA);
  return (trigger.tgtype & TRIGGER_TYPE_UPDATE) != 0 && !trigger.tgisinternal &&
         enabled && names_column &&
         (!rows_only || TRIGGER_FOR_ROW(trigger.tgtype));
}

// NameTriggers says once which triggers of the application will fire. Of a
// partitioned table only those for rows: its partitions are written one by one.
void NameTriggers(Oid relation_oid, AttrNumber attribute) {
  const Relation relation = relation_open(relation_oid, NoLock);
  StringInfoData names;
  initStringInfo(&names);
  const TriggerDesc *const triggers = relation->trigdesc;
  for (int i = 0; triggers != nullptr && i < triggers->numtriggers; ++i) {
    const Trigger &trigger = triggers->triggers[i];
    if (FiresOn(trigger, attribute,
                relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)) {
      appendStringInfo(&names, "%s%s", names.len == 0 ? "" : ", ",
                       quote_identifier(trigger.tgname));
    }
  }
  if (names.len > 0) {
    ereport(NOTICE,
            errmsg("triggers of \"%s\" will fire: %s",
                   RelationGetRelationName(relation), names.data),
            HideStatement());
  }
  relation_close(relation, NoLock);
}

// Locks of our own kind, apart from those of pg_advisory_lock, which has 1 and
// 2 in the last field. They belong to the session, for they outlive commits.
constexpr uint16 kLockClass = 0xfe;

// LockPart numbers the columns of a table and their slices; 0 is the column.
std::uint32_t LockPart(AttrNumber attribute, int slice) {
  return static_cast<std::uint32_t>(attribute) * 2048 +
         static_cast<std::uint32_t>(slice);
}

LOCKTAG JobLock(Oid relation, std::uint32_t part) {
  LOCKTAG tag;
  SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, relation, part, kLockClass);
  return tag;
}

struct HeldLock {
  LOCKTAG tag;
  LOCKMODE mode;
  MemoryContextCallback release;
};

void LockUntilEndOfJob(MemoryContext job_memory, Oid relation,
                       std::uint32_t part, LOCKMODE mode) {
  auto *const held =
      static_cast<HeldLock *>(MemoryContextAlloc(job_memory, sizeof(HeldLock)));
  held->tag = JobLock(relation, part);
  held->mode = mode;
  if (LockAcquire(&held->tag, mode, true, true) == LOCKACQUIRE_NOT_AVAIL) {
    DropContext();
    ereport(
        ERROR, errcode(ERRCODE_OBJECT_IN_USE),
        errmsg("another rotation of \"%s\" is running", get_rel_name(relation)),
        errhint("Sessions that share the work each take one of the same "
                "number of slices."),
        HideStatement());
  }
  held->release.func = [](void *argument) {
    const auto *const lock = static_cast<HeldLock *>(argument);
    LockRelease(&lock->tag, lock->mode, true);
  };
  held->release.arg = held;
  MemoryContextRegisterResetCallback(job_memory, &held->release);
}

// TakeTurn keeps two jobs off the same rows, which would only make each other
// busy: one for the whole table excludes all others, a slice its like.
void TakeTurn(MemoryContext job_memory, const ColumnJob &job,
              AttrNumber attribute) {
  LockUntilEndOfJob(job_memory, job.relation, LockPart(attribute, 0),
                    job.slices == 1 ? ExclusiveLock : RowExclusiveLock);
  if (job.slices > 1) {
    LockUntilEndOfJob(job_memory, job.relation, LockPart(attribute, job.slice),
                      ExclusiveLock);
  }
}

// RequireWidth refuses an adoption whose tokens would not fit, before the first
// write. Everything else has about the size of what it replaces.
void RequireWidth(Running *running, MemoryContext job_memory) {
  if (running->job->rule.direction != ValueRule::kRotate ||
      running->job->rule.on_plaintext != OnPlaintext::kEncrypt ||
      running->job->dry_run) {
    return;
  }
  ColumnJob rehearsal = *running->job;
  rehearsal.dry_run = true;
  rehearsal.pause_microseconds = 0;
  Running reading = *running;
  reading.job = &rehearsal;
  reading.warnings.muted = true;
  reading.warnings.too_long = 0;
  reading.ledger = {};
  static_cast<void>(Pass(&reading, job_memory));
  if (reading.warnings.too_long > 0) {
    DropContext();
    ereport(ERROR, errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
            errmsg("column \"%s\" is too narrow for the tokens of " INT64_FORMAT
                   " values",
                   running->job->column, reading.warnings.too_long),
            errdetail("A token has 4 characters for each 3 bytes of its "
                      "plaintext, and about 80 more."),
            errhint("Make it wider, or of type text. Nothing was changed."),
            HideStatement());
  }
}

void NoticeEnd(const Running &running, const JobResult &result) {
  const ColumnJob &job = *running.job;
  const double seconds = SecondsSince(running.started);
  const bool rotated_all = job.rule.direction == ValueRule::kRotate &&
                           !job.dry_run && job.slices == 1 &&
                           result.last.changed == 0 && result.last.left() == 0;
  ereport(
      NOTICE,
      errmsg("%s: " INT64_FORMAT " values %s, " INT64_FORMAT
             " unchanged, " INT64_FORMAT " plaintext, " INT64_FORMAT " failed",
             NameOf(job.relation, job.column), result.changed,
             job.dry_run ? "to change" : "changed",
             UnchangedBefore(job, result), result.last.plaintext,
             result.last.left()),
      errdetail("%d %s in %.1f s, %.0f values/s.%s", running.pass,
                running.pass == 1 ? "pass" : "passes", seconds,
                static_cast<double>(result.changed) / seconds,
                rotated_all ? " Every token of this column is under the "
                              "first key: the old key can be dropped for "
                              "this column."
                            : ""),
      HideStatement());
}

}  // namespace

std::int64_t UnchangedBefore(const ColumnJob &job, const JobResult &result) {
  // A dry run's one pass has seen none of its own work.
  const std::int64_t own_work = job.dry_run ? 0 : result.changed;
  return std::max<std::int64_t>(result.last.unchanged - own_work, 0);
}

JobResult RunColumnJob(const ColumnJob &job) {
  const MemoryContext job_memory = CurrentMemoryContext;
  const AttrNumber attribute =
      CheckColumn(job.relation, job.column, ColumnAccess::kWrite);
  TakeTurn(job_memory, job, attribute);
  if (!job.dry_run) {
    NameTriggers(job.relation, attribute);
  }
  Running running = {
      .job = &job,
      .batch_memory = AllocSetContextCreate(job_memory, "pg_fernet batch",
                                            ALLOCSET_DEFAULT_SIZES),
      .warnings = {},
      .started = GetCurrentTimestamp(),
      .last_notice = GetCurrentTimestamp(),
      .ledger = {},
      .tally = {},
  };
  Commit(&running);
  RequireWidth(&running, job_memory);
  if (!job.dry_run) {
    running.ledger = OpenLedger(
        job.caller, job, LockPart(attribute, job.slices == 1 ? 0 : job.slice));
    Commit(&running);
  }

  JobResult result;
  std::int64_t wait = kFirstWait;
  while (running.pass < kMaxPasses) {
    result.last = Pass(&running, job_memory);
    result.changed = running.changed;
    if (job.dry_run || (result.last.changed == 0 && result.last.busy == 0)) {
      break;
    }
    if (result.last.changed == 0) {
      Sleep(wait);
      wait = std::min(2 * wait, kLongestWait);
    }
  }
  // A last pass that changed something leaves no proof that nothing is left.
  const bool done = result.last.left() == 0 && result.last.changed == 0;
  Record(running, done ? "done" : "failed");
  Commit(&running);
  NoticeEnd(running, result);
  MemoryContextSwitchTo(job_memory);
  return result;
}

}  // namespace fernet::pg
