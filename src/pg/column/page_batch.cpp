#include "pg/column/page_batch.hpp"

#include <algorithm>

#include "pg/column/row_writer.hpp"
#include "pg/report/counters.hpp"
#include "pg/report/report.hpp"
#include "pg/server/subtransaction.hpp"
#include "pg/value/text_encoding.hpp"

namespace fernet::pg {
namespace {

constexpr int kMaxWarnings = 20;

const char *Explain(int sqlstate) {
  switch (sqlstate) {
    case kMalformedToken:
      return "It is not a Fernet token.";
    case kNoKeyOpensToken:
      return "No key in \"fernet.key\" opens it.";
    case ERRCODE_CHARACTER_NOT_IN_REPERTOIRE:
      return "Its plaintext is not text in both encodings.";
    case ERRCODE_STRING_DATA_RIGHT_TRUNCATION:
      return "The new value is too long for the column.";
    case kPlaintextIsToken:
      return "Its plaintext looks like a token, so it stays encrypted.";
    case ERRCODE_TRIGGERED_ACTION_EXCEPTION:
      return "A trigger wants no update of the row.";
    case ERRCODE_CHECK_VIOLATION:
      return "A CHECK constraint refuses the new row.";
    case ERRCODE_UNIQUE_VIOLATION:
      return "A unique index holds the new value already.";
    default:
      return "The table, an index or a trigger refuses the new row.";
  }
}

void Warn(FailureWarnings *warnings, const ColumnTarget &target,
          const ItemPointerData &place, int sqlstate) {
  if (warnings->muted || warnings->told > kMaxWarnings) {
    return;
  }
  ++warnings->told;
  if (warnings->told > kMaxWarnings) {
    ereport(WARNING, errcode(sqlstate),
            errmsg("more values were not changed; they are only counted"),
            HideStatement());
    return;
  }
  const auto *const column =
      TupleDescAttr(RelationGetDescr(target.relation), target.attribute - 1);
  ereport(
      WARNING, errcode(sqlstate),
      errmsg(
          "value at ctid (%u,%u) of %s was not changed",
          ItemPointerGetBlockNumberNoCheck(&place),
          static_cast<unsigned>(ItemPointerGetOffsetNumberNoCheck(&place)),
          NameOf(RelationGetRelid(target.relation), NameStr(column->attname))),
      errdetail_internal("%s", Explain(sqlstate)), HideStatement());
}

// A batch under way; plain data.
struct Batch {
  const ColumnTarget *target;
  const ValueRule *rule;
  PageRange range;
  bool dry_run;
  bool row_by_row;  // each row in a subtransaction of its own
  FailureWarnings *warnings;
  RowWriter writer;
  Tally tally;
  // Up to there, failing values have been told of by an attempt that was
  // undone.
  ItemPointerData told_to;
  OwnTransactions *own;  // null where they prove nothing
  MemoryContext own_memory;
};

// MayHaveOwn: a trigger could put something else into a row, or into others,
// in the transaction of the batch.
bool MayHaveOwn(const ColumnTarget &target) {
  const TriggerDesc *const triggers = target.relation->trigdesc;
  return triggers == nullptr || !(triggers->trig_update_before_row ||
                                  triggers->trig_update_after_row ||
                                  triggers->trig_update_before_statement ||
                                  triggers->trig_update_after_statement);
}

bool IsOwnWork(const Batch &batch, TupleTableSlot *row) {
  if (batch.own == nullptr || batch.own->count == 0 ||
      !TTS_IS_BUFFERTUPLE(row)) {
    return false;
  }
  const HeapTuple tuple =
      reinterpret_cast<BufferHeapTupleTableSlot *>(row)->base.tuple;
  return batch.own->Include(HeapTupleHeaderGetXmin(tuple->t_data));
}

void CountFailure(Batch *batch, const ItemPointerData &place, int sqlstate) {
  ++batch->tally.failed;
  batch->tally.malformed += sqlstate == kMalformedToken ? 1 : 0;
  batch->tally.no_key_opens += sqlstate == kNoKeyOpensToken ? 1 : 0;
  if (sqlstate == ERRCODE_STRING_DATA_RIGHT_TRUNCATION) {
    ++batch->warnings->too_long;
  }
  Warn(batch->warnings, *batch->target, place, sqlstate);
}

// CountBadValue is CountFailure for a value that never came to be written.
void CountBadValue(Batch *batch, TupleTableSlot *row, int sqlstate) {
  const bool told = ItemPointerCompare(&row->tts_tid, &batch->told_to) <= 0;
  const bool muted = batch->warnings->muted;
  batch->warnings->muted = muted || told;
  CountFailure(batch, row->tts_tid, sqlstate);
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
      CountFailure(batch, row->tts_tid, ERRCODE_TRIGGERED_ACTION_EXCEPTION);
      break;
  }
}

// OneRow is a row to be written in a subtransaction of its own.
struct OneRow {
  const ColumnTarget *target;
  TupleTableSlot *row;
  Datum value;
  RowResult result;
};

void WriteOneRow(void *state) {
  auto *const one = static_cast<OneRow *>(state);
  RowWriter writer;
  // Triggers of earlier rows may have changed this one.
  BeginWriting(one->target, true, &writer);
  one->result = WriteValue(&writer, one->row, one->value);
  FinishWriting(&writer);
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
  OneRow one = {batch->target, row, datum, RowResult::kBusy};
  const int sqlstate = RunInSubtransaction(WriteOneRow, &one);
  if (sqlstate == 0) {
    CountResult(batch, row, one.result, change.was_plaintext);
  } else {
    CountFailure(batch, row->tts_tid, sqlstate);
  }
}

void TreatValue(Batch *batch, TupleTableSlot *row, const varlena *value) {
  if (IsOwnWork(*batch, row)) {
    ++batch->tally.unchanged;
    return;
  }
  const ValueChange change =
      ChangeValue(*batch->rule, value, batch->target->value_type == TEXTOID,
                  batch->target->max_characters);
  switch (change.kind) {
    case ValueChange::kChanged:
      Write(batch, row, change);
      if (batch->rule->direction == ValueRule::kDecrypt) {
        WipeAndFree(change.value, nullptr);
      }
      break;
    case ValueChange::kUnchanged:
      ++batch->tally.unchanged;
      break;
    case ValueChange::kPlaintext:
      ++batch->tally.plaintext;
      break;
    case ValueChange::kFailed:
      CountBadValue(batch, row, change.sqlstate);
      break;
  }
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
  const TransactionId id = GetCurrentTransactionIdIfAny();
  if (batch->own != nullptr && TransactionIdIsValid(id)) {
    batch->own->Note(id, batch->own_memory);
  }
}

// Restart forgets what an attempt has counted that was undone.
void Restart(Batch *batch, std::int64_t too_long_before) {
  batch->tally = {};
  batch->warnings->too_long = too_long_before;
  batch->row_by_row = true;
}

}  // namespace

