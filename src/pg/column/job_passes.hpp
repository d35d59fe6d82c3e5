// The passes of a job over its tables, batch by batch.
#pragma once

#include "pg/column/job_progress.hpp"
#include "pg/column/reading.hpp"

namespace fernet::pg {

ColumnAccess AccessOf(const ColumnJob &job);

// PatienceMicroseconds is how long a job waits at the most for rows of others:
// the lock_timeout of the session, or 60 s if that is 0.
std::int64_t PatienceMicroseconds();

// Commit ends a transaction of the job and starts the next. All use READ
// COMMITTED, so a batch and a reading take a new snapshot. The session's
// default does not matter.
void Commit(Running *running);

// WritePass goes once over all tables, with a transaction and a snapshot for
// each batch: a row that the application moves may pass it by.
void WritePass(Running *running);

// RetryLeft writes the rows on the pages `running->left`. Rows that others hold
// it tries again. Then, once in a job, it waits for each alone, holding nothing
// else: for the lock_timeout of the session, or 60 s if that is 0, in all. It
// warns of those that are still busy, and their pages are `running->left` then.
void RetryLeft(Running *running);

// ReadPass reads every value once, with one snapshot, and writes nothing; pages
// with values that a write would change are in `running->left` then. Unless it
// is null, it ends `proof`, which was begun in the same transaction, and
// compares the number of values with what a query counts.
Tally ReadPass(Running *running, Proof *proof);

}  // namespace fernet::pg
