#include "pg/column/watch.hpp"

#include "pg/column/cell.hpp"

extern "C" {
#include "access/heapam.h"
#include "access/visibilitymap.h"
}

namespace fernet::pg {
namespace {

// FileOf changes whenever a table is rewritten or emptied.
Oid FileOf(Oid table) {
  const HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
  if (!HeapTupleIsValid(tuple)) {
    return InvalidOid;
  }
  const Oid file =
      reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relfilenode;
  ReleaseSysCache(tuple);
  return file;
}

// WithRows lists those of `relations` that hold rows, materialized views too.
List *WithRows(const List *relations) {
  List *tables = NIL;
  for (int i = 0; i < list_length(relations); ++i) {
    const Oid table = list_nth_oid(relations, i);
    if (HoldsRows(table) || get_rel_relkind(table) == RELKIND_MATVIEW) {
      tables = lappend_oid(tables, table);
    }
  }
  return tables;
}

// Search is for the vanished rows of one table.
struct Search {
  Relation relation;
  Snapshot since;
  Snapshot now;
  BufferAccessStrategy strategy;
  Buffer visibility;  // a page of the visibility map
  VanishedVisitor visit;
  void *state;
};

// OldValues is which values of a row are old.
struct OldValues {
  const TableTarget *target;
  const ValueRule *rule;
  bool found;
};

// HasVanished says whether a snapshot after `since` could see the row, while
// `now` cannot because it is deleted. The page is locked.
bool HasVanished(const Search &search, HeapTupleHeader header) {
  if ((header->t_infomask & HEAP_XMAX_INVALID) != 0 ||
      HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask)) {
    return false;
  }
  const TransactionId deleter = HeapTupleHeaderGetUpdateXid(header);
  return TransactionIdIsNormal(deleter) &&
         XidInMVCCSnapshot(deleter, search.since) &&
         !XidInMVCCSnapshot(deleter, search.now) &&
         (HeapTupleHeaderXminCommitted(header) ||
          TransactionIdDidCommit(HeapTupleHeaderGetRawXmin(header)));
}

// VanishedRows copies such rows of a page.
List *VanishedRows(const Search &search, Buffer buffer) {
  List *rows = NIL;
  LockBuffer(buffer, BUFFER_LOCK_SHARE);
  const Page page = BufferGetPage(buffer);
  RequireNotPruned(search.since, search.relation, page);
  const auto last = static_cast<OffsetNumber>(PageGetMaxOffsetNumber(page));
  for (OffsetNumber i = FirstOffsetNumber; i <= last; ++i) {
    const ItemId item = PageGetItemId(page, i);
    if (!ItemIdIsNormal(item)) {
      continue;
    }
    HeapTupleData row = {};
    row.t_data = reinterpret_cast<HeapTupleHeader>(PageGetItem(page, item));
    row.t_len = ItemIdGetLength(item);
    row.t_tableOid = RelationGetRelid(search.relation);
    if (HasVanished(search, row.t_data)) {
      rows = lappend(rows, heap_copytuple(&row));
    }
  }
  LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
  return rows;
}

varlena *ValueIn(HeapTuple row, Relation relation, const ColumnTarget *column) {
  bool is_null = column == nullptr;
  const Datum value = is_null
                          ? Datum{0}
                          : heap_getattr(row, column->attribute,
                                         RelationGetDescr(relation), &is_null);
  return is_null ? nullptr
                 : reinterpret_cast<varlena *>(DatumGetPointer(value));
}

// IsOld says whether the value of the column at `column` in `row` needs more
// than the first key.
bool IsOld(const OldValues &old, std::size_t column, HeapTuple row) {
  const TableTarget &target = *old.target;
  const StoredCell stored = {
      .value = ValueIn(row, target.relation, &target.columns[column]),
      .source = ValueIn(row, target.relation, target.source)};
  if (!stored.is_there()) {
    return false;
  }
  Cell cell = {};
  ReadCell(target, column, stored, &cell);
  ChangeCell(*old.rule, target, column, &cell);
  const ValueChange change = cell.change;
  WipeCell(*old.rule, &cell);
  // What has no trace of a token may come and go.
  return change.kind == ValueChange::kChanged ||
         (change.kind == ValueChange::kFailed &&
          change.reason != Reason::kMalformed);
}

bool LookForOldValue(HeapTuple row, void *state) {
  auto *const old = static_cast<OldValues *>(state);
  for (std::size_t i = 0; i < old->target->columns.size(); ++i) {
    old->found = old->found || IsOld(*old, i, row);
  }
  return !old->found;
}

// VisitPage returns what the visitor does. On a page that everybody sees alike,
// nothing has been deleted since the watch began: its snapshot would still see
// it.
bool VisitPage(Search *search, BlockNumber page) {
  if (!MayBePruned() &&
      VM_ALL_VISIBLE(search->relation, page, &search->visibility)) {
    return true;
  }
  const Buffer buffer = ReadBufferExtended(search->relation, MAIN_FORKNUM, page,
                                           RBM_NORMAL, search->strategy);
  const List *const rows = VanishedRows(*search, buffer);
  ReleaseBuffer(buffer);
  bool goes_on = true;
  for (int i = 0; i < list_length(rows) && goes_on; ++i) {
    CHECK_FOR_INTERRUPTS();
    goes_on =
        search->visit(static_cast<HeapTuple>(list_nth(rows, i)), search->state);
  }
  return goes_on;
}

bool HasVanishedOldRow(const TableTarget &target, const Watch &watch,
                       const ValueRule &rule) {
  OldValues old = {&target, &rule, false};
  VisitVanished(target.relation, watch.since, LookForOldValue, &old);
  return old.found;
}

}  // namespace

