#include "pg/column/page_batch.hpp"

#include <algorithm>

#include "pg/report/counters.hpp"
#include "pg/server/subtransaction.hpp"
#include "pg/value/text_encoding.hpp"

namespace fernet::pg {
namespace {

// Batch is the state of a batch; plain data.
struct Batch {
  const ColumnTarget *target;
  const ValueRule *rule;
  PageRange range;
  bool dry_run;
  bool row_by_row;  // each row in a subtransaction of its own
  FailureWarnings *warnings;
  RowWriter writer;
  Tally tally;
  // An attempt that was undone has already warned about failing values up to
  // this row.
  ItemPointerData told_to;
};

void CountFailure(Batch *batch, const ItemPointerData &place,
                  const Failure &failure) {
  ++batch->tally.failed;
  batch->tally.malformed += failure.reason == Reason::kMalformed ||
                                    failure.reason == Reason::kHoldsToken
                                ? 1
                                : 0;
  batch->tally.no_key_opens += failure.reason == Reason::kNoKeyOpens ||
                                       failure.reason == Reason::kUnknownInside
                                   ? 1
                                   : 0;
  batch->warnings->too_long += failure.reason == Reason::kTooLong ? 1 : 0;
  WarnOfFailure(batch->warnings, *batch->target, place, failure);
}

// CountBadValue is CountFailure for a value that was not written because of its
// content.
void CountBadValue(Batch *batch, TupleTableSlot *row,
                   const ValueChange &change) {
  const bool told = ItemPointerCompare(&row->tts_tid, &batch->told_to) <= 0;
  const bool muted = batch->warnings->muted;
  batch->warnings->muted = muted || told;
  CountFailure(batch, row->tts_tid,
               {.reason = change.reason, .offset = change.offset});
  batch->warnings->muted = muted;
  if (!told && !batch->row_by_row) {
    batch->told_to = row->tts_tid;
  }
}

void CountResult(Batch *batch, TupleTableSlot *row, RowResult result,
                 bool was_plaintext) {
  switch (result) {
    case RowResult::kWritten:
      ++batch->tally.changed;
      batch->tally.adopted += was_plaintext ? 1 : 0;
      break;
    case RowResult::kBusy:
      ++batch->tally.busy;
      break;
    case RowResult::kUnwanted:
      CountFailure(batch, row->tts_tid, {.reason = Reason::kSuppressed});
      break;
  }
}

// OneRow is a row that is written in its own subtransaction.
struct OneRow {
  const ColumnTarget *target;
  TupleTableSlot *row;
  Datum value;
  RowResult result;
  RowWriter writer;
};

void WriteOneRow(void *state) {
  auto *const one = static_cast<OneRow *>(state);
  // Triggers of earlier rows may have changed this one.
  BeginWriting(one->target, true, &one->writer);
  one->result = WriteValue(&one->writer, one->row, one->value);
  FinishWriting(&one->writer);
}

void Write(Batch *batch, TupleTableSlot *row, const ValueChange &change) {
  const Datum datum = PointerGetDatum(change.value);
  if (batch->dry_run) {
    ++batch->tally.changed;
    return;
  }
  if (!batch->row_by_row) {
    CountResult(batch, row, WriteValue(&batch->writer, row, datum),
                change.was_plaintext);
    return;
  }
  OneRow one = {batch->target, row, datum, RowResult::kBusy, {}};
  const Refusal refusal = RunInSubtransaction(WriteOneRow, &one);
  if (refusal.sqlstate == 0) {
    CountResult(batch, row, one.result, change.was_plaintext);
  } else {
    CountFailure(batch, row->tts_tid,
                 {.reason = Reason::kRefused,
                  .refusal = refusal,
                  .phase = one.writer.phase});
  }
}

void TreatValue(Batch *batch, TupleTableSlot *row, const varlena *value) {
  ValueChange change =
      ChangeValue(*batch->rule, value, batch->target->value_type == TEXTOID,
                  batch->target->max_characters);
  batch->tally.holding_unknown += change.holds_unknown ? 1 : 0;
  switch (change.kind) {
    case ValueChange::kChanged:
      batch->tally.of_key[change.key_index] += change.was_plaintext ? 0 : 1;
      change.value = PadForColumn(*batch->target, change.value);
      Write(batch, row, change);
      if (batch->rule->direction == ValueRule::kDecrypt) {
        WipeAndFree(change.value, nullptr);
      }
      break;
    case ValueChange::kUnchanged:
      batch->tally.of_key[0] += change.is_empty ? 0 : 1;
      ++batch->tally.unchanged;
      break;
    case ValueChange::kPlaintext:
      ++batch->tally.plaintext;
      break;
    case ValueChange::kUnknown:
      ++batch->tally.unknown_left;
      break;
    case ValueChange::kFailed:
      CountBadValue(batch, row, change);
      break;
  }
}

Batch NewBatch(const ColumnTarget &target, const ValueRule &rule,
               PageRange range, bool dry_run, FailureWarnings *warnings) {
  return {.target = &target,
          .rule = &rule,
          .range = range,
          .dry_run = dry_run,
          .row_by_row = false,
          .warnings = warnings,
          .writer = {},
          .tally = {},
          .told_to = {}};
}

void Scan(Batch *batch) {
  ScanValues(
      *batch->target, batch->range,
      [](TupleTableSlot *row, varlena *value, void *state) {
        TreatValue(static_cast<Batch *>(state), row, value);
      },
      batch);
}

void ScanAndWrite(void *state) {
  auto *const batch = static_cast<Batch *>(state);
  BeginWriting(batch->target, false, &batch->writer);
  Scan(batch);
  FinishWriting(&batch->writer);
}

// Restart resets the counts after an attempt was undone.
void Restart(Batch *batch, std::int64_t too_long_before) {
  batch->tally = {};
  batch->warnings->too_long = too_long_before;
  batch->row_by_row = true;
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

Tally RunBatch(const ColumnTarget &target, const ValueRule &rule,
               PageRange range, FailureWarnings *warnings) {
  Batch batch = NewBatch(target, rule, range, false, warnings);
  PushActiveSnapshot(GetTransactionSnapshot());
  UpdateActiveSnapshotCommandId();
  // First write all rows as one command. If the table refuses one of them, undo
  // that attempt and write each row in its own subtransaction: slower, but only
  // the refused rows stay unwritten, and they are counted.
  const std::int64_t too_long = warnings->too_long;
  if (RunInSubtransaction(ScanAndWrite, &batch).sqlstate != 0) {
    Restart(&batch, too_long);
    Scan(&batch);
  }
  PopActiveSnapshot();
  return batch.tally;
}

Tally ReadBatch(const ColumnTarget &target, const ValueRule &rule,
                PageRange range, FailureWarnings *warnings) {
  Batch batch = NewBatch(target, rule, range, true, warnings);
  Scan(&batch);
  return batch.tally;
}

double PageDensity(const ColumnTarget &target) {
  constexpr double kUnknown = 40;  // rows with a token and little else
  const auto *const statistics = target.relation->rd_rel;
  if (statistics->relpages <= 0 || statistics->reltuples < 0) {
    return kUnknown;
  }
  return std::max(
      1.0, static_cast<double>(statistics->reltuples) / statistics->relpages);
}

}  // namespace fernet::pg
