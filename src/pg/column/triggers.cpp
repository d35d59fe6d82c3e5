#include "pg/column/triggers.hpp"

#include "pg/column/column_target.hpp"
#include "pg/server/raise.hpp"

// A trigger that calls this function encrypts.
extern "C" PGDLLEXPORT Datum fernet_encrypt_trigger(PG_FUNCTION_ARGS);

namespace fernet::pg {
namespace {

bool Names(const Trigger &trigger, const char *column) {
  for (int i = 0; i < trigger.tgnargs; ++i) {
    if (strcmp(trigger.tgargs[i], column) == 0) {
      return true;
    }
  }
  return false;
}

// Encrypts says whether `trigger` encrypts `column` on an update.
bool Encrypts(Relation relation, const char *column) {
  const AttrNumber attribute = get_attnum(RelationGetRelid(relation), column);
  const TriggerDesc *const triggers = relation->trigdesc;
  for (int i = 0; triggers != nullptr && i < triggers->numtriggers; ++i) {
    const Trigger &trigger = triggers->triggers[i];
    if (!FiresOnUpdate(trigger, attribute) || !Names(trigger, column)) {
      continue;
    }
    FmgrInfo function;
    fmgr_info(trigger.tgfoid, &function);
    if (function.fn_addr == fernet_encrypt_trigger) {
      return true;
    }
  }
  return false;
}

}  // namespace

bool FiresOnUpdate(const Trigger &trigger, AttrNumber attribute) {
  bool names_column = trigger.tgnattr == 0;
  for (int i = 0; i < trigger.tgnattr; ++i) {
    names_column = names_column || trigger.tgattr[i] == attribute;
  }
  const bool enabled =
      trigger.tgenabled == TRIGGER_FIRES_ALWAYS ||
      (trigger.tgenabled == TRIGGER_FIRES_ON_ORIGIN &&
       SessionReplicationRole != SESSION_REPLICATION_ROLE_REPLICA) ||
      (trigger.tgenabled == TRIGGER_FIRES_ON_REPLICA &&
       SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA);
  return (trigger.tgtype & TRIGGER_TYPE_UPDATE) != 0 && !trigger.tgisinternal &&
         enabled && names_column;
}

const char *TriggersOnUpdate(Relation relation, AttrNumber attribute,
                             bool before) {
  StringInfoData names;
  initStringInfo(&names);
  const TriggerDesc *const triggers = relation->trigdesc;
  for (int i = 0; triggers != nullptr && i < triggers->numtriggers; ++i) {
    const Trigger &trigger = triggers->triggers[i];
    if (FiresOnUpdate(trigger, attribute) &&
        TRIGGER_FOR_BEFORE(trigger.tgtype) == before) {
      appendStringInfo(&names, "%s%s", names.len == 0 ? "" : ", ",
                       quote_identifier(trigger.tgname));
    }
  }
  return names.data;
}

void NameTriggers(Oid relation_oid, AttrNumber attribute) {
  const Relation relation = relation_open(relation_oid, NoLock);
  StringInfoData names;
  initStringInfo(&names);
  const TriggerDesc *const triggers = relation->trigdesc;
  // The job writes partitions one by one, so the statement triggers of the
  // partitioned table do not fire.
  const bool rows_only = relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE;
  for (int i = 0; triggers != nullptr && i < triggers->numtriggers; ++i) {
    const Trigger &trigger = triggers->triggers[i];
    if (FiresOnUpdate(trigger, attribute) &&
        (!rows_only || TRIGGER_FOR_ROW(trigger.tgtype))) {
      appendStringInfo(&names, "%s%s", names.len == 0 ? "" : ", ",
                       quote_identifier(trigger.tgname));
    }
  }
  if (names.len > 0) {
    ereport(NOTICE,
            errmsg("triggers of \"%s\" will fire: %s",
                   RelationGetRelationName(relation), names.data),
            HideStatement());
  }
  relation_close(relation, NoLock);
}

void RequireNoEncryption(Oid relation_oid, const char *column) {
  List *const tables = TablesBelow(relation_oid, ColumnAccess::kWrite);
  for (int i = 0; i < list_length(tables); ++i) {
    const Relation relation = relation_open(list_nth_oid(tables, i), NoLock);
    if (Encrypts(relation, column)) {
      FERNET_RAISE(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                   errmsg("a trigger of \"%s\" would encrypt \"%s\" again",
                          RelationGetRelationName(relation), column),
                   errhint("Drop or disable the trigger first."));
    }
    relation_close(relation, NoLock);
  }
}

}  // namespace fernet::pg
