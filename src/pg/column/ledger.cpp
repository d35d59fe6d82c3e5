#include "pg/column/ledger.hpp"

#include <algorithm>

#include "pg/column/job_lock.hpp"
#include "pg/column/ledger_pages.hpp"
#include "pg/report/events.hpp"
#include "pg/report/report.hpp"
#include "pg/server/interrupts.hpp"

extern "C" {
#include "catalog/pg_authid.h"
}

namespace fernet::pg {

struct Ledger {
  LedgerJob job;
  Oid relation;  // invalid: there is no row
  LedgerNumbers numbers;
  ItemPointerData place;
  MemoryContextCallback interrupted;
  const char *text;  // the job, for the log
  bool is_open;
};

namespace {

constexpr const char *kInterrupted = "interrupted";

// How long a job tries to write its end if the session has no lock_timeout, and
// how long it waits between two tries, in microseconds.
constexpr std::int64_t kLastTries = 2000000;
constexpr std::int64_t kLastWait = 50000;

// A row is always shorter than a page.
constexpr std::size_t kMostColumns = 64;

const char *NameOfState(JobState state) {
  switch (state) {
    case JobState::kRunning:
      return kRunning;
    case JobState::kWaiting:
      return kWaiting;
    case JobState::kDone:
      return "done";
    case JobState::kFailed:
      return "failed";
  }
  pg_unreachable();
}

// DescribeJob is the description of the job in each line of the log.
const char *DescribeJob(const LedgerJob &job) {
  StringInfoData text;
  initStringInfo(&text);
  appendStringInfo(&text, "%s %s (", job.operation, job.relation_name);
  for (std::size_t i = 0; i < job.columns.size(); ++i) {
    appendStringInfo(&text, "%s%s", i == 0 ? "" : ", ",
                     quote_identifier(job.columns[i]));
  }
  appendStringInfo(&text, "), slice %d of %d, role %s", job.slice, job.slices,
                   quote_identifier(GetUserNameFromId(GetUserId(), false)));
  return text.data;
}

ArrayType *ColumnNames(const LedgerJob &job) {
  const std::size_t count = std::min(job.columns.size(), kMostColumns);
  auto *const names = static_cast<Datum *>(palloc(count * sizeof(Datum)));
  for (std::size_t i = 0; i < count; ++i) {
    auto *const name = static_cast<Name>(palloc(NAMEDATALEN));
    namestrcpy(name, job.columns[i]);
    names[i] = NameGetDatum(name);
  }
  return construct_array(names, static_cast<int>(count), NAMEOID, NAMEDATALEN,
                         false, TYPALIGN_CHAR);
}

// GoneJobs lists jobs whose rows say that they are under way, but that are
// gone. A job holds its lock before it has a row, and until it has written that
// for the last time. So the rows are read first and the locks after them: what
// a row of these jobs says later, it says for ever.
class GoneJobs {
 public:
  // Jobs of this session are gone if `own_are_gone`, or by their locks.
  GoneJobs(Relation ledger, bool own_are_gone) {
    ForEachLedgerRow(
        ledger,
        [](HeapTuple row, void *state) {
          static_cast<GoneJobs *>(state)->AddIfUnderWay(*NumbersOf(row));
        },
        this);
    JobLocks locks;
    for (int i = list_length(jobs_) - 1; i >= 0; --i) {
      const LedgerNumbers &job = *At(i);
      if (!(own_are_gone && job.pid == MyProcPid) &&
          locks.AreHeld(job.reloid, job.lock_part, job.pid)) {
        jobs_ = list_delete_nth_cell(jobs_, i);
      }
    }
  }

  // Has says whether `row`, read after the list was made, is the row of one.
  bool Has(const LedgerNumbers &row) const {
    for (int i = 0; i < list_length(jobs_); ++i) {
      if (At(i)->id == row.id) {
        return IsUnderWay(row);
      }
    }
    return false;
  }

 private:
  const LedgerNumbers *At(int i) const {
    return static_cast<const LedgerNumbers *>(list_nth(jobs_, i));
  }