void Tally::Add(const Tally &other) {
  changed += other.changed;
  unchanged += other.unchanged;
  plaintext += other.plaintext;
  failed += other.failed;
  busy += other.busy;
  adopted += other.adopted;
  malformed += other.malformed;
  no_key_opens += other.no_key_opens;
}

void CountForStatistics(const Tally &tally, ValueRule::Direction direction) {
  const auto add = [](counters::Kind kind, std::int64_t times) {
    if (times > 0) {
      counters::Add(kind, static_cast<std::uint64_t>(times));
    }
  };
  add(direction == ValueRule::kRotate ? counters::kRotated
                                      : counters::kDecrypted,
      tally.changed - tally.adopted);
  add(counters::kEncrypted, tally.adopted);
  add(counters::kMalformed, tally.malformed);
  add(counters::kNoKeyOpens, tally.no_key_opens);
}

void OwnTransactions::Note(TransactionId id, MemoryContext memory) {
  if (count > 0 && id <= ids[count - 1]) {
    usable = false;
    return;
  }
  if (count == room) {
    room = room == 0 ? 256 : 2 * room;
    const std::size_t size = static_cast<std::size_t>(room) * sizeof *ids;
    ids = static_cast<TransactionId *>(ids == nullptr
                                           ? MemoryContextAlloc(memory, size)
                                           : repalloc(ids, size));
  }
  ids[count++] = id;
}

bool OwnTransactions::Include(TransactionId id) const {
  return usable && std::binary_search(ids, ids + count, id);
}

Tally RunBatch(const ColumnTarget &target, const ValueRule &rule,
               PageRange range, bool dry_run, FailureWarnings *warnings,
               OwnTransactions *own, MemoryContext own_memory) {
  Batch batch = {.target = &target,
                 .rule = &rule,
                 .range = range,
                 .dry_run = dry_run,
                 .row_by_row = false,
                 .warnings = warnings,
                 .writer = {},
                 .tally = {},
                 .told_to = {},
                 .own = MayHaveOwn(target) ? own : nullptr,
                 .own_memory = own_memory};
  PushActiveSnapshot(GetTransactionSnapshot());
  UpdateActiveSnapshotCommandId();
  if (dry_run) {
    Scan(&batch);
  } else {
    // All rows as one command first. If the table refuses one of them, that
    // attempt is undone, and each row gets a subtransaction: slower, but the
    // others are written and the refused ones counted.
    const std::int64_t too_long = warnings->too_long;
    if (RunInSubtransaction(ScanAndWrite, &batch) != 0) {
      Restart(&batch, too_long);
      Scan(&batch);
    }
  }
  PopActiveSnapshot();
  return batch.tally;
}

double PageDensity(const ColumnTarget &target) {
  constexpr double kUnknown = 40;  // rows of a token and little else
  const auto *const statistics = target.relation->rd_rel;
  if (statistics->relpages <= 0 || statistics->reltuples < 0) {
    return kUnknown;
  }
  return std::max(
      1.0, static_cast<double>(statistics->reltuples) / statistics->relpages);
}

}  // namespace fernet::pg
