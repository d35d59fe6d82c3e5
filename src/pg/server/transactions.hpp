// Transactions of a procedure that commits.
#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

// CommitAndStart commits the transaction and starts the next one, in a
// procedure that may commit. CurrentMemoryContext is then one of the server's.
//
// Between the two, it reports the statistics of the tables, so that autovacuum
// can work beside a long CALL. Only a CALL of the client's own has this moment:
// one from PL/pgSQL commits through SPI, which starts the next transaction at
// once, and its statistics arrive at its end. Such a caller is connected to
// SPI, and other callers are not.
void CommitAndStart();

// CommitWithoutDisk lets the commit of this transaction return before it is on
// disk: a crash may take it back, as a whole, until FlushWal or a later commit.
// Where standbys are synchronous, nothing changes.
void CommitWithoutDisk();

// FlushWal returns when every commit up to now is on disk. It does nothing
// during recovery.
void FlushWal();

// SetAllImmediate is SET CONSTRAINTS ALL IMMEDIATE: it fires what was deferred,
// and raises what that raises.
void SetAllImmediate();

}  // namespace fernet::pg