  void AddIfUnderWay(const LedgerNumbers &row) {
    if (IsUnderWay(row)) {
      auto *const copy =
          static_cast<LedgerNumbers *>(palloc(sizeof(LedgerNumbers)));
      *copy = row;
      jobs_ = lappend(jobs_, copy);
    }
  }

  List *jobs_ = NIL;
};

// MarkInterrupted: this session will run its next job, so all of its earlier
// ones are gone, even one that had the same lock.
void MarkInterrupted(Relation relation) {
  struct Rows {
    Relation relation;
    GoneJobs gone;
  };
  Rows rows = {.relation = relation, .gone = GoneJobs(relation, true)};
  ForEachLedgerRow(
      relation,
      [](HeapTuple row, void *state) {
        const auto *const all = static_cast<Rows *>(state);
        LedgerNumbers numbers = *NumbersOf(row);
        if (!all->gone.Has(numbers)) {
          return;
        }
        namestrcpy(&numbers.state, kInterrupted);
        ItemPointerData place = row->t_self;
        static_cast<void>(ChangeLedgerRow(all->relation, numbers, &place));
      },
      &rows);
}

void AddRow(Relation relation, Ledger *ledger) {
  MarkInterrupted(relation);
  const LedgerJob &job = ledger->job;
  LedgerNumbers numbers = ledger->numbers;
  if (AddLedgerRow(relation, &numbers,
                   {.operation = job.operation,
                    .relation = job.relation_name,
                    .columns = ColumnNames(job),
                    .role = GetUserNameFromId(numbers.role_id, false),
                    .fingerprint = events::FingerprintOf(job.keys->keys()[0])},
                   &ledger->place)) {
    ledger->numbers.id = numbers.id;
  }
}

// Write writes the numbers if that is possible without waiting. Returns false
// if it was not.
bool Write(Ledger *ledger) {
  const Relation relation = TryOpenLedger(ledger->relation);
  if (relation == nullptr) {
    return !OidIsValid(ledger->relation);
  }
  if (ledger->numbers.id == 0) {
    AddRow(relation, ledger);
  } else if (!ChangeLedgerRow(relation, ledger->numbers, &ledger->place)) {
    // Another row is added after the next batch.
    ledger->numbers.id = 0;
  }
  relation_close(relation, RowExclusiveLock);
  return ledger->numbers.id != 0;
}

void WarnOfLock() {
  ereport(WARNING,
          errmsg("the end of the job could not be written to the view "
                 "fernet_rotation"),
          errdetail("Another session has locked %s. The view will call the job "
                    "interrupted; the server log says how it ended.",
                    kLedgerName),
          HideStatement());
}

// WriteLast writes the numbers of a job that has ended. Nobody waits for it any
// more, so it can wait a little.
void WriteLast(Ledger *ledger) {
  const std::int64_t limit =
      LockTimeout > 0 ? std::int64_t{LockTimeout} * 1000 : kLastTries;
  const TimestampTz end = GetCurrentTimestamp() + limit;
  while (!Write(ledger)) {
    if (GetCurrentTimestamp() >= end) {
      WarnOfLock();
      return;
    }
    SleepFor(kLastWait);
  }
}

void SetNumbers(Ledger *ledger, const LedgerEntry &entry) {
  LedgerNumbers *const numbers = &ledger->numbers;
  namestrcpy(&numbers->state, NameOfState(entry.state));
  numbers->pass = entry.pass;
  numbers->done = entry.done;
  numbers->total = entry.total;
  numbers->rotated = entry.changed;
  numbers->unchanged = entry.unchanged;
  numbers->failed = entry.failed;
  numbers->updated = GetCurrentTimestamp();
}

void RequireExtension(const Ledger &ledger) {
  if (!OidIsValid(get_func_namespace(ledger.job.caller))) {
    FERNET_RAISE(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                 errmsg("the extension was dropped while a job of it ran"),
                 errdetail("The batches that the job has committed stay."));
  }
}

events::JobCounts CountsOf(const Ledger &ledger) {
  return {.changed = ledger.numbers.rotated,
          .unchanged = ledger.numbers.unchanged,
          .failed = ledger.numbers.failed};
}

void TellOfInterruption(void *argument) {
  const auto *const ledger = static_cast<Ledger *>(argument);
  if (ledger->is_open) {
    events::JobEnded(kInterrupted, ledger->text, CountsOf(*ledger));
  }
}

}  // namespace

Ledger *OpenLedger(MemoryContext memory, const LedgerJob &job) {
  auto *const ledger =
      static_cast<Ledger *>(MemoryContextAllocZero(memory, sizeof(Ledger)));
  const TimestampTz now = GetCurrentTimestamp();
  ledger->job = job;
  ledger->relation = FindLedger(job.caller);
  ledger->numbers = {.id = 0,
                     .started = now,
                     .updated = now,
                     .finished = DT_NOBEGIN,
                     .done = 0,
                     .total = 0,
                     .rotated = 0,
                     .unchanged = 0,
                     .failed = 0,
                     .reloid = job.relation,
                     .role_id = GetUserId(),
                     .lock_part = job.lock_part,
                     .pid = MyProcPid,
                     .slice = job.slice,
                     .slices = job.slices,
                     .pass = 0,
                     .state = {}};
  namestrcpy(&ledger->numbers.state, kRunning);
  ledger->text = MemoryContextStrdup(memory, DescribeJob(job));
  events::JobStarted(ledger->text, *job.keys);
  ledger->is_open = true;
  ledger->interrupted.func = TellOfInterruption;
  ledger->interrupted.arg = ledger;
  MemoryContextRegisterResetCallback(memory, &ledger->interrupted);
  static_cast<void>(Write(ledger));
  return ledger;
}

void WriteLedger(Ledger *ledger, const LedgerEntry &entry) {
  RequireExtension(*ledger);
  SetNumbers(ledger, entry);
  static_cast<void>(Write(ledger));
}

void CloseLedger(Ledger *ledger, const LedgerEntry &entry) {
  RequireExtension(*ledger);
  SetNumbers(ledger, entry);
  ledger->numbers.finished = ledger->numbers.updated;
  ledger->is_open = false;
  events::JobEnded(NameOfState(entry.state), ledger->text, CountsOf(*ledger));
  WriteLast(ledger);
}

namespace {

// Output is the role that asks for the rows, and the rows themselves.
struct Output {
  const ResultRows *rows;
  Relation relation;
  Oid role;
  bool sees_all;
  GoneJobs gone;

