#include "pg/column/writers.hpp"

#include <algorithm>

#include "pg/column/column_target.hpp"
#include "pg/server/interrupts.hpp"
#include "pg/server/raise.hpp"

namespace fernet::pg {
namespace {

constexpr LOCKMASK kWriting =
    LOCKBIT_ON(RowExclusiveLock) | LOCKBIT_ON(ShareRowExclusiveLock) |
    LOCKBIT_ON(ExclusiveLock) | LOCKBIT_ON(AccessExclusiveLock);

constexpr std::int64_t kDefaultTimeout = 60000;  // milliseconds
constexpr std::int64_t kFirstPause = 2000;       // microseconds
constexpr std::int64_t kLongestPause = 100000;

// A lock of our own kind, apart from those of pg_advisory_lock and of jobs.
LOCKTAG ReaderLock() {
  constexpr uint16 kLockClass = 0xfd;
  LOCKTAG tag;
  SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 0, 0, kLockClass);
  return tag;
}

bool Includes(const Writers &writers, VirtualTransactionId transaction) {
  return std::any_of(writers.list, writers.list + writers.count,
                     [=](const Writers::Writer &writer) {
                       return VirtualTransactionIdEquals(writer.transaction,
                                                         transaction);
                     });
}

void Append(Writers *writers, VirtualTransactionId transaction, int pid) {
  if (!VirtualTransactionIdIsValid(transaction) ||
      Includes(*writers, transaction)) {
    return;
  }
  const auto size =
      static_cast<Size>(writers->count + 1) * sizeof(Writers::Writer);
  writers->list = static_cast<Writers::Writer *>(
      writers->list == nullptr ? palloc(size) : repalloc(writers->list, size));
  writers->list[writers->count++] = {transaction, pid};
}

// GidOf names the prepared transaction `id` of this database, or is null if it
// has ended meanwhile.
const char *GidOf(TransactionId id) {
  const MemoryContext caller_memory = CurrentMemoryContext;
  Oid types[] = {XIDOID, OIDOID};
  Datum values[] = {TransactionIdGetDatum(id), ObjectIdGetDatum(MyDatabaseId)};
  const char *gid = nullptr;
  SPI_connect();
  PushActiveSnapshot(GetLatestSnapshot());
  if (SPI_execute_with_args(
          "SELECT p.gid FROM pg_catalog.pg_prepared_xact() AS p"
          " WHERE p.transaction OPERATOR(pg_catalog.=) $1"
          " AND p.dbid OPERATOR(pg_catalog.=) $2",
          2, types, values, nullptr, true, 1) == SPI_OK_SELECT &&
      SPI_processed == 1) {
    gid = MemoryContextStrdup(
        caller_memory,
        SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
  }
  PopActiveSnapshot();
  SPI_finish();
  MemoryContextSwitchTo(caller_memory);
  return gid;
}

// MayWriteHere is for the lock that a transaction has on its own number: is it
// one of this database, or may it be one? Autovacuum writes no value.
bool MayWriteHere(const LockInstanceData &lock) {
  if (lock.pid == 0) {
    return GidOf(lock.locktag.locktag_field1) != nullptr;
  }
  const PGPROC *const process = BackendPidGetProc(lock.pid);
  return process != nullptr &&
         (process->databaseId == MyDatabaseId ||
          !OidIsValid(process->databaseId)) &&
         (process->statusFlags & PROC_IS_AUTOVACUUM) == 0;
}

// HasNumber says whether the transaction that holds `lock` has one: it has
// changed something.
bool HasNumber(const LockData *data, const LockInstanceData &lock) {
  for (int i = 0; i < data->nelements; ++i) {
    const LockInstanceData &other = data->locks[i];
    if (other.locktag.locktag_type == LOCKTAG_TRANSACTION &&
        (other.holdMask & LOCKBIT_ON(ExclusiveLock)) != 0 &&
        VirtualTransactionIdEquals(TransactionOf(other), TransactionOf(lock)) &&
        MayWriteHere(other)) {
      return true;
    }
  }
  return false;
}

// MayBring: to make a table a partition or a child takes a lock that VACUUM and
// ANALYZE take too. Its rows are in no table that is known here yet.
bool MayBring(const LockData *data, const LockInstanceData &lock) {
  return (lock.holdMask & kWriting) != 0 ||
         ((lock.holdMask & LOCKBIT_ON(ShareUpdateExclusiveLock)) != 0 &&
          HasNumber(data, lock));
}

void AddLockHolders(const LockData *data, const List *tables,
                    Writers *writers) {
  for (int i = 0; i < data->nelements; ++i) {
    const LockInstanceData &lock = data->locks[i];
    const LOCKTAG &tag = lock.locktag;
    if (tag.locktag_type == LOCKTAG_RELATION &&
        tag.locktag_field1 == MyDatabaseId &&
        list_member_oid(tables, tag.locktag_field2) && lock.pid != MyProcPid &&
        MayBring(data, lock)) {
      Append(writers, TransactionOf(lock), lock.pid);
    }
  }
}

// OldestNow is the xmin of a new snapshot: whoever has one as old may see what
// the last batch has replaced.
TransactionId OldestNow() {
  const Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  const TransactionId xmin = snapshot->xmin;
  UnregisterSnapshot(snapshot);
  return xmin;
}

// ModeOf: the modes do not conflict, and tell one kind of readers from another.
LOCKMODE ModeOf(Reader reader) {
  return reader == Reader::kAlone ? AccessShareLock : RowShareLock;
}

// Readers are those that a `reader` need not wait for.
Writers Readers(const LockData *data, Reader reader) {
  Writers readers;
  const LOCKTAG reader_lock = ReaderLock();
  const LOCKMASK modes =
      LOCKBIT_ON(AccessShareLock) |
      (reader == Reader::kAlone ? 0 : LOCKBIT_ON(RowShareLock));
  for (int i = 0; i < data->nelements; ++i) {
    const LockInstanceData &lock = data->locks[i];
    if (memcmp(&lock.locktag, &reader_lock, sizeof reader_lock) == 0 &&
        (lock.holdMask & modes) != 0) {
      Append(&readers, TransactionOf(lock), lock.pid);
    }
  }
  return readers;
}

// OldSnapshots are the transactions that may see what was replaced by now.
struct OldSnapshots {
  const VirtualTransactionId *list;
  int count;
};

OldSnapshots CollectOldSnapshots() {
  OldSnapshots found = {};
  found.list = GetCurrentVirtualXIDs(
      OldestNow(), true, false,
      PROC_IS_AUTOVACUUM | PROC_IN_VACUUM | PROC_IN_SAFE_IC, &found.count);
  return found;
}

void AddOldSnapshots(const OldSnapshots &snapshots, const Writers &readers,
                     Writers *writers) {
  for (int i = 0; i < snapshots.count; ++i) {
    const VirtualTransactionId transaction = snapshots.list[i];
    if (!Includes(readers, transaction)) {
      Append(writers, transaction, ProcessOf(transaction));
    }
  }
}

bool HoldsLock(const List *tables) {
  const LockData *const data = GetLockStatusData();
  for (int i = 0; i < data->nelements; ++i) {
    const LockInstanceData &lock = data->locks[i];
    if (lock.pid == MyProcPid && lock.holdMask != 0 &&
        lock.locktag.locktag_type == LOCKTAG_RELATION &&
        lock.locktag.locktag_field1 == MyDatabaseId &&
        list_member_oid(tables, lock.locktag.locktag_field2)) {
      return true;
    }
  }
  return false;
}

bool ReadsTable(const PlannedStmt &statement) {
  for (int i = 0; i < list_length(statement.rtable); ++i) {
    const auto *const entry =
        static_cast<const RangeTblEntry *>(list_nth(statement.rtable, i));
    if (entry->rtekind == RTE_RELATION) {
      return true;
    }
  }
  return false;
}

// CallsOnly says whether `function` is the only one that `statement` calls, but
// for those of PostgreSQL itself, on which no plan depends.
bool CallsOnly(const PlannedStmt &statement, Oid function) {
  const uint32 hash =
      GetSysCacheHashValue1(PROCOID, ObjectIdGetDatum(function));
  for (int i = 0; i < list_length(statement.invalItems); ++i) {
    const auto *const item =
        static_cast<const PlanInvalItem *>(list_nth(statement.invalItems, i));
    if (item->cacheId != PROCOID || item->hashValue != hash) {
      return false;
    }
  }
  return true;
}

// IsCalledAlone: the statement of the client is the call and nothing else, and
// no cursor is open, which might have an old snapshot of its own.
bool IsCalledAlone(Oid function) {
  if (!PortalIsValid(ActivePortal) || ActivePortal->queryDesc == nullptr ||
      !ThereAreNoReadyPortals()) {
    return false;
  }
  const PlannedStmt &statement = *ActivePortal->queryDesc->plannedstmt;
  return statement.commandType == CMD_SELECT && !statement.hasModifyingCTE &&
         !ReadsTable(statement) && CallsOnly(statement, function);
}

// NameTransaction is null if the prepared transaction has ended meanwhile.
const char *NameTransaction(int pid, TransactionId prepared) {
  if (pid != 0) {
    return psprintf("process %d", pid);
  }
  const char *const gid = GidOf(prepared);
  return gid == nullptr
             ? nullptr
             : psprintf("prepared transaction %s", quote_literal_cstr(gid));
}

// Names lists who is still running.
const char *Names(const Writers &writers) {
  StringInfoData names;
  initStringInfo(&names);
  for (int i = 0; i < writers.count; ++i) {
    const Writers::Writer &writer = writers.list[i];
    bool more = false;
    const char *const name = NameTransaction(
        writer.pid, writer.pid != 0 ? InvalidTransactionId
                                    : TwoPhaseGetXidByVirtualXID(
                                          writer.transaction, &more));
    if (name != nullptr) {
      appendStringInfo(&names, "%s%s", names.len == 0 ? "" : ", ", name);
    }
  }
  return names.data;
}

// ForgetEnded leaves those in the list that are still running.
void ForgetEnded(Writers *writers) {
  Writers::Writer *const end =
      std::remove_if(writers->list, writers->list + writers->count,
                     [](const Writers::Writer &writer) {
                       return VirtualXactLock(writer.transaction, false);
                     });
  writers->count = static_cast<int>(end - writers->list);
}

std::int64_t TimeoutMicroseconds() {
  return (LockTimeout > 0 ? LockTimeout : kDefaultTimeout) * 1000;
}

}  // namespace

const char *NameOfHolder(TransactionId id) {
  const LockData *const data = GetLockStatusData();
  for (int i = 0; i < data->nelements; ++i) {
    const LockInstanceData &lock = data->locks[i];
    if (lock.locktag.locktag_type == LOCKTAG_TRANSACTION &&
        lock.locktag.locktag_field1 == id && lock.holdMask != 0) {
      return NameTransaction(lock.pid, id);
    }
  }
  return nullptr;
}

Reader ReaderOf(Oid function, Oid relation) {
  if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relation))) {
    RefuseMissing(relation);
  }
  return IsCalledAlone(function)
             ? Reader::kAlone
             : ReaderOfAll(function,
                           find_all_inheritors(relation, NoLock, nullptr));
}

