#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

// Refusal is the error with which a table refused a row, without the server's
// message, which may quote the row.
struct Refusal {
  int sqlstate = 0;             // 0: nothing was refused
  NameData constraint = {{0}};  // that the error names, or empty

  bool refused() const { return sqlstate != 0; }
  // by_lock: a lock timed out, or a deadlock or a moved row was met. The same
  // may succeed later.
  bool by_lock() const {
    return sqlstate == ERRCODE_LOCK_NOT_AVAILABLE ||
           sqlstate == ERRCODE_T_R_DEADLOCK_DETECTED ||
           sqlstate == ERRCODE_T_R_SERIALIZATION_FAILURE;
  }
};

// RunInSubtransaction calls `work` in a subtransaction. When it raises an
// error, nothing of `work` remains. An error of the server is raised again:
// cancel, shutdown, lack of resources, a system or an internal error. Every
// other one is a refusal, whatever a trigger chose as its SQLSTATE.
Refusal RunInSubtransaction(void (*work)(void *state), void *state);

// RunAndUndo calls `work` in a subtransaction, and undoes what it did to the
// database: its locks go. Its errors are raised.
void RunAndUndo(void (*work)(void *state), void *state);

}  // namespace fernet::pg
