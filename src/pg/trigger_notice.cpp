#include "pg/trigger_notice.hpp"

#include "pg/report.hpp"

namespace fernet::pg {

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

void NameTriggers(Oid relation_oid, AttrNumber attribute) {
  const Relation relation = relation_open(relation_oid, NoLock);
  StringInfoData names;
  initStringInfo(&names);
  const TriggerDesc *const triggers = relation->trigdesc;
  // Partitions are written one by one: the statement triggers of the whole
  // table do not fire.
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

}  // namespace fernet::pg
