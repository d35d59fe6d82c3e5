#include "pg/column/job_progress.hpp"

#include <algorithm>

#include "pg/report/report.hpp"

namespace fernet::pg {
namespace {

constexpr std::int64_t kNoticeInterval = 5000000;  // microseconds
constexpr std::int64_t kRecordInterval = 500000;   // in a reading
constexpr std::int64_t kArchiveInterval = 60000000;

double SecondsSince(TimestampTz start) {
  return std::max(
      static_cast<double>(GetCurrentTimestamp() - start) / USECS_PER_SEC,
      0.001);
}

// DescribeKeys says how many tokens each key of the session decrypts, and after
// a proof, which keys the column does not need any more.
const char *DescribeKeys(const Running &running, const JobResult &result) {
  const auto keys = running.job->rule.keys.list->keys();
  const bool proved = running.job->slices == 1 && !running.job->dry_run &&
                      running.is_proved && !running.subscribed &&
                      result.left() == 0 && running.seen.of_key[0] > 0;
  StringInfoData text;
  initStringInfo(&text);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    appendStringInfo(&text, " Key %s decrypts " INT64_FORMAT " tokens%s.",
                     FingerprintOf(keys[i]), running.seen.of_key[i],
                     i == 0    ? ", the first key"
                     : !proved ? ""
                     : running.job->columns.size() == 1
                         ? " and is not needed for this column any more"
                         : " and is not needed for these columns any more");
  }
  if (running.subscribed) {
    appendStringInfoString(
        &text,
        " A subscription writes to this table, so a key may still be needed.");
  }
  return text.data;
}

// DescribeIndexKeys says after a proof that the other keys are not needed.
const char *DescribeIndexKeys(const Running &running, const JobResult &result) {
  const auto keys = running.job->rule.index_keys.list->keys();
  const bool needs_one = running.is_proved && !running.subscribed &&
                         result.left() == 0 && running.seen.of_key[0] > 0;
  StringInfoData text;
  initStringInfo(&text);
  for (std::size_t i = 1; i < keys.size() && needs_one; ++i) {
    appendStringInfo(&text,
                     " Key %s of \"fernet.index_key\" is not needed for this "
                     "column any more.",
                     FingerprintOf(keys[i]));
  }
  return text.data;
}

const char *DescribeKeysOf(const Running &running, const JobResult &result) {
  switch (running.job->rule.direction) {
    case ValueRule::kRotate:
      return DescribeKeys(running, result);
    case ValueRule::kIndex:
      return DescribeIndexKeys(running, result);
    case ValueRule::kDecrypt:
      break;
  }
  return "";
}

// DescribeUnknown counts what on_unknown has let pass.
const char *DescribeUnknown(const Running &running) {
  const std::int64_t values = running.seen.holding_unknown;
  return values == 0
             ? ""
             : psprintf(" " INT64_FORMAT
                        " values are or hold a token that no key of the "
                        "session decrypts.",
                        values);
}

// SizeBelow tells the size of the table, or of all tables below it. It has to
// be called before the first commit, for its locks.
const char *SizeBelow(Oid relation) {
  List *const tables = TablesBelow(relation, ColumnAccess::kRead);
  std::int64_t pages = 0;
  for (int i = 0; i < list_length(tables); ++i) {
    const Relation table = relation_open(list_nth_oid(tables, i), NoLock);
    pages += RelationGetNumberOfBlocks(table);
    relation_close(table, NoLock);
  }
  return psprintf(
      "%d %s, " INT64_FORMAT " kB without TOAST.", list_length(tables),
      list_length(tables) == 1 ? "table" : "tables", pages * (BLCKSZ / 1024));
}

// SummaryOf is the counts of a job that has ended.
const char *SummaryOf(const Running &running, const JobResult &result) {
  const ColumnJob &job = *running.job;
  if (job.rule.direction == ValueRule::kIndex) {
    return psprintf(INT64_FORMAT " blind indexes written, " INT64_FORMAT
                                 " unchanged, " INT64_FORMAT " failed",
                    result.changed, result.unchanged, result.left());
  }
  return psprintf(INT64_FORMAT " values %s, " INT64_FORMAT
                               " unchanged, " INT64_FORMAT
                               " plaintext, " INT64_FORMAT " failed",
                  result.changed, job.dry_run ? "to change" : "changed",
                  result.unchanged, result.plaintext, result.left());
}

}  // namespace

void Record(Running *running, JobState state) {
  if (running->ledger == nullptr) {
    return;
  }
  running->last_record = GetCurrentTimestamp();
  // A reading, and a pass after the first, meet the work of the job.
  const bool meets_own_work = running->pass > 1 || running->reading;
  // A reading is a pass of its own, whose time does not follow from that of the
  // first.
  WriteLedger(
      running->ledger,
      {.state = state,
       .pass = running->pass + (running->reading ? 1 : 0),
       .done = running->pages_done,
       .total = running->pages_of_pass,
       .changed = running->changed,
       .unchanged = std::max<std::int64_t>(
           running->tally.unchanged - (meets_own_work ? running->changed : 0),
           0),
       .failed = running->tally.left()});
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

void NoticeStart(const Running &running) {
  const ColumnJob &job = *running.job;
  const char *const size = SizeBelow(job.relation);
  if (job.rule.direction == ValueRule::kRotate) {
    ereport(NOTICE,
            errmsg("%s %s with key %s",
                   job.dry_run ? "reading, to re-encrypt" : "re-encrypting",
                   running.name, FingerprintOf(job.rule.keys.list->keys()[0])),
            errdetail_internal("%s", size), HideStatement());
  } else if (job.rule.direction == ValueRule::kIndex) {
    ereport(NOTICE,
            errmsg("writing blind indexes of \"%s\" to %s with index key %s",
                   job.source, running.name,
                   FingerprintOf(job.rule.made_with().keys()[0])),
            errdetail_internal("%s", size), HideStatement());
  } else {
    ereport(NOTICE, errmsg("decrypting %s", running.name),
            errdetail_internal("%s", size), HideStatement());
  }
}

void WarnOfArchive(Running *running) {
  const TimestampTz now = GetCurrentTimestamp();
  if (running->job->dry_run ||
      (running->last_look_at_archive != 0 &&
       now - running->last_look_at_archive < kArchiveInterval)) {
    return;
  }
  running->last_look_at_archive = now;
  if (IsArchiveBehind()) {
    ereport(WARNING, errcode(ERRCODE_WARNING),
            errmsg("the WAL archiver fails, so WAL piles up on the server"),
            errhint("See pg_stat_archiver and the server log. A rotation "
                    "writes WAL for every row that it changes."),
            HideStatement());
  }
}

void NoticeProgress(Running *running) {
  const TimestampTz now = GetCurrentTimestamp();
  if (running->reading && now - running->last_record >= kRecordInterval) {
    Record(running);
  }
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

void NoticeEnd(const Running &running, const JobResult &result) {
  const double seconds = SecondsSince(running.started);
  ereport(
      NOTICE, errmsg("%s: %s", running.name, SummaryOf(running, result)),
      errdetail("%d %s and %d %s in %.1f s, %.0f values/s.%s%s", running.pass,
                running.pass == 1 ? "pass" : "passes", running.readings,
                running.readings == 1 ? "reading" : "readings", seconds,
                static_cast<double>(result.changed) / seconds,
                DescribeKeysOf(running, result), DescribeUnknown(running)),
      HideStatement());
}

}  // namespace fernet::pg
