// Every message of ours hides the statement, which may hold a literal key,
// token or plaintext.
#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

// HideStatement is for every ereport of ours: it keeps the statement, and the
// context with its bind parameters, out of the server log.
inline int HideStatement() {
  errhidestmt(true);
  return errhidecontext(true);
}

// DropContext is for every ERROR of ours, before its ereport: the client's
// copy of the context would quote the statement of a PL/pgSQL EXECUTE. The code
// that catches the error restores the stack.
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
