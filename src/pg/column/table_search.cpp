#include "pg/column/table_search.hpp"

#include <algorithm>
#include <cmath>

#include "core/recogniser.hpp"
#include "pg/column/page_scan.hpp"
#include "pg/column/reading.hpp"
#include "pg/column/row_storage.hpp"
#include "pg/column/watch.hpp"
#include "pg/value/value_form.hpp"

extern "C" {
#include "common/pg_prng.h"
#include "storage/lmgr.h"
#include "utils/sampling.h"
}

namespace fernet::pg {
namespace {

struct Column {
  const char *name;
  const char *type_name;
  Oid type;  // a domain's base type
  ValueForm form;
  bool is_plain;  // its bytes can be searched before it is taken apart
  bool may_read;
  std::int64_t values;
  TokenTally tally;
  TokenTally vanished;  // of rows that came and went: see watch.hpp
};

// Search is the search of one table and its partitions.
struct Search {
  const SearchRule *rule;
  PageCount *pages;
  Oid relation;
  int count;
  Column *columns;
  // In the table that is read now: their numbers, 0 for a column that it lacks,
  // and the largest of them.
  AttrNumber *attributes;
  AttrNumber last;
  bool has_gaps;  // rows of it were not read
};

bool HasPlainBytes(Oid type) {
  switch (FormOf(type)) {
    case ValueForm::kText:
    case ValueForm::kJson:
    case ValueForm::kJsonb:
    case ValueForm::kHstore:
    case ValueForm::kXml:
      return true;
    default:
      return false;
  }
}

bool CannotRowHoldTokens(Oid type) {
  if (type == RECORDOID) {
    return false;
  }
  const TupleDesc row = lookup_rowtype_tupdesc(type, -1);
  bool cannot = true;
  for (int i = 0; i < row->natts && cannot; ++i) {
    const auto *const column = TupleDescAttr(row, i);
    cannot = column->attisdropped || CannotHoldTokens(column->atttypid);
  }
  ReleaseTupleDesc(row);
  return cannot;
}

bool IsCandidate(const FormData_pg_attribute *column) {
  // A virtual generated column of PostgreSQL 18 has no values of its own.
  const bool is_stored = column->attgenerated == '\0' ||
                         column->attgenerated == ATTRIBUTE_GENERATED_STORED;
  return !column->attisdropped && is_stored &&
         !CannotHoldTokens(column->atttypid);
}

bool MayRead(Oid relation, AttrNumber attribute) {
  return pg_class_aclcheck(relation, GetUserId(), ACL_SELECT) == ACLCHECK_OK ||
         pg_attribute_aclcheck(relation, attribute, GetUserId(), ACL_SELECT) ==
             ACLCHECK_OK;
}

void DescribeColumns(Relation relation, Search *search) {
  const TupleDesc row = RelationGetDescr(relation);
  search->columns = static_cast<Column *>(MemoryContextAllocHuge(
      CurrentMemoryContext,
      static_cast<Size>(row->natts + 1) * sizeof(Column)));
  search->attributes = static_cast<AttrNumber *>(
      palloc0(static_cast<Size>(row->natts + 1) * sizeof(AttrNumber)));
  for (int i = 0; i < row->natts; ++i) {
    const auto *const attribute = TupleDescAttr(row, i);
    if (!IsCandidate(attribute)) {
      continue;
    }
    const Oid type = getBaseType(attribute->atttypid);
    const Oid element = get_element_type(type);
    search->columns[search->count++] = {
        .name = pstrdup(NameStr(attribute->attname)),
        .type_name =
            format_type_with_typemod(attribute->atttypid, attribute->atttypmod),
        .type = type,
        .form = FormOf(type),
        .is_plain = HasPlainBytes(OidIsValid(element) ? element : type),
        .may_read = MayRead(RelationGetRelid(relation), attribute->attnum),
        .values = 0,
        .tally = {},
        .vanished = {}};
  }
}

// WhyNotRead is why the rows of `relation` cannot be read, or null.
const char *WhyNotRead(Relation relation) {
  const char kind = relation->rd_rel->relkind;
  if (kind != RELKIND_RELATION && kind != RELKIND_MATVIEW &&
      kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_FOREIGN_TABLE) {
    return "It has no rows of its own: name the tables that it reads.";
  }
  if (RELATION_IS_OTHER_TEMP(relation)) {
    return "It is a temporary table of another session.";
  }
  const char *const elsewhere =
      FindElsewhere(list_make1_oid(RelationGetRelid(relation))).cause;
  if (elsewhere != nullptr || kind == RELKIND_PARTITIONED_TABLE) {
    return elsewhere;
  }
  if (RecoveryInProgress() &&
      relation->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED) {
    return "An unlogged table cannot be read during recovery.";
  }
  return nullptr;
}

// WhyNotAllowed is why this role cannot read every row of `relation`, or null.
const char *WhyNotAllowed(const Search &search) {
  const Oid schema = get_rel_namespace(search.relation);
  if (!MayUseSchema(schema)) {
    return "This role may not use its schema.";
  }
  const std::span<const Column> columns(search.columns,
                                        static_cast<std::size_t>(search.count));
  if (std::ranges::none_of(columns, &Column::may_read)) {
    return "This role may not read it.";
  }
  if (check_enable_rls(search.relation, InvalidOid, true) == RLS_ENABLED) {
    return "Row security would hide rows from this role.";
  }
  return nullptr;
}

void TellNotRead(Search *search, Oid relation, const char *why) {
  search->has_gaps = true;
  search->rule->sink({.relation = relation, .not_read = why},
                     search->rule->state);
}

void LookAtValue(const SessionKeys &keys, Datum value, const Column &column,
                 TokenTally *tally) {
  if (column.is_plain) {
    // Most values are done with here, without anything being taken apart.
    varlena *const bytes = PG_DETOAST_DATUM_PACKED(value);
    if (!MayHoldPlaces(ViewText(bytes))) {
      return;
    }
    value = PointerGetDatum(bytes);
  }
  TallyValue(keys, value, column.type, tally);
}

void LookAtRow(TupleTableSlot *row, Search *search) {
  slot_getsomeattrs(row, search->last);
  for (int i = 0; i < search->count; ++i) {
    const AttrNumber attribute = search->attributes[i];
    if (attribute == 0 || row->tts_isnull[attribute - 1]) {
      continue;
    }
    Column *const column = &search->columns[i];
    ++column->values;
    if (column->may_read && column->form != ValueForm::kNotRead) {
      LookAtValue(search->rule->keys, row->tts_values[attribute - 1], *column,
                  &column->tally);
    }
  }
}

// Vanished is for the rows of `table` that came and went.
struct Vanished {
  Relation table;
  Search *search;
};

bool LookAtVanished(HeapTuple row, void *state) {
  const auto *const vanished = static_cast<const Vanished *>(state);
  const Search &search = *vanished->search;
  for (int i = 0; i < search.count; ++i) {
    Column *const column = &search.columns[i];
    const AttrNumber attribute = search.attributes[i];
    bool is_null = true;
    const Datum value =
        attribute == 0
            ? Datum{0}
            : heap_getattr(row, attribute, RelationGetDescr(vanished->table),
                           &is_null);
    if (!is_null && column->may_read && column->form != ValueForm::kNotRead) {
      LookAtValue(search.rule->keys, value, *column, &column->vanished);
    }
  }
  return true;
}

// NextRow is a function of the server's that gets the next row of a scan.
using NextRow = bool (*)(TableScanDesc scan, ScanDirection direction,
                         TupleTableSlot *row);

void ReadScan(TableScanDesc scan, NextRow next, TupleTableSlot *row,
              MemoryContext row_memory, Search *search) {
  while (next(scan, ForwardScanDirection, row)) {
    CHECK_FOR_INTERRUPTS();
    const MemoryContext caller_memory = MemoryContextSwitchTo(row_memory);
    LookAtRow(row, search);
    MemoryContextSwitchTo(caller_memory);
    MemoryContextReset(row_memory);
  }
  table_endscan(scan);
}

// ReadSample reads some pages of `table`, chosen at random: at least one.
void ReadSample(Relation table, TupleTableSlot *row, MemoryContext row_memory,
                BlockNumber pages, Search *search) {
  const auto size = static_cast<int>(std::min(
      std::ceil(static_cast<double>(pages) * search->rule->percent / 100),
      static_cast<double>(PG_INT32_MAX)));
  BlockSamplerData sampler;
  BlockSampler_Init(&sampler, pages, size,
                    pg_prng_uint32(&pg_global_prng_state));
  while (BlockSampler_HasMore(&sampler)) {
    const BlockNumber page = BlockSampler_Next(&sampler);
    ItemPointerData first = PlaceOf(page, 0);
    ItemPointerData last = PlaceOf(page, MaxOffsetNumber);
    ReadScan(BeginPageRangeScan(table, GetActiveSnapshot(), &first, &last),
             table_scan_getnextslot_tidrange, row, row_memory, search);
    ++search->pages->read;
  }
}

void FindAttributes(Relation table, Search *search) {
  search->last = 0;
  for (int i = 0; i < search->count; ++i) {
    const AttrNumber attribute =
        get_attnum(RelationGetRelid(table), search->columns[i].name);
    search->attributes[i] = static_cast<AttrNumber>(Max(attribute, 0));
    search->last = std::max(search->last, search->attributes[i]);
  }
}

void ReadTable(Relation table, Search *search) {
  FindAttributes(table, search);
  const BlockNumber pages = RelationGetNumberOfBlocks(table);
  ++search->pages->tables;
  search->pages->pages += pages;
  if (pages == 0) {
    return;
  }
  const MemoryContext row_memory = AllocSetContextCreate(
      CurrentMemoryContext, "pg_fernet row", ALLOCSET_DEFAULT_SIZES);
  TupleTableSlot *const row = table_slot_create(table, nullptr);
  if (search->rule->percent < 100) {
    ReadSample(table, row, row_memory, pages, search);
  } else {
    ReadScan(BeginWholeScan(table, GetActiveSnapshot()), table_scan_getnextslot,
             row, row_memory, search);
    search->pages->read += pages;
  }
  ExecDropSingleTupleTableSlot(row);
  MemoryContextDelete(row_memory);
  if (search->rule->since != nullptr) {
    Vanished vanished = {table, search};
    VisitVanished(table, search->rule->since, LookAtVanished, &vanished);
  }
}

// ReadTables reads the tables of `list`, which are locked.
void ReadTables(const List *list, Search *search) {
  for (int i = 0; i < list_length(list); ++i) {
    const Oid table = list_nth_oid(list, i);
    const Relation relation = relation_open(table, NoLock);
    const char *const why = WhyNotRead(relation);
    if (why != nullptr) {
      TellNotRead(search, table, why);
    } else if (relation->rd_rel->relkind != RELKIND_PARTITIONED_TABLE) {
      ReadTable(relation, search);
    }
    relation_close(relation, NoLock);
  }
}

// WithRows is `list` without partitioned tables.
List *WithRows(const List *list) {
  List *tables = NIL;
  for (int i = 0; i < list_length(list); ++i) {
    if (get_rel_relkind(list_nth_oid(list, i)) != RELKIND_PARTITIONED_TABLE) {
      tables = lappend_oid(tables, list_nth_oid(list, i));
    }
  }
  return tables;
}

void TellColumns(Search *search) {
  for (const Column &column :
       std::span(search->columns, static_cast<std::size_t>(search->count))) {
    SearchedPlace place = {.relation = search->relation,
                           .column = column.name,
                           .type = column.type_name};
    if (!column.may_read) {
      place.not_read = "This role may not read it.";
    } else if (column.form == ValueForm::kNotRead && column.values > 0) {
      place.not_read = "Values of this type are not searched.";
    } else if (column.tally.has_any() || column.vanished.has_any()) {
      place.tally = &column.tally;
      place.vanished = &column.vanished;
    } else {
      continue;
    }
    search->rule->sink(place, search->rule->state);
  }
}

// ReadToProve reads in the snapshot of the rule, and compares the number of
// values with what a query counts.
void ReadToProve(List *list, Relation relation, Search *search) {
  ReadTables(list, search);
  if (search->has_gaps || !RelationIsPopulated(relation)) {
    return;
  }
  const std::span<const Column> columns(
      search->columns, static_cast<std::size_t>(search->count));
  const auto column = std::ranges::find_if(columns, &Column::may_read);
  Reading reading = {};
  reading.tables = WithRows(list);
  reading.snapshot = search->rule->snapshot;
  RequireSameCount(reading, search->relation, {&column->name, 1},
                   &column->values);
}

void ReadInNewSnapshot(const List *list, Search *search) {
  const Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  PushActiveSnapshot(snapshot);
  ReadTables(list, search);
  PopActiveSnapshot();
  UnregisterSnapshot(snapshot);
}

void SearchOpen(Relation relation, Search *search) {
  DescribeColumns(relation, search);
  if (search->count == 0) {
    return;
  }
  const char *const own = WhyNotRead(relation);
  const char *const why = own != nullptr ? own : WhyNotAllowed(*search);
  if (why != nullptr) {
    TellNotRead(search, search->relation, why);
    return;
  }
  const bool is_alone = relation->rd_rel->relkind != RELKIND_PARTITIONED_TABLE;
  List *const list = is_alone ? list_make1_oid(search->relation)
                              : find_all_inheritors(search->relation,
                                                    AccessShareLock, nullptr);
  if (search->rule->snapshot == nullptr) {
    ReadInNewSnapshot(list, search);
    for (int i = 0; i < list_length(list); ++i) {
      const Oid table = list_nth_oid(list, i);
      if (table != search->relation) {
        UnlockRelationOid(table, AccessShareLock);
      }
    }
  } else {
    ReadToProve(list, relation, search);
  }
  TellColumns(search);
}

}  // namespace

bool CannotHoldTokens(Oid type) {
  check_stack_depth();
  switch (FormOf(type)) {
    case ValueForm::kWithoutTokens:
      return true;
    case ValueForm::kArray:
      return CannotHoldTokens(get_element_type(type));
    case ValueForm::kComposite:
      return CannotRowHoldTokens(type);
    case ValueForm::kRange:
      return CannotHoldTokens(get_range_subtype(type));
    case ValueForm::kMultirange:
      return CannotHoldTokens(get_multirange_range(type));
    case ValueForm::kDomain:
      return CannotHoldTokens(getBaseType(type));
    default:
      return false;
  }
}

void SearchTable(Oid relation, const SearchRule &rule, PageCount *pages) {
  const bool keeps_lock = rule.snapshot != nullptr;
  const Relation table = try_relation_open(relation, AccessShareLock);
  if (table == nullptr) {
    return;  // it is gone
  }
  const MemoryContext memory = AllocSetContextCreate(
      CurrentMemoryContext, "pg_fernet table", ALLOCSET_DEFAULT_SIZES);
  const MemoryContext caller_memory = MemoryContextSwitchTo(memory);
  Search search = {.rule = &rule,
                   .pages = pages,
                   .relation = relation,
                   .count = 0,
                   .columns = nullptr,
                   .attributes = nullptr,
                   .last = 0,
                   .has_gaps = false};
  SearchOpen(table, &search);
  MemoryContextSwitchTo(caller_memory);
  MemoryContextDelete(memory);
  relation_close(table, keeps_lock ? NoLock : AccessShareLock);
}

}  // namespace fernet::pg
