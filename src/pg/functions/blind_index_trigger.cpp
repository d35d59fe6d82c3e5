// SQL function fernet_blind_index_trigger, which keeps the blind index of a
// column as rows are written.

#include <cstdlib>

#include "pg/column/check_domain.hpp"
#include "pg/column/column_target.hpp"
#include "pg/column/page_scan.hpp"
#include "pg/column/rewritten.hpp"
#include "pg/functions/row_trigger.hpp"
#include "pg/report/events.hpp"
#include "pg/server/raise.hpp"
#include "pg/value/blind_index_value.hpp"
#include "pg/value/opened_value.hpp"
#include "pg/value/text_encoding.hpp"

extern "C" {
#include "common/hashfn.h"
}

namespace fernet::pg {
namespace {

// Indexing is the arguments of the trigger, looked up once for a statement, and
// what the last row of an UPDATE has kept.
struct Indexing {
  Indexing *next;
  MemoryContextCallback unlink;
  MemoryContext memory;  // of the statement
  Oid root;              // of the table, a partition; otherwise InvalidOid
  ColumnTarget source;
  AttrNumber index;
  Oid index_domain;  // InvalidOid unless the type of the index is a domain
  BlindIndexForm form;
  varlena *kept_source;  // null if nothing was kept
  std::uint64_t kept_index;
};

// partitions is a list of LinkUntilReset.
constinit Indexing *partitions = nullptr;

constexpr RowTrigger kTrigger = {"fernet_blind_index_trigger",
                                 "'source', 'index', 'context'"};

const TriggerData *RequireTrigger(FunctionCallInfo fcinfo) {
  const TriggerData *const call = RequireRowTrigger(fcinfo, kTrigger);
  const int count = call->tg_trigger->tgnargs;
  if (count != 3 && count != 4) {
    RefuseCall(kTrigger,
               "needs a source, an index, a context and, if any, bits");
  }
  return call;
}

void ForgetKept(Indexing *indexing) {
  if (indexing->kept_source != nullptr) {
    WipeAndFree(indexing->kept_source, nullptr);
    indexing->kept_source = nullptr;
  }
}

// FindIndexColumn looks up the column `name`, which is to hold blind indexes.
void FindIndexColumn(Relation relation, const char *name, Indexing *out) {
  const AttrNumber attribute = get_attnum(RelationGetRelid(relation), name);
  if (attribute <= 0) {
    FERNET_RAISE(ERRCODE_UNDEFINED_COLUMN,
                 errmsg("column \"%s\" of relation \"%s\" does not exist", name,
                        RelationGetRelationName(relation)));
  }
  RequireIndexColumn(relation, attribute);
  const Oid type =
      TupleDescAttr(RelationGetDescr(relation), attribute - 1)->atttypid;
  out->index = attribute;
  out->index_domain = getBaseType(type) == type ? InvalidOid : type;
}

std::int32_t BitsOf(const Trigger *trigger) {
  if (trigger->tgnargs < 4) {
    return static_cast<std::int32_t>(8 * kMaxBlindIndexSize);
  }
  char *end = nullptr;
  const long bits = strtol(trigger->tgargs[3], &end, 10);
  if (*end != '\0' || end == trigger->tgargs[3] || bits < 0 || bits > 999) {
    RefuseCall(kTrigger, "needs a number of bits as its fourth argument");
  }
  return static_cast<std::int32_t>(bits);
}

Indexing *NewIndexing(const TriggerData *call, MemoryContext memory) {
  const Trigger *const trigger = call->tg_trigger;
  auto *const indexing =
      static_cast<Indexing *>(MemoryContextAllocZero(memory, sizeof(Indexing)));
  DescribeOpenSource(call->tg_relation, trigger->tgargs[0],
                     ColumnAccess::kWrite, &indexing->source);
  FindIndexColumn(call->tg_relation, trigger->tgargs[1], indexing);
  const MemoryContext caller = MemoryContextSwitchTo(memory);
  indexing->form =
      MakeBlindIndexForm(cstring_to_text(trigger->tgargs[2]), BitsOf(trigger));
  MemoryContextSwitchTo(caller);
  indexing->memory = memory;
  indexing->root = RootOf(call->tg_relation);
  if (OidIsValid(indexing->root)) {
    LinkUntilReset<Indexing, &partitions>(indexing);
  }
  return indexing;
}

Indexing *FindIndexing(FunctionCallInfo fcinfo, const TriggerData *call) {
  if (fcinfo->flinfo->fn_extra == nullptr) {
    fcinfo->flinfo->fn_extra = NewIndexing(call, fcinfo->flinfo->fn_mcxt);
  }
  return static_cast<Indexing *>(fcinfo->flinfo->fn_extra);
}

// Row is a row that is about to be stored.
struct Row {
  const TriggerData *call;
  HeapTuple tuple;

