// One reading of a whole column that proves something.
#pragma once

#include "pg/column/column_target.hpp"
#include "pg/column/watch.hpp"
#include "pg/column/writers.hpp"
#include "pg/server/boundary.hpp"

namespace fernet::pg {

// Reading is a snapshot that is newer than the lock on each of the tables that
// it reads: no transaction can have rewritten or emptied one in between.
struct Reading {
  List *tables;  // that hold rows, by Oid, in ACCESS SHARE
  Snapshot snapshot;
  Reader reader;
  // When the snapshot was taken, no transaction could bring an old value.
  bool is_quiet;
};

// Proof is what a reading needs to prove that nobody brings an old value later.
struct Proof {
  Reader reader = Reader::kUnmarked;
  ValueRule rule = {};           // which values are old
  const char *source = nullptr;  // of blind indexes: the column with the values
  Watch watch = {};
  bool holds =
      false;  // nothing has come and gone that somebody may have copied
};

// kMaxProofs is how often a proof begins anew because of such a value, or of a
// table that was rewritten.
inline constexpr int kMaxProofs = 8;

// RefuseProof raises 55006 after so many.
[[noreturn]] void RefuseProof(const char *name);

// WaitForOldWriters begins the watch of `proof`, and waits for every
// transaction that could still bring an old value into `relation` or a table
// below it: see writers.hpp. `name` is what an error calls the column. Locks
// nothing. Raises 55006 too while another session runs a job on one of these
// tables, or on a table above.
void WaitForOldWriters(Oid relation, const char *name, Proof *proof,
                       void (*on_wait)(void *state), void *state);

// JudgeProof says in `proof` whether it holds for `reading`. EndProof ends its
// watch, with the resource owner that began it.
void JudgeProof(const Reading &reading, ColumnNames columns, Proof *proof);
void EndProof(const Proof &proof);

// RequireNoJobBeside raises 55006 if another session runs a job on a table
// above or below `relation`.
void RequireNoJobBeside(Oid relation);

// RequireReadCommitted raises 55000 above READ COMMITTED, where the snapshot is
// older than a lock that is taken now.
void RequireReadCommitted();

// BeginReading locks the tables, then takes the snapshot and makes it the
// active one. Raises what RequireReadCommitted does. EndReading lets go of the
// snapshot.
Reading BeginReading(Oid relation, Reader reader);
void EndReading(const Reading &reading);

// RequireSameCount compares how many `values` of each of `columns` were read
// from pages with what a query counts in the same snapshot. Raises 0A000 if
// they differ: then rows of the table are not in its pages, and nothing is
// proved.
void RequireSameCount(const Reading &reading, Oid relation, ColumnNames columns,
                      const std::int64_t *values);

// ColumnsToCount is `columns`, and `source` unless it is null, in the current
// memory context.
ColumnNames ColumnsToCount(ColumnNames columns, const char *source);

// IsSubscribed says whether an enabled subscription of this database writes to
// one of the tables, from which old values may come at any time.
bool IsSubscribed(const Reading &reading);

}  // namespace fernet::pg
