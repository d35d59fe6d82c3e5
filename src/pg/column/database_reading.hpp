// One reading of many tables that proves something: see reading.hpp.
#pragma once

#include "pg/column/watch.hpp"
#include "pg/column/writers.hpp"
#include "pg/server/boundary.hpp"

namespace fernet::pg {

// WaitForDatabaseWriters waits for every transaction of this database that
// could still bring an old value into one of `tables`, or into anything else
// that it has written to. Locks nothing. Returns a watch of the tables that
// began before; EndDatabaseProof ends it. Raises 55006 like WaitForOldWriters.
Watch WaitForDatabaseWriters(const List *tables, Reader reader);
void EndDatabaseProof(const Watch &watch, Reader reader);

// WithPartitions lists `tables` and all of their partitions.
List *WithPartitions(const List *tables);

// BeginDatabaseReading locks `tables` and their partitions, then takes the
// snapshot and makes it the active one. `is_same` says, under that snapshot,
// whether the tables are still the same; if not, it returns null. A partition
// that was attached in between is locked as well. EndDatabaseReading lets go of
// the snapshot.
Snapshot BeginDatabaseReading(const List *tables, Reader reader,
                              bool (*is_same)(void *state), void *state);
void EndDatabaseReading(Snapshot snapshot, Reader reader);

// IsDatabaseQuiet says whether no transaction could bring an old value when
// `snapshot` was taken: then the watch need not be asked.
bool IsDatabaseQuiet(const List *tables, Snapshot snapshot, Reader reader);

}  // namespace fernet::pg