Reader ReaderOfAll(Oid function, const List *tables) {
  if (IsCalledAlone(function)) {
    return Reader::kAlone;
  }
  return HoldsLock(tables) ? Reader::kUnmarked : Reader::kInOthers;
}

void MarkAsReader(Reader reader) {
  if (reader != Reader::kUnmarked) {
    const LOCKTAG tag = ReaderLock();
    static_cast<void>(LockAcquire(&tag, ModeOf(reader), false, false));
  }
}

void UnmarkAsReader(Reader reader) {
  if (reader != Reader::kUnmarked) {
    const LOCKTAG tag = ReaderLock();
    LockRelease(&tag, ModeOf(reader), false);
  }
}

Writers CollectWriters(const List *tables, Reader reader) {
  Writers writers;
  // Snapshots first: a statement with an old one may take its lock and end, and
  // so lose its snapshot, between the two looks.
  const OldSnapshots snapshots = CollectOldSnapshots();
  const LockData *const data = GetLockStatusData();
  AddLockHolders(data, tables, &writers);
  AddOldSnapshots(snapshots, Readers(data, reader), &writers);
  return writers;
}

Writers CollectDatabaseWriters(const List *tables, Reader reader) {
  Writers writers = CollectWriters(tables, reader);
  const LockData *const data = GetLockStatusData();
  for (int i = 0; i < data->nelements; ++i) {
    const LockInstanceData &lock = data->locks[i];
    if (lock.locktag.locktag_type == LOCKTAG_TRANSACTION &&
        (lock.holdMask & LOCKBIT_ON(ExclusiveLock)) != 0 &&
        lock.pid != MyProcPid && MayWriteHere(lock)) {
      Append(&writers, TransactionOf(lock), lock.pid);
    }
  }
  return writers;
}

void WaitForWriters(const Writers &writers, const char *name,
                    void (*on_wait)(void *state), void *state) {
  Writers left = writers;
  ForgetEnded(&left);
  if (left.count > 0 && on_wait != nullptr) {
    on_wait(state);
  }
  const TimestampTz end = GetCurrentTimestamp() + TimeoutMicroseconds();
  for (std::int64_t pause = kFirstPause; left.count > 0;
       pause = std::min(2 * pause, kLongestPause)) {
    if (GetCurrentTimestamp() >= end) {
      FERNET_RAISE(
          ERRCODE_OBJECT_IN_USE,
          errmsg("open transactions may still write old values to %s", name),
          errdetail_internal("They are: %s.", Names(left)),
          errhint("End these transactions and run this again, or set "
                  "lock_timeout to wait longer. What a rotation has committed "
                  "stays; no key can be dropped yet."));
    }
    SleepFor(pause);
    ForgetEnded(&left);
  }
}

}  // namespace fernet::pg
