// The locks that keep two jobs off the same rows and show that a job is alive.
#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

// LockPart numbers the columns of a table and their slices, from 1; slice 0 is
// the column as a whole.
std::uint32_t LockPart(AttrNumber attribute, int slice);

// RequireNoOtherJob raises 55006 if another session runs a job on one of
// `tables`: between two of its batches, no lock on a table shows it.
void RequireNoOtherJob(const List *tables);

// TakeTurn locks the column `attribute` of `relation`, or its `slice` of
// `slices`, until `job_memory` is deleted. Raises 55006 when another session
// has the lock, and names that session.
void TakeTurn(MemoryContext job_memory, Oid relation, AttrNumber attribute,
              int slice, int slices);

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
