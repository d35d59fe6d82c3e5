#include "pg/column/new_row.hpp"

namespace fernet::pg {
namespace {

Bitmapset *AddColumn(Bitmapset *columns, const ColumnTarget &column) {
  return bms_add_member(columns,
                        column.attribute - FirstLowInvalidHeapAttributeNumber);
}

bool HasStoredGenerated(const TableTarget &target) {
  const TupleConstr *const constraints = target.relation->rd_att->constr;
  return constraints != nullptr && constraints->has_generated_stored;
}

void InitState(const TableTarget &target, CommandId command, NewRow *out) {
  EState *const state = CreateExecutorState();
  const MemoryContext caller_memory =
      MemoryContextSwitchTo(state->es_query_cxt);
  RangeTblEntry *const entry = makeNode(RangeTblEntry);
  entry->rtekind = RTE_RELATION;
  entry->relid = RelationGetRelid(target.relation);
  entry->relkind = target.relation->rd_rel->relkind;
  entry->rellockmode = AccessShareLock;
  for (const ColumnTarget &column : target.columns) {
    out->all_columns = AddColumn(out->all_columns, column);
  }
  out->columns = InitRangeTable(state, entry, out->all_columns);
  out->domain_caches = static_cast<void **>(
      palloc0(target.columns.size() * sizeof *out->domain_caches));
  MemoryContextSwitchTo(caller_memory);
  state->es_output_cid = command;
  state->es_snapshot = GetActiveSnapshot();
  out->state = state;
}

// NameChanged names the columns that this row changes: triggers "UPDATE OF
// column" and the strength of the lock of the row depend on them.
void NameChanged(NewRow *row, const NewValue *values) {
  const auto columns = row->target->columns;
  std::size_t set = 0;
  bool same = true;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    set += values[i].is_set ? 1 : 0;
    same = same && values[i].is_set ==
                       bms_is_member(columns[i].attribute -
                                         FirstLowInvalidHeapAttributeNumber,
                                     *row->columns);
  }
  if (same) {
    return;
  }
  if (set == columns.size()) {
    *row->columns = row->all_columns;
    return;
  }
  const MemoryContext row_memory =
      MemoryContextSwitchTo(row->state->es_query_cxt);
  Bitmapset *changed = nullptr;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    changed = values[i].is_set ? AddColumn(changed, columns[i]) : changed;
  }
  *row->columns = changed;
  MemoryContextSwitchTo(row_memory);
}

}  // namespace

void BeginNewRows(const TableTarget *target, CommandId command, NewRow *out) {
  const Relation relation = target->relation;
  *out = {};
  out->target = target;
  InitState(*target, command, out);
  out->result = makeNode(ResultRelInfo);
  InitResultRelInfo(out->result, relation, 1, nullptr, 0);
  out->slot = table_slot_create(relation, &out->state->es_tupleTable);
  if (target->columns.size() > 1 && HasStoredGenerated(*target)) {
    // The server finds out once which generated columns it has to compute. That
    // must not be from the columns that the first row changes.
    static_cast<void>(ExecGetExtraUpdatedCols(out->result, out->state));
  }
}

void EndNewRows(const NewRow &row) {
  ExecResetTupleTable(row.state->es_tupleTable, false);
  FreeExecutorState(row.state);
}

void FillNewRow(NewRow *out, TupleTableSlot *row, const NewValue *values) {
  TupleTableSlot *const slot = out->slot;
  const auto count = static_cast<std::size_t>(row->tts_tupleDescriptor->natts);
  slot_getallattrs(row);
  ExecClearTuple(slot);
  memcpy(slot->tts_values, row->tts_values, count * sizeof(Datum));
  memcpy(slot->tts_isnull, row->tts_isnull, count * sizeof(bool));
  for (std::size_t i = 0; i < count; ++i) {
    if (TupleDescAttr(row->tts_tupleDescriptor, static_cast<int>(i))
            ->attisdropped) {
      slot->tts_values[i] = Datum{0};
      slot->tts_isnull[i] = true;
    }
  }
  const auto columns = out->target->columns;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (values[i].is_set) {
      slot->tts_values[columns[i].attribute - 1] = values[i].value;
      slot->tts_isnull[columns[i].attribute - 1] = values[i].is_null;
    }
  }
  ExecStoreVirtualTuple(slot);
  slot->tts_tableOid = RelationGetRelid(out->target->relation);
  NameChanged(out, values);
}

void ComputeGenerated(const NewRow &row) {
  if (HasStoredGenerated(*row.target)) {
    ExecComputeStoredGenerated(row.result, row.state, row.slot, CMD_UPDATE);
  }
}

void CheckConstraints(NewRow *row, const NewValue *values) {
  const Relation relation = row->target->relation;
  const auto columns = row->target->columns;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (values[i].is_set && OidIsValid(columns[i].domain)) {
      domain_check(values[i].value, values[i].is_null, columns[i].domain,
                   &row->domain_caches[i], row->state->es_query_cxt);
    }
  }
  if (relation->rd_att->constr != nullptr) {
    ExecConstraints(row->result, row->slot, row->state);
  }
  if (relation->rd_rel->relispartition) {
    ExecPartitionCheck(row->result, row->slot, row->state, true);
  }
}

}  // namespace fernet::pg
