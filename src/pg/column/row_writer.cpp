#include "pg/column/row_writer.hpp"

#include <utility>

#include "pg/column/rewritten.hpp"
#include "pg/report/report.hpp"
#include "pg/session/session_keys.hpp"

namespace fernet::pg {
namespace {

bool LockWithoutWaiting(RowWriter *writer, TupleTableSlot *row) {
  TM_FailureData failure;
  const TM_Result result = table_tuple_lock(
      writer->row.target->relation, &row->tts_tid,
      writer->row.state->es_snapshot, writer->locked_row,
      writer->row.state->es_output_cid,
      ExecUpdateLockMode(writer->row.state, writer->row.result), LockWaitSkip,
      0, &failure);
  ExecClearTuple(writer->locked_row);
  return result == TM_Ok;
}

void FireStatementTriggers(RowWriter *writer) {
  if (!writer->has_written) {
    writer->has_written = true;
    Bitmapset *const columns =
        std::exchange(*writer->row.columns, writer->row.all_columns);
    ExecBSUpdateTriggers(writer->row.state, writer->row.result);
    *writer->row.columns = columns;
  }
}

// FireRowTriggers fires the BEFORE triggers of a row that gets `values`.
bool FireRowTriggers(RowWriter *writer, TupleTableSlot *row,
                     const NewValue *values) {
  volatile bool wanted = false;
  const Rewrite before = Announce({writer->row.target, row->tts_tid, values});
  PG_TRY();
  {
    wanted = BeforeRowUpdateTriggers(writer->row.state, &writer->recheck,
                                     writer->row.result, &row->tts_tid,
                                     writer->row.slot);
  }
  PG_FINALLY();
  { static_cast<void>(Announce(before)); }
  PG_END_TRY();
  return wanted;
}

// FireBeforeTriggers returns false if one of them suppresses the update. The
// function of a trigger may keep data for its next call, which must outlive the
// row; so it is looked up in the memory of the whole update, as in the
// executor.
bool FireBeforeTriggers(RowWriter *writer, TupleTableSlot *row,
                        const NewValue *values) {
  const Relation relation = writer->row.target->relation;
  if (relation->trigdesc == nullptr ||
      !relation->trigdesc->trig_update_before_row) {
    return true;
  }
  const MemoryContext row_memory =
      MemoryContextSwitchTo(writer->row.state->es_query_cxt);
  writer->phase = WritePhase::kBeforeTriggers;
  FireStatementTriggers(writer);
  const bool wanted = FireRowTriggers(writer, row, values);
  writer->phase = WritePhase::kRow;
  MemoryContextSwitchTo(row_memory);
  return wanted;
}

}  // namespace

void RequireReplicaIdentity(const TableTarget &target) {
  OwnerRights rights = {};
  TakeOwnerRights(target.relation, &rights);
  CheckCmdReplicaIdentity(target.relation, CMD_UPDATE);
  LeaveOwnerRights(rights);
}

void BeginWriting(const TableTarget *target, bool lock_first, RowWriter *out) {
  const Relation relation = target->relation;
  // First of all: to open an index evaluates its constant expressions.
  TakeOwnerRights(relation, &out->rights);
  BeginNewRows(target, GetCurrentCommandId(true), &out->row);
  EState *const state = out->row.state;
  ExecOpenIndices(out->row.result, false);
  InitEvalPlanQual(&out->recheck, state);
  out->locked_row = table_slot_create(relation, &state->es_tupleTable);
  out->lock_first = lock_first || (relation->trigdesc != nullptr &&
                                   relation->trigdesc->trig_update_before_row);
  out->has_written = false;
  out->phase = WritePhase::kRow;
  AfterTriggerBeginQuery();
  out->transitions = MakeTransitionCaptureState(
      relation->trigdesc, RelationGetRelid(relation), CMD_UPDATE);
}

RowResult WriteRow(RowWriter *writer, TupleTableSlot *row,
                   const NewValue *values) {
  const Relation relation = writer->row.target->relation;
  EState *const state = writer->row.state;
  TupleTableSlot *const new_row = writer->row.slot;
  // What the row before has left, whatever became of it.
  ResetPerTupleExprContext(state);
  FillNewRow(&writer->row, row, values);
  if (writer->lock_first && !LockWithoutWaiting(writer, row)) {
    return RowResult::kBusy;
  }
  if (!FireBeforeTriggers(writer, row, values)) {
    return RowResult::kUnwanted;
  }
  ComputeGenerated(writer->row);
  CheckConstraints(&writer->row, values);
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
  writer->place = new_row->tts_tid;
  List *recheck_indexes = NIL;
  if (writer->row.result->ri_NumIndices > 0 && updated != kNoIndexes) {
    recheck_indexes =
        InsertIndexEntries(writer->row.result, new_row, state, updated);
  }
  ExecARUpdateTriggers(state, writer->row.result, nullptr, nullptr,
                       &row->tts_tid, nullptr, new_row, recheck_indexes,
                       writer->transitions, false);
  list_free(recheck_indexes);
  return RowResult::kWritten;
}

NewestRow LockNewest(RowWriter *writer, const TupleTableSlot *row, bool wait) {
  writer->phase = WritePhase::kLock;
  // A slot of its own: WriteRow uses locked_row. A place of its own: the server
  // moves it to the newest version, but a scan goes on from that of `row`.
  TupleTableSlot *const newest = table_slot_create(
      writer->row.target->relation, &writer->row.state->es_tupleTable);
  ItemPointerData place = row->tts_tid;
  TM_FailureData failure;
  const TM_Result result = table_tuple_lock(
      writer->row.target->relation, &place, writer->row.state->es_snapshot,
      newest, writer->row.state->es_output_cid,
      ExecUpdateLockMode(writer->row.state, writer->row.result),
      wait ? LockWaitBlock : LockWaitSkip, TUPLE_LOCK_FLAG_FIND_LAST_VERSION,
      &failure);
  writer->phase = WritePhase::kRow;
  return {.slot = result == TM_Ok ? newest : nullptr,
          .is_busy = result != TM_Ok && result != TM_Deleted,
          .place = place};
}

void FinishWriting(RowWriter *writer) {
  writer->phase = WritePhase::kAfterTriggers;
  if (writer->has_written) {
    *writer->row.columns = writer->row.all_columns;
    ExecASUpdateTriggers(writer->row.state, writer->row.result,
                         writer->transitions);
  }
  AfterTriggerEndQuery(writer->row.state);
  EvalPlanQualEnd(&writer->recheck);
  ExecCloseIndices(writer->row.result);
  // The relations that triggers have been opened for.
  ExecCloseResultRelations(writer->row.state);
  EndNewRows(writer->row);
  LeaveOwnerRights(writer->rights);
  CommandCounterIncrement();
}

}  // namespace fernet::pg
