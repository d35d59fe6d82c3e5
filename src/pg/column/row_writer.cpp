#include "pg/column/row_writer.hpp"

#include "pg/report/report.hpp"
#include "pg/session/session_keys.hpp"

namespace fernet::pg {
namespace {

EState *NewExecutorState(const ColumnTarget &target) {
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
  state->es_output_cid = GetCurrentCommandId(true);
  state->es_snapshot = GetActiveSnapshot();
  return state;
}

// FillNewRow makes the new row out of the old one and `value`. What a column
// held that was dropped goes, as with UPDATE.
void FillNewRow(RowWriter *writer, TupleTableSlot *row, Datum value) {
  TupleTableSlot *const out = writer->new_row;
  const auto columns =
      static_cast<std::size_t>(row->tts_tupleDescriptor->natts);
  const int changed = writer->target->attribute - 1;
  slot_getallattrs(row);
  ExecClearTuple(out);
  memcpy(out->tts_values, row->tts_values, columns * sizeof(Datum));
  memcpy(out->tts_isnull, row->tts_isnull, columns * sizeof(bool));
  for (std::size_t i = 0; i < columns; ++i) {
    if (TupleDescAttr(row->tts_tupleDescriptor, static_cast<int>(i))
            ->attisdropped) {
      out->tts_values[i] = Datum{0};
      out->tts_isnull[i] = true;
    }
  }
  out->tts_values[changed] = value;
  out->tts_isnull[changed] = false;
  ExecStoreVirtualTuple(out);
  out->tts_tableOid = RelationGetRelid(writer->target->relation);
}

bool LockWithoutWaiting(RowWriter *writer, TupleTableSlot *row) {
  TM_FailureData failure;
  const TM_Result result = table_tuple_lock(
      writer->target->relation, &row->tts_tid, writer->state->es_snapshot,
      writer->locked_row, writer->state->es_output_cid,
      ExecUpdateLockMode(writer->state, writer->result), LockWaitSkip, 0,
      &failure);
  ExecClearTuple(writer->locked_row);
  return result == TM_Ok;
}

void CheckConstraints(RowWriter *writer, Datum value) {
  const Relation relation = writer->target->relation;
  if (OidIsValid(writer->target->domain)) {
    domain_check(value, false, writer->target->domain, &writer->domain_cache,
                 writer->state->es_query_cxt);
  }
  if (relation->rd_att->constr != nullptr) {
    ExecConstraints(writer->result, writer->new_row, writer->state);
  }
  if (relation->rd_rel->relispartition) {
    ExecPartitionCheck(writer->result, writer->new_row, writer->state, true);
  }
}

void FireStatementTriggers(RowWriter *writer) {
  if (!writer->has_written) {
    writer->has_written = true;
    ExecBSUpdateTriggers(writer->state, writer->result);
  }
}

// FireBeforeTriggers returns false if one of them suppresses the update. The
// function of a trigger may keep data for its next call, which must outlive the
// row; so it is looked up in the memory of the whole update, as in the
// executor.
bool FireBeforeTriggers(RowWriter *writer, TupleTableSlot *row) {
  const Relation relation = writer->target->relation;
  if (relation->trigdesc == nullptr ||
      !relation->trigdesc->trig_update_before_row) {
    return true;
  }
  const MemoryContext row_memory =
      MemoryContextSwitchTo(writer->state->es_query_cxt);
  writer->phase = WritePhase::kBeforeTriggers;
  FireStatementTriggers(writer);
  const bool wanted =
      BeforeRowUpdateTriggers(writer->state, &writer->recheck, writer->result,
                              &row->tts_tid, writer->new_row);
  writer->phase = WritePhase::kRow;
  MemoryContextSwitchTo(row_memory);
  return wanted;
}

}  // namespace

void RequireReplicaIdentity(const ColumnTarget &target) {
  OwnerRights rights = {};
  TakeOwnerRights(target.relation, &rights);
  CheckCmdReplicaIdentity(target.relation, CMD_UPDATE);
  LeaveOwnerRights(rights);
}

void BeginWriting(const ColumnTarget *target, bool lock_first, RowWriter *out) {
  const Relation relation = target->relation;
  // First of all: to open an index evaluates its constant expressions.
  TakeOwnerRights(relation, &out->rights);
  out->target = target;
  out->state = NewExecutorState(*target);
  out->result = makeNode(ResultRelInfo);
  InitResultRelInfo(out->result, relation, 1, nullptr, 0);
  ExecOpenIndices(out->result, false);
  InitEvalPlanQual(&out->recheck, out->state);
  out->new_row = table_slot_create(relation, &out->state->es_tupleTable);
  out->locked_row = table_slot_create(relation, &out->state->es_tupleTable);
  out->lock_first = lock_first || (relation->trigdesc != nullptr &&
                                   relation->trigdesc->trig_update_before_row);
  out->domain_cache = nullptr;
  out->has_written = false;
  out->phase = WritePhase::kRow;
  AfterTriggerBeginQuery();
  out->transitions = MakeTransitionCaptureState(
      relation->trigdesc, RelationGetRelid(relation), CMD_UPDATE);
}

RowResult WriteValue(RowWriter *writer, TupleTableSlot *row, Datum value) {
  const Relation relation = writer->target->relation;
  EState *const state = writer->state;
  TupleTableSlot *const new_row = writer->new_row;
  // What the row before has left, whatever became of it.
  ResetPerTupleExprContext(state);
  FillNewRow(writer, row, value);
  if (writer->lock_first && !LockWithoutWaiting(writer, row)) {
    return RowResult::kBusy;
  }
  if (!FireBeforeTriggers(writer, row)) {
    return RowResult::kUnwanted;
  }
  if (relation->rd_att->constr != nullptr &&
      relation->rd_att->constr->has_generated_stored) {
    ExecComputeStoredGenerated(writer->result, state, new_row, CMD_UPDATE);
  }
  CheckConstraints(writer, value);
  FireStatementTriggers(writer);

  // A lock of our own counts as being modified, and so do locks of others that
  // would let an update pass: once the row is locked, "waiting" waits for
  // nobody.
  UpdatedIndexes updated = kNoIndexes;
  TM_FailureData failure;
  const auto update = [&](bool wait) {
    return UpdateTuple(relation, &row->tts_tid, new_row, state->es_output_cid,
                       state->es_snapshot, wait, &failure, &updated);
  };
  TM_Result result = kUpdateMustWait && !writer->lock_first
                         ? TM_BeingModified
                         : update(writer->lock_first);
  if (result == TM_BeingModified && !writer->lock_first &&
      LockWithoutWaiting(writer, row)) {
    result = update(true);
  }
  if (result == TM_SelfModified) {
    FERNET_RAISE(
        ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION,
        errmsg("row was already modified by a trigger of its own update"));
  }
  if (result != TM_Ok) {
    return RowResult::kBusy;
  }
  List *recheck_indexes = NIL;
  if (writer->result->ri_NumIndices > 0 && updated != kNoIndexes) {
    recheck_indexes =
        InsertIndexEntries(writer->result, new_row, state, updated);
  }
  ExecARUpdateTriggers(state, writer->result, nullptr, nullptr, &row->tts_tid,
                       nullptr, new_row, recheck_indexes, writer->transitions,
                       false);
  list_free(recheck_indexes);
  return RowResult::kWritten;
}

TupleTableSlot *WaitForRow(RowWriter *writer, TupleTableSlot *row) {
  writer->phase = WritePhase::kLock;
  // A slot of its own: WriteValue uses locked_row.
  TupleTableSlot *const newest = table_slot_create(
      writer->target->relation, &writer->state->es_tupleTable);
  TM_FailureData failure;
  const TM_Result result = table_tuple_lock(
      writer->target->relation, &row->tts_tid, writer->state->es_snapshot,
      newest, writer->state->es_output_cid,
      ExecUpdateLockMode(writer->state, writer->result), LockWaitBlock,
      TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &failure);
  writer->phase = WritePhase::kRow;
  return result == TM_Ok ? newest : nullptr;
}

void FinishWriting(RowWriter *writer) {
  writer->phase = WritePhase::kAfterTriggers;
  if (writer->has_written) {
    ExecASUpdateTriggers(writer->state, writer->result, writer->transitions);
  }
  AfterTriggerEndQuery(writer->state);
  EvalPlanQualEnd(&writer->recheck);
  ExecCloseIndices(writer->result);
  // The relations that triggers have been opened for.
  ExecCloseResultRelations(writer->state);
  ExecResetTupleTable(writer->state->es_tupleTable, false);
  FreeExecutorState(writer->state);
  LeaveOwnerRights(writer->rights);
  CommandCounterIncrement();
}

}  // namespace fernet::pg
