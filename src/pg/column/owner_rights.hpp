// The rights under which the code of a table runs: its triggers, constraints
// and index expressions.
#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

// OwnerRights is what LeaveOwnerRights restores.
struct OwnerRights {
  bool taken;
  Oid caller;
  int context;
  int settings_level;
};

// NeedsOwnerRights says whether the caller is a superuser, and the code that
// the table runs another role's.
bool NeedsOwnerRights(Relation relation);

// TakeOwnerRights makes the owner of the table the current user, in a
// security-restricted operation without the key, if NeedsOwnerRights. A
// partition that belongs to a superuser has triggers, constraints and index
// expressions of the tables above it: there it is the first owner above that is
// no superuser. The search_path stays: a superuser gains nothing by leading the
// owner's code astray.
void TakeOwnerRights(Relation relation, OwnerRights *out);

// SetImmediate is SET CONSTRAINTS ... IMMEDIATE for the deferrable constraints
// of the table, if NeedsOwnerRights: what is deferred would fire later, with
// the rights of the superuser, which the server does not allow. It holds until
// the end of the transaction.
void SetImmediate(Relation relation);

// LeaveOwnerRights undoes that. So does the end of the subtransaction.
void LeaveOwnerRights(const OwnerRights &rights);

}  // namespace fernet::pg
