#include "pg/column/page_batch.hpp"

#include <algorithm>

#include "pg/column/cell.hpp"
#include "pg/column/dry_run.hpp"
#include "pg/column/writers.hpp"
#include "pg/report/counters.hpp"
#include "pg/server/raise.hpp"
#include "pg/server/subtransaction.hpp"
#include "pg/server/transactions.hpp"
#include "pg/value/inner_tokens.hpp"
#include "pg/value/text_encoding.hpp"

namespace fernet::pg {
namespace {

// No row of a batch waits longer for a lock, whatever deadlock_timeout is.
constexpr int kLongestLockWait = 500;  // milliseconds

// The clock is looked at after so many rows, or bytes of values: to look after
// each row would take longer than much else. Triggers may take long for one.
constexpr int kRowsPerLook = 16;
constexpr std::size_t kBytesPerLook = 65536;

// ToTell is a failure that the client is told of when the batch has ended: an
// attempt on it may be undone, and a row whose other values change gets another
// place.
struct ToTell {
  std::size_t column;
  ItemPointerData place;
  Failure failure;
};

// Batch is the state of a batch; plain data.
struct Batch {
  const TableTarget *target;
  // For each column:
  Cell *cells;
  bool *left_out;        // the table refuses the new value of this row
  NewValue *new_values;  // of MakeNewValues
  const ValueRule *rule;
  PageRange range;
  const BatchOrder *order;
  FailureWarnings *warnings;
  ToTell *to_tell;  // as many as there can be warnings
  int to_tell_count;
  LeftPages *left;
  bool dry_run;
  bool row_by_row;  // each row in a subtransaction of its own
  TimestampTz started;
  int rows_unseen;           // since the last look at the clock
  std::size_t bytes_unseen;  // of values
  std::int64_t tried;        // rows
  std::int64_t bytes;        // of new values
  MemoryContext memory;      // as long as the batch
  bool moved;                // this row was written, and is at
  ItemPointerData place;     // this place now
  RowWriter writer;
  Trial trial;
  BatchResult result;
};

void RememberPage(Batch *batch, const ItemPointerData &place) {
  const BlockNumber page = ItemPointerGetBlockNumberNoCheck(&place);
  // A row that has moved to another partition is on no page.
  if (batch->left != nullptr && BlockNumberIsValid(page)) {
    batch->left->Add(RelationGetRelid(batch->target->relation), page);
  }
}

void TellLater(Batch *batch, const ItemPointerData &place, std::size_t column,
               const Failure &failure) {
  if (batch->to_tell_count <= FailureWarnings::kMost &&
      WouldWarn(*batch->warnings, batch->target->relation,
                batch->target->columns[column], place)) {
    batch->to_tell[batch->to_tell_count++] = {column, place, failure};
  }
}

struct Telling {
  Batch *batch;
  const ToTell *one;
};

void TellOne(void *state) {
  const auto &telling = *static_cast<const Telling *>(state);
  const ToTell &one = *telling.one;
  WarnOfFailure(telling.batch->warnings, telling.batch->target->relation,
                telling.batch->target->columns[one.column], one.place,
                one.failure);
}

// TellFailures does not send what the encoding of the client cannot hold: the
// batch goes on.
void TellFailures(Batch *batch) {
  for (int i = 0; i < batch->to_tell_count; ++i) {
    Telling telling = {batch, &batch->to_tell[i]};
    static_cast<void>(RunInSubtransaction(TellOne, &telling));
  }
}

void CountFailure(Batch *batch, const ItemPointerData &place,
                  std::size_t column, const Failure &failure) {
  Tally &tally = batch->result.tally;
  ++tally.failed;
  tally.refused += failure.reason == Reason::kRefused ||
                           failure.reason == Reason::kSuppressed
                       ? 1
                       : 0;
  tally.malformed += failure.reason == Reason::kMalformed ||
                             failure.reason == Reason::kHoldsToken ||
                             failure.reason == Reason::kPartHoldsToken ||
                             failure.reason == Reason::kHoldsRemnant
                         ? 1
                         : 0;
  tally.no_key_opens += failure.reason == Reason::kNoKeyOpens ||
                                failure.reason == Reason::kUnknownInside ||
                                failure.reason == Reason::kHoldsUnknown
                            ? 1
                            : 0;
  batch->warnings->too_long += failure.reason == Reason::kTooLong ? 1 : 0;
  TellLater(batch, place, column, failure);
}

HeapTupleHeader HeaderOf(TupleTableSlot *row) {
  bool is_copy = false;
  return ExecFetchSlotHeapTuple(row, false, &is_copy)->t_data;
}

// HolderOf names the transaction that holds the lock of `row`, or is null if
// there is more than one or none.
const char *HolderOf(const Batch &batch, TupleTableSlot *row) {
  const HeapTupleHeader header = HeaderOf(row);
  const bool is_one =
      (header->t_infomask & (HEAP_XMAX_INVALID | HEAP_XMAX_IS_MULTI)) == 0;
  const char *const name =
      is_one ? NameOfHolder(HeapTupleHeaderGetRawXmax(header)) : nullptr;
  return name == nullptr ? nullptr : MemoryContextStrdup(batch.memory, name);
}

void CountBusy(Batch *batch, TupleTableSlot *row, std::size_t column) {
  ++batch->result.tally.busy;
  RememberPage(batch, row->tts_tid);
  // Whoever holds it may be about to move it there.
  RememberPage(batch, HeaderOf(row)->t_ctid);
  if (batch->order->busy == BatchOrder::kName) {
    TellLater(batch, row->tts_tid, column,
              {.reason = Reason::kLocked, .holder = HolderOf(*batch, row)});
  }
}

// MayPass says whether the same may succeed later.
bool MayPass(const Batch &batch, const Refusal &refusal, WritePhase phase) {
  return refusal.by_lock() &&
         (phase == WritePhase::kLock || !batch.order->is_last_try);
}

void CountRefusal(Batch *batch, TupleTableSlot *row, std::size_t column,
                  const Refusal &refusal, WritePhase phase) {
  if (MayPass(*batch, refusal, phase)) {
    CountBusy(batch, row, column);
    return;
  }
  CountFailure(
      batch, row->tts_tid, column,
      {.reason = Reason::kRefused, .refusal = refusal, .phase = phase});
}

// IsToChange says whether the row gets a new value in place of `cells[column]`.
bool IsToChange(const Batch &batch, const Cell *cells, std::size_t column) {
  return cells[column].is_there && !batch.left_out[column] &&
         cells[column].change.kind == ValueChange::kChanged;
}

// Changes counts the new values of a row.
struct Changes {
  std::int64_t values = 0;
  std::int64_t adopted = 0;
};

Changes ChangesOf(const Batch &batch, const Cell *cells) {
  Changes changes;
  for (std::size_t i = 0; i < batch.target->columns.size(); ++i) {
    if (IsToChange(batch, cells, i)) {
      ++changes.values;
      changes.adopted += cells[i].change.was_plaintext ? 1 : 0;
    }
  }
  return changes;
}

// CountResult counts what became of the new values of the row.
void CountResult(Batch *batch, TupleTableSlot *row, RowResult result,
                 const RowWriter &writer, const Changes &changes) {
  if (result == RowResult::kWritten) {
    batch->moved = !batch->dry_run;
    batch->place = writer.place;
    batch->result.tally.changed += changes.values;
    batch->result.tally.adopted += changes.adopted;
    if (batch->dry_run) {
      RememberPage(batch, row->tts_tid);
    }
    return;
  }
  for (std::size_t i = 0; i < batch->target->columns.size(); ++i) {
    if (!IsToChange(*batch, batch->cells, i)) {
      continue;
    }
    if (result == RowResult::kBusy) {
      CountBusy(batch, row, i);
    } else if (result == RowResult::kUnwanted) {
      CountFailure(batch, row->tts_tid, i, {.reason = Reason::kSuppressed});
    }
  }
}

// MakeValue is what the column gets. To make it of a document can be refused,
// and runs the code of domains.
NewValue MakeValue(const Batch &batch, const Cell *cells, std::size_t column) {
  const Cell &cell = cells[column];
  if (!IsToChange(batch, cells, column)) {
    return {false, Datum{0}};
  }
  if (cell.change.value != nullptr) {
    return {true, PointerGetDatum(cell.change.value)};
  }
  if (batch.rule->direction == ValueRule::kIndex) {
    return {true, Datum{0}, true};
  }
  return {true,
          RotateInnerTokens(batch.rule->keys, PointerGetDatum(cell.read.value),
                            batch.target->columns[column].holder_type)};
}

// MakeNewValues makes the new values of a row, and returns them.
const NewValue *MakeNewValues(Batch *batch, const Cell *cells) {
  for (std::size_t i = 0; i < batch->target->columns.size(); ++i) {
    batch->new_values[i] = MakeValue(*batch, cells, i);
  }
  return batch->new_values;
}

// WipeCells wipes what the cells hold, which may be plaintext.
void WipeCells(const Batch &batch, Cell *cells) {
  for (std::size_t i = 0; i < batch.target->columns.size(); ++i) {
    WipeCell(*batch.rule, &cells[i]);
  }
}

// OneRow is a row that is written in its own subtransaction.
struct OneRow {
  Batch *batch;
  TupleTableSlot *row;
  bool follows;  // writes the newest version of the row, wherever it is
  NewestRow newest_row;
  Cell *newest;  // its values, to be wiped after an error, too
  Changes changes;
  RowResult result;
  RowWriter writer;
};

const NewValue *MakeValuesAlone(OneRow *one, const Cell *cells) {
  one->writer.phase = WritePhase::kValue;
  const NewValue *const values = MakeNewValues(one->batch, cells);
  one->writer.phase = WritePhase::kRow;
  return values;
}

// Finish ends what was begun with BeginWriting.
void Finish(const Batch &batch, RowWriter *writer) {
  FinishWriting(writer);
  if (batch.order->fires_deferred) {
    SetAllImmediate();
  }
}

void WriteOneRow(void *state) {
  auto *const one = static_cast<OneRow *>(state);
  Batch *const batch = one->batch;
  // Triggers of earlier rows may have changed this one.
  BeginWriting(batch->target, true, &one->writer);
  one->changes = ChangesOf(*batch, batch->cells);
  one->result =
      WriteRow(&one->writer, one->row, MakeValuesAlone(one, batch->cells));
  Finish(*batch, &one->writer);
}

// WriteNewestRow changes the values that the row has when its lock is there, as
// an UPDATE in READ COMMITTED would. Only an order to wait waits for the lock.
void WriteNewestRow(void *state) {
  auto *const one = static_cast<OneRow *>(state);
  Batch *const batch = one->batch;
  BeginWriting(batch->target, true, &one->writer);
  one->newest_row = LockNewest(&one->writer, one->row,
                               batch->order->busy == BatchOrder::kWait);
  TupleTableSlot *const newest = one->newest_row.slot;
  for (std::size_t i = 0; i < batch->target->columns.size(); ++i) {
    const StoredCell stored =
        newest == nullptr ? StoredCell{} : CellIn(newest, *batch->target, i);
    if (stored.is_there()) {
      ReadCell(*batch->target, i, stored, &one->newest[i]);
      ChangeCell(*batch->rule, *batch->target, i, &one->newest[i]);
    }
  }
  one->changes = ChangesOf(*batch, one->newest);
  one->result = one->newest_row.is_busy ? RowResult::kBusy : RowResult::kGone;
  if (one->changes.values > 0) {
    one->result =
        WriteRow(&one->writer, newest, MakeValuesAlone(one, one->newest));
  }
  Finish(*batch, &one->writer);
}

void TryOneRow(void *state) {
  auto *const one = static_cast<OneRow *>(state);
  Batch *const batch = one->batch;
  Trial trial;
  BeginTrial(batch->target, &trial);
  one->changes = ChangesOf(*batch, batch->cells);
  TryRow(&trial, one->row, MakeValuesAlone(one, batch->cells));
  EndTrial(trial);
  one->result = RowResult::kWritten;
}

void AttemptRow(void *state) {
  const Batch &batch = *static_cast<OneRow *>(state)->batch;
  if (batch.dry_run) {
    TryOneRow(state);
  } else if (static_cast<OneRow *>(state)->follows) {
    WriteNewestRow(state);
  } else {
    WriteOneRow(state);
  }
}

void AttemptAndUndo(void *state) { RunAndUndo(AttemptRow, state); }

Refusal Attempt(OneRow *one, void (*attempt)(void *state)) {
  one->writer.phase = WritePhase::kRow;
  const Refusal refusal = RunInSubtransaction(attempt, one);
  WipeCells(*one->batch, one->newest);
  return refusal;
}

// IsSettled says whether the table has taken the row or cannot take it now, so
// that it makes no difference which of its new values there are.
bool IsSettled(const OneRow &one, const Refusal &refusal) {
  return refusal.refused() ? MayPass(*one.batch, refusal, one.writer.phase)
                           : one.result != RowResult::kUnwanted;
}

// LeaveOutRefused finds the new values that the table takes: one after the
// other is tried with those that it has taken so far. It counts the others.
void LeaveOutRefused(OneRow *one) {
  Batch *const batch = one->batch;
  const std::size_t count = batch->target->columns.size();
  std::fill_n(batch->left_out, count, true);
  for (std::size_t i = 0; i < count; ++i) {
    batch->left_out[i] = false;
    if (!IsToChange(*batch, batch->cells, i)) {
      continue;
    }
    const Refusal refusal = Attempt(one, AttemptAndUndo);
    if (IsSettled(*one, refusal)) {
      continue;
    }
    batch->left_out[i] = true;
    if (refusal.refused()) {
      CountRefusal(batch, one->row, i, refusal, one->writer.phase);
    } else {
      CountFailure(batch, one->row->tts_tid, i,
                   {.reason = Reason::kSuppressed});
    }
  }
}

// MayFollow says whether the transaction may change a version of a row that its
// snapshot does not see.
bool MayFollow(const Batch &batch) {
  return !batch.dry_run && !IsolationUsesXactSnapshot();
}

// WriteAlone writes the row in a subtransaction of its own, or tries to: as the
// snapshot has seen it, or if it `follows`, or if somebody has changed the row
// since, as it is now.
void WriteAlone(Batch *batch, TupleTableSlot *row, bool follows) {
  OneRow one = {.batch = batch,
                .row = row,
                .follows = follows,
                .newest_row = {nullptr, false, row->tts_tid},
                .newest = static_cast<Cell *>(
                    palloc0(batch->target->columns.size() * sizeof(Cell))),
                .changes = {},
                .result = RowResult::kGone,
                .writer = {}};
  Refusal refusal = Attempt(&one, AttemptRow);
  if (!refusal.refused() && one.result == RowResult::kBusy && !follows &&
      MayFollow(*batch)) {
    one.follows = true;
    refusal = Attempt(&one, AttemptRow);
  }
  const std::int64_t busy_before = batch->result.tally.busy;
  if (!IsSettled(one, refusal) && ChangesOf(*batch, batch->cells).values > 1) {
    LeaveOutRefused(&one);
    if (ChangesOf(*batch, batch->cells).values == 0) {
      return;
    }
    refusal = Attempt(&one, AttemptRow);
  }
  if (!refusal.refused()) {
    CountResult(batch, row, one.result, one.writer, one.changes);
  }
  for (std::size_t i = 0; i < batch->target->columns.size(); ++i) {
    if (refusal.refused() && IsToChange(*batch, batch->cells, i)) {
      CountRefusal(batch, row, i, refusal, one.writer.phase);
    }
  }
  if (batch->result.tally.busy > busy_before) {
    RememberPage(batch, one.newest_row.place);
  }
}

// WriteWithOthers writes the row as one of its batch, or tries to. It raises
// what has to be found out for the row alone.
void WriteWithOthers(Batch *batch, TupleTableSlot *row,
                     const Changes &changes) {
  RowResult result = RowResult::kWritten;
  if (!batch->dry_run) {
    result = WriteRow(&batch->writer, row, MakeNewValues(batch, batch->cells));
  } else if (batch->order->tries_writing) {
    TryRow(&batch->trial, row, MakeNewValues(batch, batch->cells));
  }
  if (result == RowResult::kBusy && MayFollow(*batch)) {
    WriteAlone(batch, row, true);
    return;
  }
  if (result == RowResult::kUnwanted && changes.values > 1) {
    FERNET_RAISE(ERRCODE_TRIGGERED_ACTION_EXCEPTION,
                 errmsg("a BEFORE trigger suppressed the update"));
  }
  CountResult(batch, row, result, batch->writer, changes);
}

void Write(Batch *batch, TupleTableSlot *row, const Changes &changes) {
  ++batch->tried;
  for (std::size_t i = 0; i < batch->target->columns.size(); ++i) {
    if (IsToChange(*batch, batch->cells, i)) {
      const Cell &cell = batch->cells[i];
      const varlena *const value =
          cell.change.value == nullptr ? cell.read.value : cell.change.value;
      batch->bytes += static_cast<std::int64_t>(VARSIZE_ANY(value));
    }
  }
  const bool tries = !batch->dry_run || batch->order->tries_writing;
  if (batch->row_by_row && tries) {
    WriteAlone(batch, row, batch->order->busy == BatchOrder::kWait);
  } else {
    WriteWithOthers(batch, row, changes);
  }
}

// CauseToTell is what fernet_inspect says of the value at `column`, if the
// client will be told of it.
Cause CauseToTell(const Batch &batch, TupleTableSlot *row, std::size_t column) {
  const ColumnTarget &target = batch.target->columns[column];
  const Cell &cell = batch.cells[column];
  if (cell.change.reason != Reason::kMalformed ||
      OidIsValid(target.holder_type) ||
      !WouldWarn(*batch.warnings, batch.target->relation, target,
                 row->tts_tid)) {
    return {};
  }
  return CauseOf(ViewText(cell.read.value),
                 TraceTokens(batch.rule->keys, cell.read.value));
}

// CountChange counts what becomes of a value, but for one that is to change.
void CountChange(Batch *batch, TupleTableSlot *row, std::size_t column) {
  const ValueChange &change = batch->cells[column].change;
  Tally &tally = batch->result.tally;
  tally.holding_unknown += change.holds_unknown ? 1 : 0;
  switch (change.kind) {
    case ValueChange::kChanged:
      tally.of_key[change.key_index] += change.was_plaintext ? 0 : 1;
      tally.fresh += change.encrypted_at >= batch->order->fresh_since ? 1 : 0;
      break;
    case ValueChange::kUnchanged:
      tally.of_key[0] += change.is_empty ? 0 : 1;
      ++tally.unchanged;
      break;
    case ValueChange::kPlaintext:
      ++tally.plaintext;
      break;
    case ValueChange::kUnknown:
      ++tally.unknown_left;
      break;
    case ValueChange::kFailed:
      CountFailure(batch, row->tts_tid, column,
                   {.reason = change.reason,
                    .cause = CauseToTell(*batch, row, column),
                    .offset = change.offset,
                    .source = batch->target->source});
      break;
  }
}

struct CellToRead {
  const TableTarget *target;
  std::size_t column;
  StoredCell stored;
  Cell *out;
};

void ReadOne(void *state) {
  const auto *const one = static_cast<CellToRead *>(state);
  ReadCell(*one->target, one->column, one->stored, one->out);
}

void TreatValue(Batch *batch, TupleTableSlot *row, const StoredCell &stored,
                std::size_t column) {
  batch->result.of_column[column] += stored.value == nullptr ? 0 : 1;
  // A source is that of the only column, and counted after it.
  batch->result.of_column[column + 1] += stored.source == nullptr ? 0 : 1;
  Cell *const cell = &batch->cells[column];
  CellToRead one = {batch->target, column, stored, cell};
  Refusal refusal = {};
  if (batch->row_by_row) {
    refusal = RunInSubtransaction(ReadOne, &one);
  } else {
    ReadOne(&one);
  }
  if (refusal.refused()) {
    *cell = {};
    CountFailure(batch, row->tts_tid, column,
                 {.reason = Reason::kUnreadable, .refusal = refusal});
    return;
  }
  batch->bytes_unseen +=
      cell->read.value == nullptr ? 0 : VARSIZE_ANY(cell->read.value);
  ChangeCell(*batch->rule, *batch->target, column, cell);
  CountChange(batch, row, column);
}

// IsTimeUp says whether the batch has taken as long as it may, now and then.
bool IsTimeUp(Batch *batch) {
  ++batch->rows_unseen;
  if (!batch->row_by_row && batch->target->relation->trigdesc == nullptr &&
      batch->rows_unseen < kRowsPerLook &&
      batch->bytes_unseen < kBytesPerLook) {
    return false;
  }
  batch->rows_unseen = 0;
  batch->bytes_unseen = 0;
  return GetCurrentTimestamp() - batch->started >= batch->order->microseconds;
}

bool HasMore(Batch *batch) {
  const BatchOrder &order = *batch->order;
  return batch->tried < order.rows &&
         batch->result.tally.total() < order.values &&
         batch->bytes < order.bytes && !IsTimeUp(batch);
}

bool TreatRow(TupleTableSlot *row, void *state) {
  auto *const batch = static_cast<Batch *>(state);
  int first = batch->to_tell_count;
  batch->moved = false;
  bool has_value = false;
  for (std::size_t i = 0; i < batch->target->columns.size(); ++i) {
    batch->left_out[i] = false;
    const StoredCell stored = CellIn(row, *batch->target, i);
    if (stored.is_there()) {
      has_value = true;
      TreatValue(batch, row, stored, i);
    }
  }
  if (!has_value) {
    return true;
  }
  const Changes changes = ChangesOf(*batch, batch->cells);
  if (changes.values > 0) {
    Write(batch, row, changes);
  }
  for (; batch->moved && first < batch->to_tell_count; ++first) {
    batch->to_tell[first].place = batch->place;
  }
  WipeCells(*batch, batch->cells);
  return HasMore(batch);
}

void Scan(Batch *batch) {
  batch->started = GetCurrentTimestamp();
  batch->result.rest = ScanRows(*batch->target, batch->range, TreatRow, batch);
}

void ScanAndWrite(void *state) {
  auto *const batch = static_cast<Batch *>(state);
  BeginWriting(batch->target, false, &batch->writer);
  Scan(batch);
  Finish(*batch, &batch->writer);
}

void ScanOnly(void *state) {
  auto *const batch = static_cast<Batch *>(state);
  if (batch->order->tries_writing) {
    BeginTrial(batch->target, &batch->trial);
  }
  Scan(batch);
  if (batch->order->tries_writing) {
    EndTrial(batch->trial);
  }
}

// ScanInSteps makes one attempt on the whole batch. If the table refuses a row
// or a value cannot be read, it undoes the attempt and treats each row in its
// own subtransaction: slower, but only what is refused stays as it is, and it
// is counted.
void ScanInSteps(Batch *batch, void (*attempt)(void *state)) {
  const std::int64_t too_long = batch->warnings->too_long;
  const LeftPages::Position mark =
      batch->left == nullptr ? LeftPages::Position{} : batch->left->Mark();
  const Refusal refusal = RunInSubtransaction(attempt, batch);
  if (!refusal.refused()) {
    return;
  }
  std::int64_t *const of_column = batch->result.of_column;
  std::fill_n(of_column, batch->target->columns.size() + 1, 0);
  WipeCells(*batch, batch->cells);
  batch->result = {.tally = {},
                   .of_column = of_column,
                   .rest = {},
                   .met_lock = refusal.by_lock()};
  batch->to_tell_count = 0;
  batch->tried = 0;
  batch->bytes = 0;
  batch->warnings->too_long = too_long;
  if (batch->left != nullptr) {
    batch->left->ReturnTo(mark);
  }
  batch->row_by_row = true;
  Scan(batch);
}

void SetLockTimeout(int milliseconds) {
  char value[16];
  snprintf(value, sizeof value, "%d", milliseconds);
  static_cast<void>(set_config_option("lock_timeout", value, PGC_USERSET,
                                      PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
                                      false));
}

// LockTimeoutFor is short enough for the deadlock detector of this session
// never to find a deadlock before the wait ends.
int LockTimeoutFor(int session) {
  const int ours = std::clamp(DeadlockTimeout / 2, 1, kLongestLockWait);
  return session > 0 ? std::min(session, ours) : ours;
}

// NewArray is an array with a place for each column and one more, all zero.
template <typename T>
T *NewArray(const TableTarget &target) {
  return static_cast<T *>(palloc0((target.columns.size() + 1) * sizeof(T)));
}

Batch NewBatch(const TableTarget &target, const ValueRule &rule,
               PageRange range, const BatchOrder &order,
               FailureWarnings *warnings, LeftPages *left) {
  return {.target = &target,
          .cells = NewArray<Cell>(target),
          .left_out = NewArray<bool>(target),
          .new_values = NewArray<NewValue>(target),
          .rule = &rule,
          .range = range,
          .order = &order,
          .warnings = warnings,
          .to_tell = static_cast<ToTell *>(
              palloc((FailureWarnings::kMost + 1) * sizeof(ToTell))),
          .to_tell_count = 0,
          .left = left,
          .dry_run = false,
          .row_by_row = false,
          .started = 0,
          .rows_unseen = 0,
          .bytes_unseen = 0,
          .tried = 0,
          .bytes = 0,
          .memory = CurrentMemoryContext,
          .moved = false,
          .place = {},
          .writer = {},
          .trial = {},
          .result = {.tally = {},
                     .of_column = NewArray<std::int64_t>(target),
                     .rest = {},
                     .met_lock = false}};
}

void AddToCounter(counters::Kind kind, std::int64_t times) {
  if (times > 0) {
    counters::AddIfCommitted(kind, static_cast<std::uint64_t>(times));
  }
}

}  // namespace

void Tally::Add(const Tally &other) {
  changed += other.changed;
  unchanged += other.unchanged;
  plaintext += other.plaintext;
  unknown_left += other.unknown_left;
  failed += other.failed;
  busy += other.busy;
  adopted += other.adopted;
  fresh += other.fresh;
  refused += other.refused;
  malformed += other.malformed;
  no_key_opens += other.no_key_opens;
  holding_unknown += other.holding_unknown;
  for (std::size_t i = 0; i < of_key.size(); ++i) {
    of_key[i] += other.of_key[i];
  }
}

void CountChanges(const Tally &tally, ValueRule::Direction direction) {
  AddToCounter(direction == ValueRule::kRotate ? counters::kRotated
                                               : counters::kDecrypted,
               tally.changed - tally.adopted);
  AddToCounter(counters::kEncrypted,
               direction == ValueRule::kRotate ? tally.adopted : 0);
}

void CountFailures(const Tally &tally) {
  AddToCounter(counters::kMalformed, tally.malformed);
  AddToCounter(counters::kNoKeyOpens, tally.no_key_opens);
}

BatchResult RunBatch(const TableTarget &target, const ValueRule &rule,
                     PageRange range, const BatchOrder &order,
                     FailureWarnings *warnings, LeftPages *left) {
  ValueRule writing = rule;
  writing.is_writing = true;
  Batch batch = NewBatch(target, writing, range, order, warnings, left);
  RequireReplicaIdentity(target);
  const int lock_timeout = LockTimeout;
  SetLockTimeout(LockTimeoutFor(lock_timeout));
  PushActiveSnapshot(GetTransactionSnapshot());
  UpdateActiveSnapshotCommandId();
  if (order.busy == BatchOrder::kWait) {
    batch.row_by_row = true;
    Scan(&batch);
  } else {
    ScanInSteps(&batch, ScanAndWrite);
  }
  TellFailures(&batch);
  PopActiveSnapshot();
  SetLockTimeout(lock_timeout);
  return batch.result;
}

BatchResult ReadBatch(const TableTarget &target, const ValueRule &rule,
                      PageRange range, const BatchOrder &order,
                      FailureWarnings *warnings, LeftPages *left) {
  Batch batch = NewBatch(target, rule, range, order, warnings, left);
  batch.dry_run = true;
  if (order.tries_writing) {
    RequireReplicaIdentity(target);
  }
  ScanInSteps(&batch, ScanOnly);
  TellFailures(&batch);
  return batch.result;
}

}  // namespace fernet::pg
