#include "pg/column/owner_rights.hpp"

#include "pg/session/session_keys.hpp"

namespace fernet::pg {

void TakeOwnerRights(Relation relation, OwnerRights *out) {
  const Oid owner = relation->rd_rel->relowner;
  out->taken = superuser() && !superuser_arg(owner);
  if (!out->taken) {
    return;
  }
  GetUserIdAndSecContext(&out->caller, &out->context);
  out->settings_level = NewGUCNestLevel();
  SetUserIdAndSecContext(owner, out->context | SECURITY_RESTRICTED_OPERATION |
                                    session_keys::kOutOfReach);
}

void LeaveOwnerRights(const OwnerRights &rights) {
  if (rights.taken) {
    AtEOXact_GUC(false, rights.settings_level);
    SetUserIdAndSecContext(rights.caller, rights.context);
  }
}

}  // namespace fernet::pg
