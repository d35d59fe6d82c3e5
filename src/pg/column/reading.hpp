// One reading of a whole column that proves something.
#pragma once

#include "pg/column/column_target.hpp"
#include "pg/server/boundary.hpp"

namespace fernet::pg {

// Reading is a snapshot that is newer than the lock on each of the tables that
// it reads: no transaction can have rewritten or emptied one in between.
struct Reading {
  List *tables;  // that hold rows, by Oid, in ACCESS SHARE
  Snapshot snapshot;
  // When the snapshot was taken, no transaction could bring an old value: what
  // this reading proves needs no second one.
  bool is_quiet;
};

// WaitForOldWriters waits for every transaction that could still bring an old
// value into `relation` or a table below it: see writers.hpp. `name` is what an
// error calls the column. Locks nothing. Raises 55006 too while another
// session runs a job on one of these tables, or on a table above.
void WaitForOldWriters(Oid relation, const char *name,
                       void (*on_wait)(void *state), void *state);

// RequireReadCommitted raises 55000 above READ COMMITTED, where the snapshot is
// older than a lock that is taken now.
void RequireReadCommitted();

// BeginReading locks the tables, then takes the snapshot and makes it the
// active one. Raises what RequireReadCommitted does. EndReading lets go of the
// snapshot.
Reading BeginReading(Oid relation);
void EndReading(const Reading &reading);

// RequireSameCount compares how many `values` of each of `columns` were read
// from pages with what a query counts in the same snapshot. Raises 0A000 if
// they differ: then rows of the table are not in its pages, and nothing is
// proved.
void RequireSameCount(const Reading &reading, Oid relation, ColumnNames columns,
                      const std::int64_t *values);

// IsSubscribed says whether an enabled subscription of this database writes to
// one of the tables, from which old values may come at any time.
bool IsSubscribed(const Reading &reading);

}  // namespace fernet::pg
