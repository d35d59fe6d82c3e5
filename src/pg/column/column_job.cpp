#include "pg/column/column_job.hpp"

#include <algorithm>
#include <utility>

#include "pg/column/job_lock.hpp"
#include "pg/column/job_passes.hpp"
#include "pg/column/job_progress.hpp"
#include "pg/column/reading.hpp"
#include "pg/column/triggers.hpp"
#include "pg/report/report.hpp"
#include "pg/server/interrupts.hpp"
#include "pg/server/transactions.hpp"

namespace fernet::pg {
namespace {

// Readings of the whole column repeat as long as less and less is left. They
// end after so many in a row without progress.
constexpr int kMostInVain = 8;
// The application may encrypt with an old key for ever.
constexpr int kMostInVainIfFresh = 3;
constexpr std::int64_t kFirstPause = 4000;  // microseconds, twice each time

constexpr std::int64_t kFirstRows = 1000;

void TellOfWaiting(void *state) {
  auto *const running = static_cast<Running *>(state);
  Record(running, JobState::kWaiting);
  ereport(NOTICE,
          errmsg("waiting for open transactions that may still write old "
                 "values to %s",
                 running->name),
          HideStatement());
}

// OperationOf is its name in the ledger and the log.
const char *OperationOf(ValueRule::Direction direction) {
  switch (direction) {
    case ValueRule::kRotate:
      return "rotate";
    case ValueRule::kDecrypt:
      return "decrypt";
    case ValueRule::kIndex:
      return "index";
  }
  pg_unreachable();
}

// Prove waits for whoever may still bring an old value, and reads everything.
// One of several slices proves nothing: the gate does, when all have ended.
Tally Prove(Running *running) {
  const ColumnJob &job = *running->job;
  if (job.slices > 1) {
    return ReadPass(running, nullptr);
  }
  Commit(running);
  // A job begins its own transactions, in which nothing else runs.
  Proof proof = {
      .reader = Reader::kAlone, .rule = job.rule, .source = job.source};
  WaitForOldWriters(job.relation, running->name, &proof, TellOfWaiting,
                    running);
  Record(running);
  return ReadPass(running, &proof);
}

bool HasWidth(const ColumnJob &job) {
  TableTarget target;
  if (!OpenTarget(job.relation, job.columns, AccessOf(job), &target)) {
    return false;
  }
  CloseTarget(target);
  return target.columns[0].max_characters > 0;
}

// RequireWidth refuses an adoption, of one column, before the first write if
// the tokens would not fit. Other jobs write values of about the same size.
void RequireWidth(Running *running) {
  if (running->job->rule.direction != ValueRule::kRotate ||
      running->job->rule.on_plaintext != OnPlaintext::kEncrypt ||
      running->job->dry_run) {
    return;
  }
  if (!HasWidth(*running->job)) {
    return;
  }
  running->warnings.muted = true;
  static_cast<void>(ReadPass(running, nullptr));
  running->warnings.muted = false;
  const std::int64_t too_long = std::exchange(running->warnings.too_long, 0);
  if (too_long > 0) {
    FERNET_RAISE(
        ERRCODE_STRING_DATA_RIGHT_TRUNCATION,
        errmsg("column \"%s\" is too narrow for the tokens of " INT64_FORMAT
               " values",
               running->job->columns[0], too_long),
        errdetail("A token has 4 characters for each 3 bytes of its "
                  "plaintext, and about 80 more."),
        errhint("Nothing was changed. Make the column wider, or change its "
                "type to text."));
  }
}

// Judge computes the result from the values that one snapshot saw at the end.
// A value that the table refused is seen as one still to change.
JobResult Judge(const Running &running, const Tally &seen) {
  JobResult result = {.unchanged = seen.unchanged,
                      .plaintext = seen.plaintext,
                      .failed = seen.failed,
                      .fresh = seen.fresh,
                      .total = seen.total()};
  if (running.job->dry_run) {
    result.changed = seen.changed;
    return result;
  }
  const std::int64_t refused =
      std::clamp<std::int64_t>(running.refused, 0, seen.changed);
  result.changed = running.changed;
  result.unchanged =
      std::max<std::int64_t>(result.unchanged - result.changed, 0);
  result.failed += refused;
  result.pending = seen.changed - refused;
  return result;
}

// ReadAll proves, unless a row is busy: then nothing can be proved.
JobResult ReadAll(Running *running) {
  const Tally seen =
      running->left.empty() ? Prove(running) : ReadPass(running, nullptr);
  running->warnings.muted = true;
  return Judge(*running, seen);
}

// LacksProof: nothing is left, but what is busy kept the last reading from
// being a proof, or something came and went meanwhile.
bool LacksProof(const Running &running, const JobResult &result) {
  return result.left() == 0 && running.job->slices == 1 && !running.is_proved;
}

// Progress is how far the readings have come.
struct Progress {
  std::int64_t least;  // that one has left, of what was there at the start
  int in_vain;         // readings since then
  TimestampTz since;
  bool has_missed;  // rows had moved before the last round came to them
};

// RetryPending writes the `pending` values that the last reading has found.
// Rows that have moved off their pages since are somewhere in the table. It
// returns false if it has found each value again and could change none.
bool RetryPending(Running *running, std::int64_t pending, Progress *progress) {
  const std::int64_t changed_before = running->changed;
  running->refused = 0;
  RetryLeft(running);
  const std::int64_t changed = running->changed - changed_before;
  progress->has_missed =
      changed + running->refused + running->tally.busy < pending;
  if (progress->has_missed) {
    running->refused = 0;
    WritePass(running);
    RetryLeft(running);
  }
  return running->changed != changed_before || progress->has_missed;
}

// IsWorthwhile says whether another round may help: less is left than ever
// before, or not for long, or rows are hard to find. Nobody waits for an
// application to stop encrypting with an old key.
bool IsWorthwhile(const JobResult &result, Progress *progress) {
  const std::int64_t left = result.pending - result.fresh;
  if (left < progress->least) {
    *progress = {left, 0, GetCurrentTimestamp(), false};
    return true;
  }
  ++progress->in_vain;
  if (result.pending > 0 && left <= 0) {
    return progress->in_vain < kMostInVainIfFresh;
  }
  return progress->in_vain < kMostInVain ||
         (result.pending > 0 && progress->has_missed &&
          GetCurrentTimestamp() - progress->since < PatienceMicroseconds());
}

// WriteUntilDone writes, and reads everything, until nothing is left that
// another write could change. It ends with something left, or with a proof.
JobResult WriteUntilDone(Running *running) {
  WritePass(running);
  RetryLeft(running);
  JobResult result = ReadAll(running);
  Progress progress = {result.pending - result.fresh, 0, GetCurrentTimestamp(),
                       false};
  while (result.pending > 0 || LacksProof(*running, result)) {
    if (progress.in_vain > 0) {
      // Another moment may be a better one.
      SleepFor(kFirstPause << std::min(progress.in_vain, kMostInVain));
    }
    if (result.pending > 0 &&
        !RetryPending(running, result.pending, &progress)) {
      return Judge(*running, running->seen);
    }
    result = ReadAll(running);
    if (!IsWorthwhile(result, &progress)) {
      break;
    }
  }
  if (LacksProof(*running, result)) {
    RefuseProof(running->name);
  }
  return result;
}

// CheckSourceOf returns the number of the source of a blind index, or 0.
AttrNumber CheckSourceOf(const ColumnJob &job) {
  if (job.source == nullptr) {
    return InvalidAttrNumber;
  }
  RequireSameIndexes(job.relation, job.source, job.columns[0],
                     job.rule.index_form);
  return CheckSource(job.relation, job.columns[0], job.source);
}

}  // namespace

JobResult RunColumnJob(const ColumnJob &job) {
  const MemoryContext job_memory = CurrentMemoryContext;
  const AttrNumber *const attributes =
      CheckColumns(job.relation, job.columns, AccessOf(job));
  if (job.rule.direction == ValueRule::kDecrypt) {
    RequireNoEncryption(job.relation, job.columns[0]);
  }
  const AttrNumber source = CheckSourceOf(job);
  // A dry run writes nothing, so it must not keep a job from running.
  if (!job.dry_run) {
    TakeTurn(job_memory, job.relation, job.slice, job.slices);
    // After the own turn is taken: of two that begin at once, one sees the
    // other.
    RequireNoJobBeside(job.relation);
    NameTriggers(job.relation, job.columns);
  }
  const char *const relation_name = quote_qualified_identifier(
      get_namespace_name(get_rel_namespace(job.relation)),
      get_rel_name(job.relation));
  const TimestampTz now = GetCurrentTimestamp();
  Running running = {
      .job = &job,
      .name = NameOf(job.relation, job.columns),
      .operation = OperationOf(job.rule.direction),
      .job_memory = job_memory,
      .batch_memory = AllocSetContextCreate(job_memory, "pg_fernet batch",
                                            ALLOCSET_DEFAULT_SIZES),
      .warnings = {},
      .attributes = attributes,
      .source = source,
      .ledger = nullptr,
      .lag = {.limit = job.max_lag_microseconds},
      .started = now,
      .pass_started = now,
      .last_notice = now,
      .last_record = now,
      .last_look_at_archive = 0,
      .rows_per_batch = std::min(job.batch_rows, kFirstRows),
      .left = LeftPages(job_memory),
      .has_waited = false,
      .pass = 0,
      .reading = false,
      .pages_done = 0,
      .pages_of_pass = 0,
      .tally = {},
      .of_column = static_cast<std::int64_t *>(
          palloc0((job.columns.size() + 1) * sizeof(std::int64_t))),
      .seen = {},
      .readings = 0,
      .changed = 0,
      .refused = 0,
      .subscribed = false,
      .is_proved = false,
  };
  NoticeStart(running);
  Commit(&running);
  JobResult result;
  if (job.dry_run) {
    result = Judge(running, ReadPass(&running, nullptr));
  } else {
    RequireWidth(&running);
    running.ledger = OpenLedger(
        job_memory, {.caller = job.caller,
                     .relation = job.relation,
                     .relation_name = relation_name,
                     .columns = job.columns,
                     .operation = running.operation,
                     .slice = job.slice,
                     .slices = job.slices,
                     .keys = &job.rule.made_with(),
                     .lock_part = LockPart(job.slices == 1 ? 0 : job.slice)});
    Commit(&running);
    result = WriteUntilDone(&running);
    RecordEnd(running, result);
    // What the last look still found failing, once.
    CountFailures(running.seen);
  }
  // Not Commit, which would change the isolation level of the transaction after
  // the job.
  CommitAndStart();
  MemoryContextSwitchTo(running.batch_memory);
  NoticeEnd(running, result);
  MemoryContextSwitchTo(job_memory);
  return result;
}

}  // namespace fernet::pg
