#include "pg/value/leaves.hpp"

#include <algorithm>

#include "core/recogniser.hpp"
#include "pg/server/raise.hpp"
#include "pg/value/json_tree.hpp"
#include "pg/value/value_form.hpp"

namespace fernet::pg {
namespace {

// DomainValue is a new value of a domain.
struct DomainValue {
  Datum value;
  Oid domain;
};

varlena *Visit(LeafVisitor *visitor, std::span<const char> leaf) {
  return visitor->is_done || !MayHoldPlaces(leaf)
             ? nullptr
             : visitor->visit(visitor, leaf);
}

Datum VisitText(Datum value, LeafVisitor *visitor) {
  varlena *const changed =
      Visit(visitor, ViewText(PG_DETOAST_DATUM_PACKED(value)));
  return changed == nullptr ? value : PointerGetDatum(changed);
}

// RequireWellFormed raises an error if `xml` is not well-formed: a token that
// is the name of an element would not be the same at its end. The server's own
// error would quote it.
void RequireWellFormed(const varlena *xml) {
  const MemoryContext memory = CurrentMemoryContext;
  const int level = NewGUCNestLevel();
  static_cast<void>(set_config_option("xmloption", "content", PGC_USERSET,
                                      PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
                                      false));
  volatile bool is_well_formed = true;
  PG_TRY();
  {
    DirectFunctionCall1(
        xml_in, CStringGetDatum(text_to_cstring(const_cast<varlena *>(xml))));
  }
  PG_CATCH();
  {
    if (ERRCODE_TO_CATEGORY(geterrcode()) != ERRCODE_DATA_EXCEPTION) {
      PG_RE_THROW();
    }
    MemoryContextSwitchTo(memory);
    FlushErrorState();
    is_well_formed = false;
  }
  PG_END_TRY();
  AtEOXact_GUC(true, level);
  if (!is_well_formed) {
    FERNET_RAISE(
        ERRCODE_INVALID_XML_CONTENT,
        errmsg("XML with a rotated token is not well-formed"),
        errdetail("A token is the name of an element or of an attribute."));
  }
}

Datum VisitXml(Datum value, LeafVisitor *visitor) {
  varlena *const changed =
      Visit(visitor, ViewText(PG_DETOAST_DATUM_PACKED(value)));
  if (changed == nullptr) {
    return value;
  }
  RequireWellFormed(changed);
  return PointerGetDatum(changed);
}

// VisitHstore goes by the text form. It escapes nothing that a token is made
// of, so all leaves can be visited at once.
Datum VisitHstore(Datum value, Oid type, LeafVisitor *visitor) {
  const Datum plain = PointerGetDatum(PG_DETOAST_DATUM_PACKED(value));
  if (!MayHoldPlaces(ViewText(DatumGetTextPP(plain)))) {
    return value;
  }
  Oid function = InvalidOid;
  bool is_varlena = false;
  getTypeOutputInfo(type, &function, &is_varlena);
  char *const text = OidOutputFunctionCall(function, plain);
  varlena *const changed = Visit(visitor, {text, strlen(text)});
  if (changed == nullptr) {
    return value;
  }
  Oid parameter = InvalidOid;
  getTypeInputInfo(type, &function, &parameter);
  return OidInputFunctionCall(function, text_to_cstring(changed), parameter,
                              -1);
}

varlena *VisitString(LeafVisitor *visitor, const JsonbValue &string) {
  return Visit(visitor, {string.val.string.val,
                         static_cast<std::size_t>(string.val.string.len)});
}

// IsBefore is the order of keys in jsonb.
bool IsBefore(const JsonbPair &a, const JsonbPair &b) {
  const auto &left = a.key.val.string;
  const auto &right = b.key.val.string;
  return left.len != right.len ? left.len < right.len
                               : memcmp(left.val, right.val,
                                        static_cast<std::size_t>(left.len)) < 0;
}

void SortKeys(JsonbValue *item) {
  check_stack_depth();
  CHECK_FOR_INTERRUPTS();
  if (item->type == jbvArray) {
    for (JsonbValue &element :
         std::span(item->val.array.elems,
                   static_cast<std::size_t>(item->val.array.nElems))) {
      SortKeys(&element);
    }
  } else if (item->type == jbvObject) {
    const std::span pairs(item->val.object.pairs,
                          static_cast<std::size_t>(item->val.object.nPairs));
    for (JsonbPair &pair : pairs) {
      SortKeys(&pair.value);
    }
    std::ranges::sort(pairs, IsBefore);
  }
}

// NewDocument is a copy of `old`, made when the first string changes: a new
// string is as long as the old one, so it is written over it.
struct NewDocument {
  Jsonb *old;
  Jsonb *copy;
  bool has_new_keys;
};

void WriteOver(NewDocument *document, const JsonbValue &string,
               const varlena *value) {
  if (document->copy == nullptr) {
    document->copy = static_cast<Jsonb *>(palloc(VARSIZE(document->old)));
    memcpy(document->copy, document->old, VARSIZE(document->old));
  }
  const auto offset =
      string.val.string.val - reinterpret_cast<char *>(document->old);
  memcpy(reinterpret_cast<char *>(document->copy) + offset, VARDATA_ANY(value),
         VARSIZE_ANY_EXHDR(value));
}

void VisitItems(NewDocument *document, LeafVisitor *visitor) {
  JsonbIterator *iterator = JsonbIteratorInit(&document->old->root);
  JsonbValue item;
  while (!visitor->is_done) {
    CHECK_FOR_INTERRUPTS();
    const JsonbIteratorToken token = JsonbIteratorNext(&iterator, &item, false);
    if (token == WJB_DONE) {
      return;
    }
    const bool is_item =
        token == WJB_KEY || token == WJB_VALUE || token == WJB_ELEM;
    const varlena *const changed = is_item && item.type == jbvString
                                       ? VisitString(visitor, item)
                                       : nullptr;
    if (changed != nullptr) {
      WriteOver(document, item, changed);
      document->has_new_keys = document->has_new_keys || token == WJB_KEY;
    }
  }
}

Datum VisitJsonb(Datum value, LeafVisitor *visitor) {
  NewDocument document = {DatumGetJsonbP(value), nullptr, false};
  if (!MayHoldPlaces(
          ViewText(reinterpret_cast<const varlena *>(document.old)))) {
    return value;
  }
  VisitItems(&document, visitor);
  if (document.copy == nullptr) {
    return value;
  }
  if (!document.has_new_keys) {
    return JsonbPGetDatum(document.copy);
  }
  JsonbValue tree = UnpackJsonb(document.copy);
  SortKeys(&tree);
  return JsonbPGetDatum(JsonbValueToJsonb(&tree));
}

// IsPlain says whether the bytes of a value of `form` stand in an array as they
// are: fields of a row may be compressed.
bool IsPlain(ValueForm form) {
  return form == ValueForm::kText || form == ValueForm::kJson ||
         form == ValueForm::kJsonb || form == ValueForm::kXml;
}

Datum VisitArray(Datum value, Oid type, LeafVisitor *visitor) {
  const Oid element = get_element_type(type);
  const ValueForm form = FormOf(element);
  if (form == ValueForm::kWithoutTokens) {
    return value;
  }
  ArrayType *const array = DatumGetArrayTypeP(value);
  if (IsPlain(form) &&
      !MayHoldPlaces(ViewText(reinterpret_cast<const varlena *>(array)))) {
    return value;
  }
  int16 length = 0;
  bool by_value = false;
  char align = 0;
  get_typlenbyvalalign(element, &length, &by_value, &align);
  Datum *items = nullptr;
  bool *nulls = nullptr;
  int size = 0;
  deconstruct_array(array, element, length, by_value, align, &items, &nulls,
                    &size);
  bool has_changed = false;
  for (int i = 0; i < size && !visitor->is_done; ++i) {
    CHECK_FOR_INTERRUPTS();
    if (!nulls[i]) {
      const Datum item = VisitLeaves(items[i], element, visitor);
      has_changed = has_changed || item != items[i];
      items[i] = item;
    }
  }
  return has_changed ? PointerGetDatum(construct_md_array(
                           items, nulls, ARR_NDIM(array), ARR_DIMS(array),
                           ARR_LBOUND(array), element, length, by_value, align))
                     : value;
}

// VisitFields visits the fields of a row; returns whether one has changed.
bool VisitFields(TupleDesc row, std::span<Datum> values,
                 std::span<const bool> nulls, LeafVisitor *visitor) {
  bool has_changed = false;
  for (std::size_t i = 0; i < values.size() && !visitor->is_done; ++i) {
    const auto *const column = TupleDescAttr(row, static_cast<int>(i));
    if (nulls[i] || column->attisdropped) {
      continue;
    }
    const Datum field = VisitLeaves(values[i], column->atttypid, visitor);
    has_changed = has_changed || field != values[i];
    values[i] = field;
  }
  return has_changed;
}

Datum VisitComposite(Datum value, LeafVisitor *visitor) {
  const HeapTupleHeader header = DatumGetHeapTupleHeader(value);
  const TupleDesc row = lookup_rowtype_tupdesc(
      HeapTupleHeaderGetTypeId(header), HeapTupleHeaderGetTypMod(header));
  HeapTupleData tuple = {};
  tuple.t_len = HeapTupleHeaderGetDatumLength(header);
  ItemPointerSetInvalid(&tuple.t_self);
  tuple.t_data = header;
  const auto size = static_cast<std::size_t>(row->natts);
  auto *const values =
      static_cast<Datum *>(palloc(Max(size, 1) * sizeof(Datum)));
  auto *const nulls = static_cast<bool *>(palloc(Max(size, 1) * sizeof(bool)));
  heap_deform_tuple(&tuple, row, values, nulls);
  const bool has_changed =
      VisitFields(row, {values, size}, {nulls, size}, visitor);
  const Datum changed =
      has_changed ? HeapTupleGetDatum(heap_form_tuple(row, values, nulls))
                  : value;
  ReleaseTupleDesc(row);
  return changed;
}

bool VisitBound(RangeBound *bound, Oid type, LeafVisitor *visitor) {
  if (bound->infinite) {
    return false;
  }
  const Datum changed = VisitLeaves(bound->val, type, visitor);
  const bool has_changed = changed != bound->val;
  bound->val = changed;
  return has_changed;
}

RangeType *VisitRange(RangeType *range, TypeCacheEntry *type,
                      LeafVisitor *visitor) {
  RangeBound lower;
  RangeBound upper;
  bool is_empty = false;
  range_deserialize(type, range, &lower, &upper, &is_empty);
  if (is_empty) {
    return range;
  }
  const Oid element = type->rngelemtype->type_id;
  const bool lower_changed = VisitBound(&lower, element, visitor);
  const bool upper_changed = VisitBound(&upper, element, visitor);
  return lower_changed || upper_changed ? MakeRange(type, &lower, &upper)
                                        : range;
}

Datum VisitRange(Datum value, Oid type, LeafVisitor *visitor) {
  TypeCacheEntry *const entry = lookup_type_cache(type, TYPECACHE_RANGE_INFO);
  RangeType *const range = DatumGetRangeTypeP(value);
  RangeType *const changed = VisitRange(range, entry, visitor);
  return changed == range ? value : RangeTypePGetDatum(changed);
}

// Join is the multirange of `ranges`. Those that overlap would become one, and
// the tokens between them would be lost.
Datum Join(Oid type, TypeCacheEntry *range_type,
           std::span<RangeType *> ranges) {
  const auto size = static_cast<int32>(ranges.size());
  MultirangeType *const joined =
      make_multirange(type, range_type, size, ranges.data());
  if (joined->rangeCount != static_cast<uint32>(size)) {
    FERNET_RAISE(ERRCODE_DATA_EXCEPTION,
                 errmsg("ranges of a multirange overlap after the rotation of "
                        "their bounds"));
  }
  return MultirangeTypePGetDatum(joined);
}

Datum VisitMultirange(Datum value, Oid type, LeafVisitor *visitor) {
  TypeCacheEntry *const range_type =
      lookup_type_cache(type, TYPECACHE_MULTIRANGE_INFO)->rngtype;
  int32 size = 0;
  RangeType **ranges = nullptr;
  multirange_deserialize(range_type, DatumGetMultirangeTypeP(value), &size,
                         &ranges);
  bool has_changed = false;
  for (int32 i = 0; i < size && !visitor->is_done; ++i) {
    CHECK_FOR_INTERRUPTS();
    RangeType *const range = VisitRange(ranges[i], range_type, visitor);
    has_changed = has_changed || range != ranges[i];
    ranges[i] = range;
  }
  return has_changed
             ? Join(type, range_type, {ranges, static_cast<std::size_t>(size)})
             : value;
}

Datum VisitDomain(Datum value, Oid type, LeafVisitor *visitor) {
  const Datum changed = VisitLeaves(value, getBaseType(type), visitor);
  if (changed != value) {
    auto *const entry = static_cast<DomainValue *>(palloc(sizeof(DomainValue)));
    *entry = {changed, type};
    visitor->changed_domains = lappend(visitor->changed_domains, entry);
  }
  return changed;
}

}  // namespace

Datum VisitLeaves(Datum value, Oid type, LeafVisitor *visitor) {
  check_stack_depth();
  switch (FormOf(type)) {
    case ValueForm::kWithoutTokens:
      return value;
    case ValueForm::kText:
    case ValueForm::kJson:
      return VisitText(value, visitor);
    case ValueForm::kJsonb:
      return VisitJsonb(value, visitor);
    case ValueForm::kHstore:
      return VisitHstore(value, type, visitor);
    case ValueForm::kXml:
      return VisitXml(value, visitor);
    case ValueForm::kArray:
      return VisitArray(value, type, visitor);
    case ValueForm::kComposite:
      return VisitComposite(value, visitor);
    case ValueForm::kRange:
      return VisitRange(value, type, visitor);
    case ValueForm::kMultirange:
      return VisitMultirange(value, type, visitor);
    case ValueForm::kDomain:
      return VisitDomain(value, type, visitor);
    case ValueForm::kNotRead:
      visitor->not_read =
          OidIsValid(visitor->not_read) ? visitor->not_read : type;
      return value;
  }
  return value;
}

void CheckDomains(const LeafVisitor &visitor) {
  for (int i = 0; i < list_length(visitor.changed_domains); ++i) {
    const auto *const changed =
        static_cast<const DomainValue *>(list_nth(visitor.changed_domains, i));
    domain_check(changed->value, false, changed->domain, nullptr, nullptr);
  }
}

}  // namespace fernet::pg
