#include "pg/column/ledger.hpp"

#include "pg/column/job_lock.hpp"
#include "pg/column/ledger_pages.hpp"
#include "pg/report/events.hpp"
#include "pg/report/report.hpp"

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

constexpr const char *kRunning = "running";
constexpr const char *kWaiting = "waiting";
constexpr const char *kInterrupted = "interrupted";

// A row is always shorter than a page.
constexpr int kMostColumns = 64;

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

bool IsUnderWay(const LedgerNumbers &numbers) {
  return strcmp(NameStr(numbers.state), kRunning) == 0 ||
         strcmp(NameStr(numbers.state), kWaiting) == 0;
}

// DescribeJob is the description of the job in each line of the log.
const char *DescribeJob(const LedgerJob &job) {
  StringInfoData text;
  initStringInfo(&text);
  appendStringInfo(&text, "%s %s (", job.operation, job.relation_name);
  for (int i = 0; i < job.column_count; ++i) {
    appendStringInfo(&text, "%s%s", i == 0 ? "" : ", ",
                     quote_identifier(job.columns[i]));
  }
  appendStringInfo(&text, "), slice %d of %d, role %s", job.slice, job.slices,
                   quote_identifier(GetUserNameFromId(GetUserId(), false)));
  return text.data;
}

ArrayType *ColumnNames(const LedgerJob &job) {
  const int count = Min(job.column_count, kMostColumns);
  auto *const names =
      static_cast<Datum *>(palloc(static_cast<Size>(count) * sizeof(Datum)));
  for (int i = 0; i < count; ++i) {
    auto *const name = static_cast<Name>(palloc(NAMEDATALEN));
    namestrcpy(name, job.columns[i]);
    names[i] = NameGetDatum(name);
  }
  return construct_array(names, count, NAMEOID, NAMEDATALEN, false,
                         TYPALIGN_CHAR);
}

// MarkInterrupted: a job holds its lock as long as it runs, so if a row says
// "running" and nobody holds its lock, the job is gone. This session will run
// its next job, so all of its earlier jobs are gone.
void MarkInterrupted(Relation relation) {
  struct Rows {
    Relation relation;
    JobLocks locks;
  };
  Rows rows = {.relation = relation, .locks = {}};
  ForEachLedgerRow(
      relation,
      [](HeapTuple row, void *state) {
        auto *const all = static_cast<Rows *>(state);
        LedgerNumbers numbers = *NumbersOf(row);
        if (!IsUnderWay(numbers) ||
            (numbers.pid != MyProcPid &&
             all->locks.AreHeld(numbers.reloid, numbers.lock_part,
                                numbers.pid))) {
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

// Write writes the numbers if that is possible without waiting.
void Write(Ledger *ledger) {
  const Relation relation = TryOpenLedger(ledger->relation);
  if (relation == nullptr) {
    return;
  }
  if (ledger->numbers.id == 0) {
    AddRow(relation, ledger);
  } else if (!ChangeLedgerRow(relation, ledger->numbers, &ledger->place)) {
    // Another row is added after the next batch.
    ledger->numbers.id = 0;
  }
  relation_close(relation, RowExclusiveLock);
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
  Write(ledger);
  return ledger;
}

void WriteLedger(Ledger *ledger, const LedgerEntry &entry) {
  RequireExtension(*ledger);
  SetNumbers(ledger, entry);
  Write(ledger);
}

void CloseLedger(Ledger *ledger, const LedgerEntry &entry) {
  RequireExtension(*ledger);
  SetNumbers(ledger, entry);
  ledger->numbers.finished = ledger->numbers.updated;
  Write(ledger);
  ledger->is_open = false;
  events::JobEnded(NameOfState(entry.state), ledger->text, CountsOf(*ledger));
}

namespace {

// Output is the role that asks for the rows, and the rows themselves.
struct Output {
  const ResultRows *rows;
  Relation relation;
  Oid role;
  bool sees_all;
  JobLocks locks;

  void Put(HeapTuple row) {
    LedgerNumbers *const numbers = NumbersOf(row);
    if (!sees_all && numbers->role_id != role) {
      return;
    }
    if (IsUnderWay(*numbers) &&
        !locks.AreHeld(numbers->reloid, numbers->lock_part, numbers->pid)) {
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
                   .locks = {}};
  ForEachLedgerRow(
      relation,
      [](HeapTuple row, void *state) {
        static_cast<Output *>(state)->Put(row);
      },
      &output);
  relation_close(relation, AccessShareLock);
}

}  // namespace fernet::pg
