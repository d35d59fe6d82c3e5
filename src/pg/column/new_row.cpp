#include "pg/column/new_row.hpp"

namespace fernet::pg {
namespace {

EState *NewExecutorState(const ColumnTarget &target, CommandId command) {
  EState *const state = CreateExecutorState();
  RangeTblEntry *const entry = makeNode(RangeTblEntry);
  entry->rtekind = RTE_RELATION;
  entry->relid = RelationGetRelid(target.relation);
  entry->relkind = target.relation->rd_rel->relkind;
  entry->rellockmode = AccessShareLock;
  // What triggers "UPDATE OF column" and generated columns ask for.
  InitRangeTable(state, entry,
                 bms_make_singleton(target.attribute -
                                    FirstLowInvalidHeapAttributeNumber));
  state->es_output_cid = command;
  state->es_snapshot = GetActiveSnapshot();
  return state;
}

}  // namespace

void BeginNewRows(const ColumnTarget *target, CommandId command, NewRow *out) {
  const Relation relation = target->relation;
  *out = {};
  out->target = target;
  out->state = NewExecutorState(*target, command);
  out->result = makeNode(ResultRelInfo);
  InitResultRelInfo(out->result, relation, 1, nullptr, 0);
  out->slot = table_slot_create(relation, &out->state->es_tupleTable);
}

void EndNewRows(const NewRow &row) {
  ExecResetTupleTable(row.state->es_tupleTable, false);
  FreeExecutorState(row.state);
}

void FillNewRow(const NewRow &out, TupleTableSlot *row, Datum value) {
  TupleTableSlot *const slot = out.slot;
  const auto columns =
      static_cast<std::size_t>(row->tts_tupleDescriptor->natts);
  const int changed = out.target->attribute - 1;
  slot_getallattrs(row);
  ExecClearTuple(slot);
  memcpy(slot->tts_values, row->tts_values, columns * sizeof(Datum));
  memcpy(slot->tts_isnull, row->tts_isnull, columns * sizeof(bool));
  for (std::size_t i = 0; i < columns; ++i) {
    if (TupleDescAttr(row->tts_tupleDescriptor, static_cast<int>(i))
            ->attisdropped) {
      slot->tts_values[i] = Datum{0};
      slot->tts_isnull[i] = true;
    }
  }
  slot->tts_values[changed] = value;
  slot->tts_isnull[changed] = false;
  ExecStoreVirtualTuple(slot);
  slot->tts_tableOid = RelationGetRelid(out.target->relation);
}

void ComputeGenerated(const NewRow &row) {
  const TupleConstr *const constraints = row.target->relation->rd_att->constr;
  if (constraints != nullptr && constraints->has_generated_stored) {
    ExecComputeStoredGenerated(row.result, row.state, row.slot, CMD_UPDATE);
  }
}

void CheckConstraints(NewRow *row, Datum value) {
  const Relation relation = row->target->relation;
  if (OidIsValid(row->target->domain)) {
    domain_check(value, false, row->target->domain, &row->domain_cache,
                 row->state->es_query_cxt);
  }
  if (relation->rd_att->constr != nullptr) {
    ExecConstraints(row->result, row->slot, row->state);
  }
  if (relation->rd_rel->relispartition) {
    ExecPartitionCheck(row->result, row->slot, row->state, true);
  }
}

}  // namespace fernet::pg