  void Put(HeapTuple row) {
    LedgerNumbers *const numbers = NumbersOf(row);
    if (!sees_all && numbers->role_id != role) {
      return;
    }
    if (gone.Has(*numbers)) {
      namestrcpy(&numbers->state, kInterrupted);
    }
    Datum values[kLedgerColumns];
    bool nulls[kLedgerColumns];
    heap_deform_tuple(row, RelationGetDescr(relation), values, nulls);
    ResultRow result;
    for (const Datum value : values) {
      result.Value(value);
    }
    rows->Add(&result);
  }
};

}  // namespace

void PutLedgerRows(Oid caller, const ResultRows &rows) {
  const Oid ledger = RecoveryInProgress() ? InvalidOid : FindLedger(caller);
  const Relation relation = OpenLedgerToRead(ledger);
  if (relation == nullptr) {
    return;
  }
  Output output = {.rows = &rows,
                   .relation = relation,
                   .role = GetUserId(),
                   .sees_all = has_privs_of_role(GetUserId(), ROLE_PG_MONITOR),
                   .gone = GoneJobs(relation, false)};
  ForEachLedgerRow(
      relation,
      [](HeapTuple row, void *state) {
        static_cast<Output *>(state)->Put(row);
      },
      &output);
  relation_close(relation, AccessShareLock);
}

}  // namespace fernet::pg
