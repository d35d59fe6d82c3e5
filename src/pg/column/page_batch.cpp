#include "pg/column/page_batch.hpp"

#include <algorithm>

#include "pg/column/dry_run.hpp"
#include "pg/column/writers.hpp"
#include "pg/report/counters.hpp"
#include "pg/server/subtransaction.hpp"
#include "pg/value/inner_tokens.hpp"
#include "pg/value/text_encoding.hpp"

namespace fernet::pg {
namespace {

// No row of a batch waits longer for a lock, whatever deadlock_timeout is.
constexpr int kLongestLockWait = 500;  // milliseconds

// Batch is the state of a batch; plain data.
struct Batch {
  const ColumnTarget *target;
  const ValueRule *rule;
  PageRange range;
  const BatchOrder *order;
  FailureWarnings *warnings;
  LeftPages *left;
  bool dry_run;
  bool row_by_row;  // each row in a subtransaction of its own
  TimestampTz started;
  std::int64_t tried;  // rows
  std::int64_t bytes;  // of new values
  RowWriter writer;
  Trial trial;
  BatchResult result;
};

void RememberPage(Batch *batch, TupleTableSlot *row) {
  if (batch->left != nullptr) {
    batch->left->Add(RelationGetRelid(batch->target->relation),
                     ItemPointerGetBlockNumberNoCheck(&row->tts_tid));
  }
}

void CountFailure(Batch *batch, const ItemPointerData &place,
                  const Failure &failure) {
  Tally &tally = batch->result.tally;
  ++tally.failed;
  tally.refused += failure.reason == Reason::kRefused ||
                           failure.reason == Reason::kSuppressed
                       ? 1
                       : 0;
  tally.malformed += failure.reason == Reason::kMalformed ||
                             failure.reason == Reason::kHoldsToken ||
                             failure.reason == Reason::kHoldsRemnant
                         ? 1
                         : 0;
  tally.no_key_opens += failure.reason == Reason::kNoKeyOpens ||
                                failure.reason == Reason::kUnknownInside ||
                                failure.reason == Reason::kHoldsUnknown
                            ? 1
                            : 0;
  batch->warnings->too_long += failure.reason == Reason::kTooLong ? 1 : 0;
  WarnOfFailure(batch->warnings, *batch->target, place, failure);
}

// HolderOf names the transaction that holds the lock of `row`, or is null if
// there is more than one or none.
const char *HolderOf(TupleTableSlot *row) {
  bool is_copy = false;
  const HeapTupleHeader header =
      ExecFetchSlotHeapTuple(row, false, &is_copy)->t_data;
  const bool is_one =
      (header->t_infomask & (HEAP_XMAX_INVALID | HEAP_XMAX_IS_MULTI)) == 0;
  return is_one ? NameOfHolder(HeapTupleHeaderGetRawXmax(header)) : nullptr;
}

void CountBusy(Batch *batch, TupleTableSlot *row) {
  ++batch->result.tally.busy;
  RememberPage(batch, row);
  if (batch->order->busy == BatchOrder::kName) {
    WarnOfFailure(batch->warnings, *batch->target, row->tts_tid,
                  {.reason = Reason::kLocked, .holder = HolderOf(row)});
  }
}

void CountResult(Batch *batch, TupleTableSlot *row, RowResult result,
                 bool was_plaintext) {
  Tally &tally = batch->result.tally;
  switch (result) {
    case RowResult::kWritten:
      ++tally.changed;
      tally.adopted += was_plaintext ? 1 : 0;
      break;
    case RowResult::kBusy:
      CountBusy(batch, row);
      break;
    case RowResult::kUnwanted:
      CountFailure(batch, row->tts_tid, {.reason = Reason::kSuppressed});
      break;
    case RowResult::kGone:
      break;
  }
}

void CountRefusal(Batch *batch, TupleTableSlot *row, const Refusal &refusal,
                  WritePhase phase) {
  const bool may_pass =
      phase == WritePhase::kLock || !batch->order->is_last_try;
  if (refusal.by_lock() && may_pass) {
    CountBusy(batch, row);
    return;
  }
  CountFailure(
      batch, row->tts_tid,
      {.reason = Reason::kRefused, .refusal = refusal, .phase = phase});
}

// ChangeOf is the change of a value, with a new one in the form of the column.
// For NewValue.
ValueChange ChangeOf(const Batch &batch, const varlena *value) {
  if (OidIsValid(batch.target->holder_type)) {
    return ChangeInside(*batch.rule, PointerGetDatum(value),
                        batch.target->holder_type);
  }
  ValueChange change =
      ChangeValue(*batch.rule, value, batch.target->value_type == TEXTOID,
                  batch.target->max_characters);
  if (change.kind == ValueChange::kChanged) {
    change.value = PadForColumn(*batch.target, change.value);
  }
  return change;
}

// NewValue is what the column gets. To make it of a document can be refused,
// and runs the code of domains.
Datum NewValue(const Batch &batch, const varlena *old,
               const ValueChange &change) {
  const Oid holder = batch.target->holder_type;
  return OidIsValid(holder)
             ? RotateInnerTokens(batch.rule->keys, PointerGetDatum(old), holder)
             : PointerGetDatum(change.value);
}

// OneRow is a row that is written in its own subtransaction.
struct OneRow {
  const Batch *batch;
  TupleTableSlot *row;
  const varlena *old;
  const ValueChange *change;
  RowResult result;
  RowWriter writer;
  bool makes_value;  // NewValue is under way
  // Of a row that was waited for, to be wiped after an error, too:
  StoredValue newest_value;
  ValueChange newest_change;
};

Datum NewValueAlone(OneRow *one, const varlena *old,
                    const ValueChange &change) {
  one->makes_value = true;
  const Datum value = NewValue(*one->batch, old, change);
  one->makes_value = false;
  return value;
}

void WriteOneRow(void *state) {
  auto *const one = static_cast<OneRow *>(state);
  // Triggers of earlier rows may have changed this one.
  BeginWriting(one->batch->target, true, &one->writer);
  one->result = WriteValue(&one->writer, one->row,
                           NewValueAlone(one, one->old, *one->change));
  FinishWriting(&one->writer);
}

// WaitAndWriteOneRow changes the value that the row has when its lock is there.
void WaitAndWriteOneRow(void *state) {
  auto *const one = static_cast<OneRow *>(state);
  BeginWriting(one->batch->target, true, &one->writer);
  TupleTableSlot *const newest = WaitForRow(&one->writer, one->row);
  bool is_null = true;
  const Datum stored =
      newest == nullptr
          ? Datum{0}
          : slot_getattr(newest, one->batch->target->attribute, &is_null);
  one->result = RowResult::kGone;
  if (!is_null) {
    one->newest_value =
        ReadStored(*one->batch->target,
                   reinterpret_cast<varlena *>(DatumGetPointer(stored)));
    const varlena *const value = one->newest_value.value;
    one->newest_change = ChangeOf(*one->batch, value);
    if (one->newest_change.kind == ValueChange::kChanged) {
      one->result = WriteValue(&one->writer, newest,
                               NewValueAlone(one, value, one->newest_change));
    }
  }
  FinishWriting(&one->writer);
}

void WipeNewest(const OneRow &one) {
  if (one.newest_change.value != nullptr &&
      one.batch->rule->direction == ValueRule::kDecrypt) {
    WipeAndFree(one.newest_change.value, nullptr);
  }
  if (one.newest_value.value != nullptr) {
    WipeStored(one.newest_value);
  }
}

void WriteAlone(Batch *batch, TupleTableSlot *row, const varlena *old,
                const ValueChange &change) {
  const bool waits = batch->order->busy == BatchOrder::kWait;
  OneRow one = {batch, row, old, &change, RowResult::kBusy, {}, false, {}, {}};
  const Refusal refusal =
      RunInSubtransaction(waits ? WaitAndWriteOneRow : WriteOneRow, &one);
  if (refusal.refused()) {
    CountRefusal(batch, row, refusal,
                 one.makes_value ? WritePhase::kValue : one.writer.phase);
  } else {
    CountResult(batch, row, one.result,
                (waits ? one.newest_change : change).was_plaintext);
  }
  WipeNewest(one);
}

void TryOneRow(void *state) {
  auto *const one = static_cast<OneRow *>(state);
  Trial trial;
  BeginTrial(one->batch->target, &trial);
  TryValue(&trial, one->row, NewValueAlone(one, one->old, *one->change));
  EndTrial(trial);
}

// Try is Write for a reading: if it is to try the write, it counts a refusal in
// place of a change.
void Try(Batch *batch, TupleTableSlot *row, const varlena *old,
         const ValueChange &change) {
  Refusal refusal = {};
  WritePhase phase = WritePhase::kRow;
  if (batch->order->tries_writing && batch->row_by_row) {
    OneRow one = {batch, row,   old, &change, RowResult::kWritten,
                  {},    false, {},  {}};
    refusal = RunInSubtransaction(TryOneRow, &one);
    phase = one.makes_value ? WritePhase::kValue : phase;
  } else if (batch->order->tries_writing) {
    TryValue(&batch->trial, row, NewValue(*batch, old, change));
  }
  if (refusal.refused()) {
    CountRefusal(batch, row, refusal, phase);
    return;
  }
  ++batch->result.tally.changed;
  RememberPage(batch, row);
}

void Write(Batch *batch, TupleTableSlot *row, const varlena *old,
           const ValueChange &change) {
  if (batch->dry_run) {
    Try(batch, row, old, change);
    return;
  }
  ++batch->tried;
  batch->bytes += static_cast<std::int64_t>(
      VARSIZE_ANY(change.value == nullptr ? old : change.value));
  if (batch->row_by_row) {
    WriteAlone(batch, row, old, change);
    return;
  }
  CountResult(batch, row,
              WriteValue(&batch->writer, row, NewValue(*batch, old, change)),
              change.was_plaintext);
}

void TreatValue(Batch *batch, TupleTableSlot *row, const varlena *value) {
  const ValueChange change = ChangeOf(*batch, value);
  Tally &tally = batch->result.tally;
  tally.holding_unknown += change.holds_unknown ? 1 : 0;
  switch (change.kind) {
    case ValueChange::kChanged:
      tally.of_key[change.key_index] += change.was_plaintext ? 0 : 1;
      Write(batch, row, value, change);
      if (batch->rule->direction == ValueRule::kDecrypt) {
        WipeAndFree(change.value, nullptr);
      }
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
      CountFailure(batch, row->tts_tid,
                   {.reason = change.reason, .offset = change.offset});
      break;
  }
}

struct ValueToRead {
  const ColumnTarget *target;
  varlena *stored;
  StoredValue read;
};

void ReadOne(void *state) {
  auto *const one = static_cast<ValueToRead *>(state);
  one->read = ReadStored(*one->target, one->stored);
}

bool HasMore(const Batch &batch) {
  const BatchOrder &order = *batch.order;
  return batch.tried < order.rows &&
         batch.result.tally.total() < order.values &&
         batch.bytes < order.bytes &&
         GetCurrentTimestamp() - batch.started < order.microseconds;
}

bool TreatRow(TupleTableSlot *row, varlena *stored, void *state) {
  auto *const batch = static_cast<Batch *>(state);
  ValueToRead one = {batch->target, stored, {}};
  Refusal refusal = {};
  if (batch->row_by_row) {
    refusal = RunInSubtransaction(ReadOne, &one);
  } else {
    ReadOne(&one);
  }
  if (refusal.refused()) {
    CountFailure(batch, row->tts_tid,
                 {.reason = Reason::kUnreadable, .refusal = refusal});
  } else {
    TreatValue(batch, row, one.read.value);
    WipeStored(one.read);
  }
  return HasMore(*batch);
}

void Scan(Batch *batch) {
  batch->started = GetCurrentTimestamp();
  batch->result.rest =
      ScanValues(*batch->target, batch->range, TreatRow, batch);
}

void ScanAndWrite(void *state) {
  auto *const batch = static_cast<Batch *>(state);
  BeginWriting(batch->target, false, &batch->writer);
  Scan(batch);
  FinishWriting(&batch->writer);
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
  batch->result = {};
  batch->result.met_lock = refusal.by_lock();
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

Batch NewBatch(const ColumnTarget &target, const ValueRule &rule,
               PageRange range, const BatchOrder &order,
               FailureWarnings *warnings, LeftPages *left) {
  return {.target = &target,
          .rule = &rule,
          .range = range,
          .order = &order,
          .warnings = warnings,
          .left = left,
          .dry_run = false,
          .row_by_row = false,
          .started = 0,
          .tried = 0,
          .bytes = 0,
          .writer = {},
          .trial = {},
          .result = {}};
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
  AddToCounter(counters::kEncrypted, tally.adopted);
}

void CountFailures(const Tally &tally) {
  AddToCounter(counters::kMalformed, tally.malformed);
  AddToCounter(counters::kNoKeyOpens, tally.no_key_opens);
}

BatchResult RunBatch(const ColumnTarget &target, const ValueRule &rule,
                     PageRange range, const BatchOrder &order,
                     FailureWarnings *warnings, LeftPages *left) {
  Batch batch = NewBatch(target, rule, range, order, warnings, left);
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
  PopActiveSnapshot();
  SetLockTimeout(lock_timeout);
  return batch.result;
}

BatchResult ReadBatch(const ColumnTarget &target, const ValueRule &rule,
                      PageRange range, const BatchOrder &order,
                      FailureWarnings *warnings, LeftPages *left) {
  Batch batch = NewBatch(target, rule, range, order, warnings, left);
  batch.dry_run = true;
  if (order.tries_writing) {
    RequireReplicaIdentity(target);
  }
  ScanInSteps(&batch, ScanOnly);
  return batch.result;
}

}  // namespace fernet::pg
