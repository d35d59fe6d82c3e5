#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

// Refusal is the error with which a table refused a row, without the server's
// message, which may quote the row.
struct Refusal {
  int sqlstate = 0;             // 0: nothing was refused
  NameData constraint = {{0}};  // that the error names, or empty
};

// RunInSubtransaction calls `work` in a subtransaction. When the data, a
// constraint or a trigger of the application refused it, nothing of `work`
// remains. All other errors, a cancel among them, are raised again.
Refusal RunInSubtransaction(void (*work)(void *state), void *state);

}  // namespace fernet::pg
