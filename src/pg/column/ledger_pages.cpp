#include "pg/column/ledger_pages.hpp"

#include <algorithm>

#include "pg/column/page_scan.hpp"

extern "C" {
#include "access/generic_xlog.h"
#include "catalog/dependency.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "storage/lmgr.h"
}

namespace fernet::pg {
namespace {

constexpr Oid kColumnTypes[] = {
    INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, INT8OID,
    INT8OID, INT8OID,        INT8OID,        OIDOID,         OIDOID,  OIDOID,
    INT4OID, INT4OID,        INT4OID,        INT4OID,        NAMEOID, TEXTOID,
    TEXTOID, NAMEARRAYOID,   TEXTOID,        TEXTOID,
};
static_assert(lengthof(kColumnTypes) == kLedgerColumns);
static_assert(kColumnTypes[kLedgerNumbers - 1] == NAMEOID);

// The struct has the layout that PostgreSQL gives these columns in a row.
static_assert(offsetof(LedgerNumbers, reloid) == 9 * sizeof(std::int64_t));
static_assert(offsetof(LedgerNumbers, state) ==
              9 * sizeof(std::int64_t) + 7 * sizeof(std::int32_t));
constexpr std::size_t kNumbersSize =
    offsetof(LedgerNumbers, state) + sizeof(NameData);

bool HasLayout(Relation ledger) {
  const TupleDesc columns = RelationGetDescr(ledger);
  if (ledger->rd_rel->relkind != RELKIND_MATVIEW ||
      ledger->rd_rel->relam != HEAP_TABLE_AM_OID ||
      columns->natts != kLedgerColumns) {
    return false;
  }
  for (int i = 0; i < columns->natts; ++i) {
    if (TupleDescAttr(columns, i)->atttypid != kColumnTypes[i]) {
      return false;
    }
  }
  return true;
}

// RowAt returns the row at `place` of a page, or one without data. A page that
// a crash has kept from being written is all zeros.
// NOLINTNEXTLINE(readability-non-const-parameter): Page is a type of the server
HeapTupleData RowAt(Relation ledger, Page page, ItemPointer place) {
  HeapTupleData row = {};
  const OffsetNumber offset = ItemPointerGetOffsetNumber(place);
  if (PageIsNew(page) || offset > PageGetMaxOffsetNumber(page)) {
    return row;
  }
  const ItemId item = PageGetItemId(page, offset);
  if (!ItemIdIsNormal(item)) {
    return row;
  }
  row.t_data = reinterpret_cast<HeapTupleHeader>(PageGetItem(page, item));
  row.t_len = ItemIdGetLength(item);
  row.t_tableOid = RelationGetRelid(ledger);
  row.t_self = *place;
  return row;
}

// NOLINTNEXTLINE(readability-non-const-parameter): Page is a type of the server
OffsetNumber RowsOf(Page page) {
  return PageIsNew(page)
             ? OffsetNumber{0}
             : static_cast<OffsetNumber>(PageGetMaxOffsetNumber(page));
}

// Finish makes a change durable soon, without waiting for it.
void Finish(GenericXLogState *change) {
  XLogSetAsyncXactLSN(GenericXLogFinish(change));
}

// ChangeAt is ChangeLedgerRow for a row that is at `place`, if it is.
bool ChangeAt(Relation ledger, const LedgerNumbers &numbers,
              ItemPointer place) {
  if (!ItemPointerIsValid(place) ||
      ItemPointerGetBlockNumber(place) >= RelationGetNumberOfBlocks(ledger)) {
    return false;
  }
  const Buffer buffer = ReadBuffer(ledger, ItemPointerGetBlockNumber(place));
  LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
  HeapTupleData row = RowAt(ledger, BufferGetPage(buffer), place);
  const bool is_there =
      row.t_data != nullptr && NumbersOf(&row)->id == numbers.id;
  if (is_there) {
    GenericXLogState *const change = GenericXLogStart(ledger);
    row = RowAt(ledger, GenericXLogRegisterBuffer(change, buffer, 0), place);
    if (row.t_data != nullptr) {
      memcpy(NumbersOf(&row), &numbers, kNumbersSize);
    }
    Finish(change);
  }
  UnlockReleaseBuffer(buffer);
  return is_there;
}

// OpenLocked opens the ledger, or gives the lock back when it is none.
Relation OpenLocked(Oid ledger, LOCKMODE mode) {
  const Relation relation = try_relation_open(ledger, NoLock);
  if (relation == nullptr) {
    UnlockRelationOid(ledger, mode);
    return nullptr;
  }
  if (!HasLayout(relation)) {
    relation_close(relation, mode);
    return nullptr;
  }
  return relation;
}

struct Search {
  std::int64_t id;
  ItemPointerData place;
  std::int64_t highest;
  std::int64_t oldest;  // that has ended, or 0
};

Search SearchRows(Relation ledger, std::int64_t id) {
  Search search = {.id = id, .place = {}, .highest = 0, .oldest = 0};
  ItemPointerSetInvalid(&search.place);
  ForEachLedgerRow(
      ledger,
      [](HeapTuple row, void *state) {
        auto *const found = static_cast<Search *>(state);
        const std::int64_t of_row = NumbersOf(row)->id;
        found->highest = std::max(found->highest, of_row);
        if (!IsUnderWay(*NumbersOf(row)) &&
            (found->oldest == 0 || of_row < found->oldest)) {
          found->oldest = of_row;
        }
        if (of_row == found->id) {
          found->place = row->t_self;
        }
      },
      &search);
  return search;
}

// FormRow makes a row that every snapshot sees.
HeapTuple FormRow(Relation ledger, const LedgerNumbers &numbers,
                  const LedgerTexts &texts) {
  Datum values[] = {
      Int64GetDatum(numbers.id),
      TimestampTzGetDatum(numbers.started),
      TimestampTzGetDatum(numbers.updated),
      TimestampTzGetDatum(numbers.finished),
      Int64GetDatum(numbers.done),
      Int64GetDatum(numbers.total),
      Int64GetDatum(numbers.rotated),
      Int64GetDatum(numbers.unchanged),
      Int64GetDatum(numbers.failed),
      ObjectIdGetDatum(numbers.reloid),
      ObjectIdGetDatum(numbers.role_id),
      ObjectIdGetDatum(numbers.lock_part),
      Int32GetDatum(numbers.pid),
      Int32GetDatum(numbers.slice),
      Int32GetDatum(numbers.slices),
      Int32GetDatum(numbers.pass),
      NameGetDatum(&numbers.state),
      CStringGetTextDatum(texts.operation),
      CStringGetTextDatum(texts.relation),
      PointerGetDatum(texts.columns),
      CStringGetTextDatum(texts.role),
      CStringGetTextDatum(texts.fingerprint),
  };
  static_assert(lengthof(values) == kLedgerColumns);
  bool nulls[kLedgerColumns] = {};
  const HeapTuple row =
      heap_form_tuple(RelationGetDescr(ledger), values, nulls);
  HeapTupleHeaderSetXmin(row->t_data, FrozenTransactionId);
  HeapTupleHeaderSetXmax(row->t_data, InvalidTransactionId);
  HeapTupleHeaderSetCmin(row->t_data, FirstCommandId);
  row->t_data->t_infomask |= HEAP_XMIN_FROZEN | HEAP_XMAX_INVALID;
  return row;
}

bool IsOld(const LedgerNumbers &numbers, std::int64_t oldest_kept) {
  return numbers.id < oldest_kept && !IsUnderWay(numbers);
}

// FindOldRows puts the offsets of the rows of a page that are not kept into
// `offsets`, of at least MaxHeapTuplesPerPage, and returns how many there are.
// NOLINTNEXTLINE(readability-non-const-parameter): Page is a type of the server
int FindOldRows(Relation ledger, Page page, std::int64_t oldest_kept,
                OffsetNumber *offsets) {
  int count = 0;
  for (OffsetNumber offset = 1; offset <= RowsOf(page); ++offset) {
    ItemPointerData place = PlaceOf(0, offset);
    HeapTupleData row = RowAt(ledger, page, &place);
    if (row.t_data != nullptr && IsOld(*NumbersOf(&row), oldest_kept)) {
      offsets[count++] = offset;
    }
  }
  return count;
}

void RemoveRows(Relation ledger, Buffer buffer, const OffsetNumber *offsets,
                int count) {
  GenericXLogState *const change = GenericXLogStart(ledger);
  const Page page =
      GenericXLogRegisterBuffer(change, buffer, GENERIC_XLOG_FULL_IMAGE);
  for (int i = 0; i < count; ++i) {
    ItemIdSetUnused(PageGetItemId(page, offsets[i]));
  }
  PageRepairFragmentation(page);
  Finish(change);
}

// RemoveOldRows removes the rows of a page that are not kept, unless somebody
// reads it; the next job will try again.
void RemoveOldRows(Relation ledger, BlockNumber block,
                   std::int64_t oldest_kept) {
  const Buffer buffer = ReadBuffer(ledger, block);
  if (ConditionalLockBufferForCleanup(buffer)) {
    OffsetNumber offsets[MaxHeapTuplesPerPage];
    const int count =
        FindOldRows(ledger, BufferGetPage(buffer), oldest_kept, offsets);
    if (count > 0) {
      RemoveRows(ledger, buffer, offsets, count);
    }
    UnlockReleaseBuffer(buffer);
  } else {
    ReleaseBuffer(buffer);
  }
}

// PageWithRoom returns a page that has room for `size` bytes, a new one if none
// has, locked. The caller holds the lock for extending the ledger.
Buffer PageWithRoom(Relation ledger, std::size_t size) {
  const BlockNumber pages = RelationGetNumberOfBlocks(ledger);
  for (BlockNumber block = 0; block < pages; ++block) {
    const Buffer buffer = ReadBuffer(ledger, block);
    LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
    const Page page = BufferGetPage(buffer);
    if (PageIsNew(page) || PageGetHeapFreeSpace(page) >= MAXALIGN(size)) {
      return buffer;
    }
    UnlockReleaseBuffer(buffer);
  }
  return AppendPage(ledger);
}

// Put puts `row` into a page and its place into the row. False if it has no
// room.
// NOLINTNEXTLINE(readability-non-const-parameter): Page is a type of the server
bool Put(Page page, BlockNumber block, HeapTuple row) {
  const OffsetNumber offset =
      PageAddItem(page, reinterpret_cast<char *>(row->t_data), row->t_len,
                  InvalidOffsetNumber, false, true);
  if (offset == InvalidOffsetNumber) {
    return false;
  }
  row->t_self = PlaceOf(block, offset);
  const ItemId item = PageGetItemId(page, offset);
  reinterpret_cast<HeapTupleHeader>(PageGetItem(page, item))->t_ctid =
      row->t_self;
  return true;
}

void Append(Relation ledger, HeapTuple row) {
  const Buffer buffer = PageWithRoom(ledger, row->t_len);
  GenericXLogState *const change = GenericXLogStart(ledger);
  const Page page =
      GenericXLogRegisterBuffer(change, buffer, GENERIC_XLOG_FULL_IMAGE);
  if (PageIsNew(page)) {
    PageInit(page, BLCKSZ, 0);
  }
  if (Put(page, BufferGetBlockNumber(buffer), row)) {
    Finish(change);
  } else {
    GenericXLogAbort(change);
    ItemPointerSetInvalid(&row->t_self);
  }
  UnlockReleaseBuffer(buffer);
}

}  // namespace

bool IsUnderWay(const LedgerNumbers &numbers) {
  return strcmp(NameStr(numbers.state), kRunning) == 0 ||
         strcmp(NameStr(numbers.state), kWaiting) == 0;
}

Oid FindLedger(Oid caller) {
  const Oid extension = getExtensionOfObject(ProcedureRelationId, caller);
  const Oid ledger = get_relname_relid(kLedgerName, get_func_namespace(caller));
  // Somebody else's relation of this name is none of ours.
  return OidIsValid(extension) && OidIsValid(ledger) &&
                 getExtensionOfObject(RelationRelationId, ledger) == extension
             ? ledger
             : InvalidOid;
}

Relation TryOpenLedger(Oid ledger) {
  if (!OidIsValid(ledger) ||
      !ConditionalLockRelationOid(ledger, RowExclusiveLock)) {
    return nullptr;
  }
  return OpenLocked(ledger, RowExclusiveLock);
}

Relation OpenLedgerToRead(Oid ledger) {
  if (!OidIsValid(ledger)) {
    return nullptr;
  }
  LockRelationOid(ledger, AccessShareLock);
  return OpenLocked(ledger, AccessShareLock);
}

void ForEachLedgerRow(Relation ledger,
                      void (*visit)(HeapTuple row, void *state), void *state) {
  const BlockNumber pages = RelationGetNumberOfBlocks(ledger);
  const MemoryContext memory = AllocSetContextCreate(
      CurrentMemoryContext, "pg_fernet ledger page", ALLOCSET_DEFAULT_SIZES);
  const MemoryContext before = MemoryContextSwitchTo(memory);
  auto *const copy = static_cast<char *>(palloc(BLCKSZ));
  for (BlockNumber block = 0; block < pages; ++block) {
    CHECK_FOR_INTERRUPTS();
    // A copy, since rows are changed in place.
    const Buffer buffer = ReadBuffer(ledger, block);
    LockBuffer(buffer, BUFFER_LOCK_SHARE);
    memcpy(copy, BufferGetPage(buffer), BLCKSZ);
    UnlockReleaseBuffer(buffer);
    for (OffsetNumber offset = 1; offset <= RowsOf(copy); ++offset) {
      ItemPointerData place = PlaceOf(block, offset);
      HeapTupleData row = RowAt(ledger, copy, &place);
      if (row.t_data != nullptr) {
        MemoryContextSwitchTo(before);
        visit(&row, state);
        MemoryContextSwitchTo(memory);
      }
    }
  }
  MemoryContextSwitchTo(before);
  MemoryContextDelete(memory);
}

bool AddLedgerRow(Relation ledger, LedgerNumbers *numbers,
                  const LedgerTexts &texts, ItemPointer place) {
  if (!ConditionalLockRelationForExtension(ledger, ExclusiveLock)) {
    return false;
  }
  const Search search = SearchRows(ledger, 0);
  numbers->id = search.highest + 1;
  const std::int64_t oldest_kept = numbers->id - kKeptJobs + 1;
  const BlockNumber pages =
      search.oldest < oldest_kept ? RelationGetNumberOfBlocks(ledger) : 0;
  for (BlockNumber block = 0; block < pages; ++block) {
    CHECK_FOR_INTERRUPTS();
    RemoveOldRows(ledger, block, oldest_kept);
  }
  const HeapTuple row = FormRow(ledger, *numbers, texts);
  Append(ledger, row);
  UnlockRelationForExtension(ledger, ExclusiveLock);
  *place = row->t_self;
  return ItemPointerIsValid(place);
}

bool ChangeLedgerRow(Relation ledger, const LedgerNumbers &numbers,
                     ItemPointer place) {
  if (ChangeAt(ledger, numbers, place)) {
    return true;
  }
  // VACUUM FULL and REFRESH move rows.
  *place = SearchRows(ledger, numbers.id).place;
  return ChangeAt(ledger, numbers, place);
}

}  // namespace fernet::pg
