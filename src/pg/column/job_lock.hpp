// The locks that keep two jobs off the same rows and show that a job is alive.
#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

// LockPart numbers the slices of a table, from 1; slice 0 is the whole table.
std::uint32_t LockPart(int slice);

// RequireNoOtherJob raises 55006 if another session runs a job on one of
// `tables`: between two of its batches, no lock on a table shows it.
void RequireNoOtherJob(const List *tables);

// TakeTurn locks `relation`, or its `slice` of `slices`, until `job_memory` is
// deleted. Raises 55006 when another session has the lock, and names that
// session. It is the same for all columns: two jobs would find each other's
// locks on the rows, and neither could prove its end while the other runs.
void TakeTurn(MemoryContext job_memory, Oid relation, int slice, int slices);

// JobLocks is which jobs of this database are alive: a list of the server's
// locks, made when it is asked for the first time.
class JobLocks {
 public:
  // AreHeld: the process `pid` holds the lock of a job on `part` of `relation`.
  bool AreHeld(Oid relation, std::uint32_t part, int pid);

 private:
  LockData *locks_ = nullptr;
};

}  // namespace fernet::pg
