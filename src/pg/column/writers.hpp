// The transactions that could still bring an old value into a column.
#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

// Writers are transactions that were open at one moment.
struct Writers {
  struct Writer {
    VirtualTransactionId transaction;
    int pid;  // 0 for a prepared transaction
  };
  int count = 0;
  Writer *list = nullptr;
};

// NameOfHolder is the process, or the prepared transaction, that runs the
// transaction `id`; null if none does.
const char *NameOfHolder(TransactionId id);

// Reader is what the statement of a reading may do with its old snapshot when
// the reading has ended.
enum class Reader {
  kAlone,     // nothing: it reads no table and calls nothing else
  kInOthers,  // it is called by other code, which has not read the tables yet
  kUnmarked,  // it is called by other code, which may have read an old value
};

// ReaderOf says what a call of the SQL function `function` is, which reads
// `relation` and the tables below it. It is asked before the function locks one
// of them. Raises 42P01 if `relation` does not exist.
Reader ReaderOf(Oid function, Oid relation);
// ReaderOfAll is ReaderOf for a function that reads `tables`.
Reader ReaderOfAll(Oid function, const List *tables);

// MarkAsReader tells other sessions that the old snapshot of this one belongs
// to a reading, so that two readings do not wait for each other. UnmarkAsReader
// ends that, as does the end of the transaction: what the transaction does
// later with a snapshot of its own counts again.
void MarkAsReader(Reader reader);
void UnmarkAsReader(Reader reader);

// CollectWriters finds, in the current memory context, the transactions that
// hold a lock on one of `tables` with which they write (ROW EXCLUSIVE, SHARE
// ROW EXCLUSIVE, EXCLUSIVE or ACCESS EXCLUSIVE; or SHARE UPDATE EXCLUSIVE, with
// which they make a table a part of it, if they have changed anything),
// prepared ones too, and those of this database whose snapshot is as old as a
// new one: with it they may copy an old value later. VACUUM and this session do
// not count. Nor do readings that are alone; if `reader` is not, other marked
// ones do not count either: two of them would wait for each other.
Writers CollectWriters(const List *tables, Reader reader);

// CollectDatabaseWriters adds every other transaction of this database that has
// written anything: what it wrote to need not be a table.
Writers CollectDatabaseWriters(const List *tables, Reader reader);

// WaitForWriters returns when all of them have ended. The caller holds no lock
// on the tables and, in a job, no snapshot. It polls, and calls `on_wait` once
// if it has to wait; null calls nothing. Raises 55006 with their process ids,
// or the gids of prepared transactions, after lock_timeout, or after 60 s if
// that is 0.
void WaitForWriters(const Writers &writers, const char *name,
                    void (*on_wait)(void *state), void *state);

}  // namespace fernet::pg
