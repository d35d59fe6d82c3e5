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

}  // namespace fernet::pg
