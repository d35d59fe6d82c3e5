#include "pg/functions/row_trigger.hpp"

#include "pg/server/raise.hpp"

namespace fernet::pg {

void RefuseCall(const RowTrigger &trigger, const char *rule) {
  FERNET_RAISE(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
               errmsg("%s() %s", trigger.function, rule),
               errhint("CREATE TRIGGER ... BEFORE INSERT OR UPDATE ON ... FOR "
                       "EACH ROW EXECUTE FUNCTION %s(%s)",
                       trigger.function, trigger.arguments));
}

const TriggerData *RequireRowTrigger(FunctionCallInfo fcinfo,
                                     const RowTrigger &trigger) {
  if (!CALLED_AS_TRIGGER(fcinfo)) {
    RefuseCall(trigger, "must be called by a trigger");
  }
  const auto *const call = reinterpret_cast<TriggerData *>(fcinfo->context);
  if (!TRIGGER_FIRED_FOR_ROW(call->tg_event) ||
      !TRIGGER_FIRED_BEFORE(call->tg_event)) {
    RefuseCall(trigger, "must be fired before each row");
  }
  if (!TRIGGER_FIRED_BY_INSERT(call->tg_event) &&
      !TRIGGER_FIRED_BY_UPDATE(call->tg_event)) {
    RefuseCall(trigger, "must be fired by INSERT or UPDATE");
  }
  return call;
}

Oid RootOf(Relation relation) {
  return relation->rd_rel->relispartition
             ? llast_oid(get_partition_ancestors(RelationGetRelid(relation)))
             : InvalidOid;
}

}  // namespace fernet::pg
