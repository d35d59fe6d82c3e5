#include "pg/column/owner_rights.hpp"

#include "pg/session/session_keys.hpp"

extern "C" {
#include "access/genam.h"
#include "access/table.h"
}

namespace fernet::pg {
namespace {

Oid OwnerOf(Oid relation) {
  const HeapTuple row = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
  if (!HeapTupleIsValid(row)) {
    return InvalidOid;
  }
  const Oid owner =
      reinterpret_cast<const FormData_pg_class *>(GETSTRUCT(row))->relowner;
  ReleaseSysCache(row);
  return owner;
}

// ParentsOf lists the tables that `relation` inherits from, or is a partition
// of.
List *ParentsOf(Oid relation) {
  List *parents = NIL;
  const Relation inherits = table_open(InheritsRelationId, AccessShareLock);
  ScanKeyData key;
  ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ,
              ObjectIdGetDatum(relation));
  const SysScanDesc scan = systable_beginscan(
      inherits, InheritsRelidSeqnoIndexId, true, nullptr, 1, &key);
  for (HeapTuple row = systable_getnext(scan); HeapTupleIsValid(row);
       row = systable_getnext(scan)) {
    parents = lappend_oid(
        parents, reinterpret_cast<const FormData_pg_inherits *>(GETSTRUCT(row))
                     ->inhparent);
  }
  systable_endscan(scan);
  table_close(inherits, AccessShareLock);
  return parents;
}

// WhoseCode is the owner of `relation`, or, where that is a superuser, the
// first owner above it that is none.
Oid WhoseCode(Oid relation) {
  const Oid owner = OwnerOf(relation);
  List *above = list_make1_oid(relation);
  for (int i = 0; i < list_length(above); ++i) {
    const Oid one = OwnerOf(list_nth_oid(above, i));
    if (OidIsValid(one) && !superuser_arg(one)) {
      return one;
    }
    above = list_concat_unique_oid(above, ParentsOf(list_nth_oid(above, i)));
  }
  return owner;
}

}  // namespace

bool NeedsOwnerRights(Relation relation) {
  return superuser() && !superuser_arg(WhoseCode(RelationGetRelid(relation)));
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
  const Oid owner = WhoseCode(RelationGetRelid(relation));
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
