#include "pg/column/owner_rights.hpp"

#include "pg/session/session_keys.hpp"

namespace fernet::pg {

bool NeedsOwnerRights(Relation relation) {
  return superuser() && !superuser_arg(relation->rd_rel->relowner);
}

void SetImmediate(Relation relation) {
  const TriggerDesc *const triggers = relation->trigdesc;
  if (triggers == nullptr || !NeedsOwnerRights(relation)) {
    return;
  }
  ConstraintsSetStmt immediate = {};
  NodeSetTag(&immediate, T_ConstraintsSetStmt);
  for (int i = 0; i < triggers->numtriggers; ++i) {
    const Trigger &trigger = triggers->triggers[i];
    const char *const name = trigger.tgdeferrable
                                 ? get_constraint_name(trigger.tgconstraint)
                                 : nullptr;
    if (name != nullptr) {
      immediate.constraints = lappend(
          immediate.constraints,
          makeRangeVar(get_namespace_name(RelationGetNamespace(relation)),
                       pstrdup(name), -1));
    }
  }
  if (immediate.constraints != NIL) {
    AfterTriggerSetState(&immediate);
  }
}

void TakeOwnerRights(Relation relation, OwnerRights *out) {
  const Oid owner = relation->rd_rel->relowner;
  out->taken = NeedsOwnerRights(relation);
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