  bool is_insert() const { return TRIGGER_FIRED_BY_INSERT(call->tg_event); }
  TupleDesc descriptor() const { return RelationGetDescr(call->tg_relation); }
};

// ValueIn is a value as `tuple`, of the table of `row`, stores it; null for
// NULL.
varlena *ValueIn(const Row &row, HeapTuple tuple, AttrNumber attribute) {
  bool is_null = false;
  const Datum value =
      heap_getattr(tuple, attribute, row.descriptor(), &is_null);
  return is_null ? nullptr
                 : reinterpret_cast<varlena *>(DatumGetPointer(value));
}

// DigestOf is of a blind index as a row stores it.
std::uint64_t DigestOf(varlena *index) {
  if (index == nullptr) {
    return 0;
  }
  const auto bytes = ViewBytes(pg_detoast_datum_packed(index));
  return hash_bytes_extended(bytes.data(), static_cast<int>(bytes.size()), 0);
}

std::uint64_t DigestIn(const Indexing &indexing, const Row &row) {
  return DigestOf(ValueIn(row, row.tuple, indexing.index));
}

// Keep remembers that the row keeps the index that it has for `old_source`.
void Keep(Indexing *indexing, const Row &row, varlena *old_source) {
  if (!OidIsValid(indexing->root) || row.is_insert()) {
    return;
  }
  const MemoryContext caller = MemoryContextSwitchTo(indexing->memory);
  indexing->kept_source = pg_detoast_datum_copy(old_source);
  MemoryContextSwitchTo(caller);
  indexing->kept_index = DigestIn(*indexing, row);
}

// KeptSource is the source that a row of another partition had which kept the
// index of this one: perhaps the row was moved here. Null if there is none. If
// it is another row, the index is that of its source all the same.
varlena *KeptSource(const Indexing &indexing, const Row &row) {
  if (!OidIsValid(indexing.root)) {
    return nullptr;
  }
  const std::uint64_t digest = DigestIn(indexing, row);
  for (const Indexing *other = partitions; other != nullptr;
       other = other->next) {
    if (other->root == indexing.root && other->memory == indexing.memory &&
        other->kept_source != nullptr && other->kept_index == digest) {
      return other->kept_source;
    }
  }
  return nullptr;
}

// OldSource is the source that the row had, as it was stored, or null.
varlena *OldSource(const Indexing &indexing, const Row &row) {
  return row.is_insert()
             ? KeptSource(indexing, row)
             : ValueIn(row, row.call->tg_trigtuple, indexing.source.attribute);
}

SourceForm FormOf(const ColumnTarget &source) {
  return source.value_type == TEXTOID ? SourceForm::kText : SourceForm::kBytes;
}

bool HadPlaintext(const ColumnTarget &source, varlena *old,
                  const varlena *plaintext) {
  const StoredValue value = ReadStored(source, old);
  const bool same = HasPlaintext(value.value, FormOf(source), plaintext);
  WipeStored(value);
  return same;
}

// IndexOf is the blind index of `plaintext`, or null without an index key.
varlena *IndexOf(const BlindIndexForm &form, const varlena *plaintext) {
  if (!session_keys::HasKey(KeySetting::kIndexKey)) {
    return nullptr;
  }
  const IndexKeys keys = session_keys::CurrentIndexKeys();
  varlena *const index = BlindIndexOf(keys, 0, form, plaintext);
  events::IndexKeyUsed("blind index", keys.list->keys()[0]);
  return index;
}

// IsAsBefore says whether no key is needed to know that `source` has the
// plaintext of `old`: it has the same bytes, or a job is rewriting it.
bool IsAsBefore(const Indexing &indexing, const Row &row, const varlena *old,
                const varlena *source) {
  return SameBytes(old, source) ||
         (!row.is_insert() &&
          IsRewritten(row.call->tg_relation, *row.call->tg_trigtuple,
                      indexing.source.attribute, source));
}

// NewIndex is the blind index for `source`; null if `old`, unless it is null,
// has the same plaintext.
varlena *NewIndex(const Indexing &indexing, const Row &row, varlena *old,
                  varlena *source) {
  if (old != nullptr && IsAsBefore(indexing, row, old, source)) {
    return nullptr;
  }
  const StoredValue value = ReadStored(indexing.source, source);
  varlena *const plaintext = PlaintextOf(value.value, FormOf(indexing.source));
  const bool is_same =
      old != nullptr && HadPlaintext(indexing.source, old, plaintext);
  varlena *const index = is_same ? nullptr : IndexOf(indexing.form, plaintext);
  WipeAndFree(plaintext, value.value);
  WipeStored(value);
  if (index == nullptr && !is_same) {
    static_cast<void>(session_keys::CurrentIndexKeys());  // raises PF001
  }
  return index;
}

// Store is the row with `index`, or NULL.
HeapTuple Store(const Indexing &indexing, const Row &row,
                const varlena *index) {
  int column = indexing.index;
  Datum value = PointerGetDatum(index);
  bool is_null = index == nullptr;
  if (OidIsValid(indexing.index_domain)) {
    CheckDomain(indexing.index_domain, value, is_null);
  }
  return heap_modify_tuple_by_cols(row.tuple, row.descriptor(), 1, &column,
                                   &value, &is_null);
}

HeapTuple IndexRow(Indexing *indexing, const Row &row) {
  varlena *const source = ValueIn(row, row.tuple, indexing->source.attribute);
  ForgetKept(indexing);
  if (source == nullptr) {
    return Store(*indexing, row, nullptr);
  }
  varlena *const old = OldSource(*indexing, row);
  const varlena *const index = NewIndex(*indexing, row, old, source);
  if (index != nullptr) {
    return Store(*indexing, row, index);
  }
  Keep(indexing, row, old);
  return row.tuple;
}

}  // namespace
}  // namespace fernet::pg

// fernet_blind_index_trigger('source', 'index', 'context' [, 'bits'])
//   returns trigger
FERNET_SQL_FUNCTION(fernet_blind_index_trigger) {
  namespace pg = fernet::pg;
  const TriggerData *const call = pg::RequireTrigger(fcinfo);
  pg::Indexing *const indexing = pg::FindIndexing(fcinfo, call);
  const pg::Row row = {call, TRIGGER_FIRED_BY_INSERT(call->tg_event)
                                 ? call->tg_trigtuple
                                 : call->tg_newtuple};
  return PointerGetDatum(pg::IndexRow(indexing, row));
}
