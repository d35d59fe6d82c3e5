// What every message of ours has in common: it hides the statement, which may
// hold a literal key, token or plaintext.
#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

// HideStatement is for every ereport of ours: it keeps the statement and the
// bind parameters in its context out of the server log.
inline int HideStatement() {
  errhidestmt(true);
  return errhidecontext(true);
}

// DropContext is for every ERROR of ours, before its ereport: the client's
// copy of the context would quote the statement of a PL/pgSQL EXECUTE. Whoever
// catches the error puts the stack back.
inline void DropContext() { error_context_stack = nullptr; }

}  // namespace fernet::pg

// FERNET_RAISE raises an ERROR with SQLSTATE `code`; the other arguments are
// those of ereport: errmsg, errdetail, errhint. It drops the context, hides the
// statement and does not return.
#define FERNET_RAISE(code, ...)                                                \
  do {                                                                         \
    ::fernet::pg::DropContext();                                               \
    ereport(ERROR, errcode(code), __VA_ARGS__, ::fernet::pg::HideStatement()); \
    pg_unreachable();                                                          \
  } while (0)
