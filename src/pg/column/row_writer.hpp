#pragma once

#include "pg/column/column_target.hpp"
#include "pg/column/new_row.hpp"
#include "pg/column/owner_rights.hpp"
#include "pg/server/boundary.hpp"

namespace fernet::pg {

// WritePhase is the step of a RowWriter, which tells what raised an error.
// Before it, kValue makes the new value of a document, an array or a row.
enum class WritePhase { kValue, kLock, kRow, kBeforeTriggers, kAfterTriggers };

// RowWriter updates columns of rows that a scan of the table has found, as
// UPDATE would: with triggers, indexes, constraints and generated columns, but
// without ever waiting for another transaction's lock on a row.
struct RowWriter {
  NewRow row;
  EPQState recheck;
  TupleTableSlot *locked_row;
  bool lock_first;  // or BEFORE triggers would lock the row, waiting for it
  TransitionCaptureState *transitions;
  bool has_written;       // statement triggers have fired
  ItemPointerData place;  // of the version that was written last
  WritePhase phase;
  OwnerRights rights;
};

enum class RowResult {
  kWritten,
  kBusy,      // changed or locked by another transaction
  kUnwanted,  // a BEFORE trigger suppressed the update
  kGone,      // deleted, or in no need of a change any more
};

// RequireReplicaIdentity raises 55000 if the table is published and updates of
// it cannot be.
void RequireReplicaIdentity(const TableTarget &target);

// BeginWriting starts a command on `*target`, which must stay. The snapshot is
// the active one. With `lock_first`, a row is locked before it is written, and
// one that this transaction has changed since the snapshot is kBusy.
//
// When a superuser writes to a table of a role that is none, everything up to
// FinishWriting happens with the rights of the owner, in a security-restricted
// operation, as in VACUUM: the triggers, constraints and index expressions are
// the owner's. They get no key (session_keys::kOutOfReach), and no setting of
// theirs remains. An error ends that with the subtransaction.
void BeginWriting(const TableTarget *target, bool lock_first, RowWriter *out);

// WriteRow puts `values`, at least one of them set, into the row in `row`, as
// the snapshot saw it. What UPDATE would raise, it raises. Triggers of
// statements fire as if it named all columns of the target, those of a row by
// the columns that the row changes.
RowResult WriteRow(RowWriter *writer, TupleTableSlot *row,
                   const NewValue *values);

// NewestRow is the newest version of a row.
struct NewestRow {
  TupleTableSlot *slot;  // null if it is gone, or is not locked
  bool is_busy;          // another transaction holds it
  ItemPointerData place;
};

// LockNewest locks the newest version of the row in `row`, wherever it has
// moved to. With `wait`, it waits for whoever holds the row, and raises what
// LOCK raises. For a writer that has written nothing yet.
NewestRow LockNewest(RowWriter *writer, const TupleTableSlot *row, bool wait);

// FinishWriting fires the AFTER triggers and ends the command.
void FinishWriting(RowWriter *writer);

}  // namespace fernet::pg