Watch BeginWatch(const List *relations) {
  Watch watch = {};
  const MemoryContext caller_memory =
      MemoryContextSwitchTo(CurTransactionContext);
  watch.tables = WithRows(relations);
  for (int i = 0; i < list_length(watch.tables); ++i) {
    watch.files =
        lappend_oid(watch.files, FileOf(list_nth_oid(watch.tables, i)));
  }
  MemoryContextSwitchTo(caller_memory);
  // After the files: one that is rewritten in between counts as rewritten.
  watch.since = RegisterSnapshot(GetLatestSnapshot());
  return watch;
}

void EndWatch(const Watch &watch) { UnregisterSnapshot(watch.since); }

bool AreSameFiles(const Watch &watch, const List *relations) {
  const List *const tables = WithRows(relations);
  if (list_length(tables) != list_length(watch.tables)) {
    return false;
  }
  for (int i = 0; i < list_length(watch.tables); ++i) {
    const Oid table = list_nth_oid(watch.tables, i);
    if (!list_member_oid(tables, table) ||
        FileOf(table) != list_nth_oid(watch.files, i)) {
      return false;
    }
  }
  return true;
}

void VisitVanished(Relation relation, Snapshot since, VanishedVisitor visit,
                   void *state) {
  const MemoryContext caller_memory = CurrentMemoryContext;
  const MemoryContext memory = AllocSetContextCreate(
      caller_memory, "pg_fernet rows", ALLOCSET_DEFAULT_SIZES);
  Search search = {.relation = relation,
                   .since = since,
                   .now = GetActiveSnapshot(),
                   .strategy = GetAccessStrategy(BAS_BULKREAD),
                   .visibility = InvalidBuffer,
                   .visit = visit,
                   .state = state};
  MemoryContextSwitchTo(memory);
  const BlockNumber pages = RelationGetNumberOfBlocks(relation);
  bool goes_on = true;
  for (BlockNumber page = 0; page < pages && goes_on; ++page) {
    CHECK_FOR_INTERRUPTS();
    goes_on = VisitPage(&search, page);
    MemoryContextReset(memory);
  }
  MemoryContextSwitchTo(caller_memory);
  MemoryContextDelete(memory);
  if (BufferIsValid(search.visibility)) {
    ReleaseBuffer(search.visibility);
  }
  FreeAccessStrategy(search.strategy);
}

bool MayHaveMissed(const Watch &watch, const List *tables, ColumnNames columns,
                   const char *source, const ValueRule &rule) {
  if (!AreSameFiles(watch, tables)) {
    return true;
  }
  bool found = false;
  for (int i = 0; i < list_length(tables) && !found; ++i) {
    TableTarget target;
    if (OpenTarget(list_nth_oid(tables, i), columns, ColumnAccess::kRead,
                   &target)) {
      if (source != nullptr) {
        OpenSource(source, &target);
      }
      found = HasVanishedOldRow(target, watch, rule);
      CloseTarget(target);
    }
  }
  return found;
}

}  // namespace fernet::pg
