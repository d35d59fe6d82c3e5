#include "pg/column/database_reading.hpp"

#include "pg/column/job_lock.hpp"

extern "C" {
#include "storage/lmgr.h"
}

namespace fernet::pg {
namespace {

void LockAll(const List *tables) {
  for (int i = 0; i < list_length(tables); ++i) {
    CHECK_FOR_INTERRUPTS();
    const Oid table = list_nth_oid(tables, i);
    LockRelationOid(table, AccessShareLock);
    if (get_rel_relkind(table) == RELKIND_PARTITIONED_TABLE) {
      list_free(find_all_inheritors(table, AccessShareLock, nullptr));
    }
  }
}

}  // namespace

List *WithPartitions(const List *tables) {
  List *all = NIL;
  for (int i = 0; i < list_length(tables); ++i) {
    const Oid table = list_nth_oid(tables, i);
    all = get_rel_relkind(table) == RELKIND_PARTITIONED_TABLE
              ? list_concat(all, find_all_inheritors(table, NoLock, nullptr))
              : lappend_oid(all, table);
  }
  return all;
}

Watch WaitForDatabaseWriters(const List *tables, Reader reader) {
  const List *const all = WithPartitions(tables);
  RequireNoOtherJob(all);
  MarkAsReader(reader);
  // Before they are collected: what has ended by then is watched.
  const Watch watch = BeginWatch(all);
  WaitForWriters(CollectDatabaseWriters(all, reader), "the database", nullptr,
                 nullptr);
  return watch;
}

void EndDatabaseProof(const Watch &watch, Reader reader) {
  EndWatch(watch);
  UnmarkAsReader(reader);
}

Snapshot BeginDatabaseReading(const List *tables, Reader reader,
                              bool (*is_same)(void *state), void *state) {
  MarkAsReader(reader);
  LockAll(tables);
  const Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  PushActiveSnapshot(snapshot);
  // A partition that was attached before the snapshot is locked by the search;
  // nobody can have emptied one that was locked here.
  if (is_same(state)) {
    return snapshot;
  }
  EndDatabaseReading(snapshot, reader);
  return nullptr;
}

void EndDatabaseReading(Snapshot snapshot, Reader reader) {
  PopActiveSnapshot();
  UnregisterSnapshot(snapshot);
  UnmarkAsReader(reader);
}

bool IsDatabaseQuiet(const List *tables, Snapshot snapshot, Reader reader) {
  return snapshot->xcnt == 0 && !snapshot->suboverflowed &&
         CollectDatabaseWriters(WithPartitions(tables), reader).count == 0 &&
         TransactionIdEquals(ReadNextTransactionId(), snapshot->xmax);
}

}  // namespace fernet::pg
