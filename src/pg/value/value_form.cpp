#include "pg/value/value_form.hpp"

#include <string_view>

#include "core/recogniser.hpp"

namespace fernet::pg {
namespace {

// IsFunction says whether `function` is the C function `name` of `language`.
// Only superusers make such functions, and base types.
bool IsFunction(Oid function, Oid language, std::string_view name) {
  const HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
  if (!HeapTupleIsValid(tuple)) {
    return false;
  }
  const auto *const row =
      reinterpret_cast<const FormData_pg_proc *>(GETSTRUCT(tuple));
  bool is_null = false;
  const Datum source =
      SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &is_null);
  const bool is_it = row->prolang == language && !is_null &&
                     TextDatumGetCString(source) == name;
  ReleaseSysCache(tuple);
  return is_it;
}

ValueForm FormOfOther(const FormData_pg_type &type) {
  if (type.typlen > 0 && static_cast<std::size_t>(type.typlen) < kTokenDigits) {
    return ValueForm::kWithoutTokens;
  }
  if (type.typlen != -1) {
    return ValueForm::kNotRead;
  }
  if (IsFunction(type.typinput, INTERNALlanguageId, "textin") ||
      IsFunction(type.typinput, INTERNALlanguageId, "byteain")) {
    return ValueForm::kText;
  }
  return IsFunction(type.typinput, ClanguageId, "hstore_in")
             ? ValueForm::kHstore
             : ValueForm::kNotRead;
}

ValueForm FormOfRow(const FormData_pg_type &type) {
  switch (type.typtype) {
    case TYPTYPE_DOMAIN:
      return ValueForm::kDomain;
    case TYPTYPE_COMPOSITE:
      return ValueForm::kComposite;
    case TYPTYPE_ENUM:
      return ValueForm::kWithoutTokens;
    case TYPTYPE_RANGE:
      return ValueForm::kRange;
    case TYPTYPE_MULTIRANGE:
      return ValueForm::kMultirange;
    default:
      return IsTrueArrayType(&type) ? ValueForm::kArray : FormOfOther(type);
  }
}

bool MayRowHoldTokens(Oid type) {
  // No column has the type record; if one had, nobody would know its fields.
  bool may_hold = type == RECORDOID;
  if (may_hold) {
    return may_hold;
  }
  const TupleDesc row = lookup_rowtype_tupdesc(type, -1);
  for (int i = 0; i < row->natts && !may_hold; ++i) {
    const auto *const column = TupleDescAttr(row, i);
    may_hold = !column->attisdropped && MayHoldTokens(column->atttypid);
  }
  ReleaseTupleDesc(row);
  return may_hold;
}

}  // namespace

bool MayHoldTokens(Oid type) {
  check_stack_depth();
  switch (FormOf(type)) {
    case ValueForm::kWithoutTokens:
    case ValueForm::kNotRead:
      return false;
    case ValueForm::kArray:
      return MayHoldTokens(get_element_type(type));
    case ValueForm::kComposite:
      return MayRowHoldTokens(type);
    case ValueForm::kRange:
      return MayHoldTokens(get_range_subtype(type));
    case ValueForm::kMultirange:
      return MayHoldTokens(get_multirange_range(type));
    case ValueForm::kDomain:
      return MayHoldTokens(getBaseType(type));
    default:
      return true;
  }
}

bool IsHolder(Oid type) {
  return FormOf(type) != ValueForm::kText && MayHoldTokens(type);
}

ValueForm FormOf(Oid type) {
  switch (type) {
    case TEXTOID:
    case VARCHAROID:
    case BPCHAROID:
    case BYTEAOID:
      return ValueForm::kText;
    case JSONOID:
      return ValueForm::kJson;
    case JSONBOID:
      return ValueForm::kJsonb;
    case XMLOID:
      return ValueForm::kXml;
    case RECORDOID:
      return ValueForm::kComposite;
    case BITOID:
    case CIDROID:
    case INETOID:
    case INT2VECTOROID:
    case NUMERICOID:
    case OIDVECTOROID:
    case PATHOID:
    case POLYGONOID:
    case VARBITOID:
      return ValueForm::kWithoutTokens;
    default:
      break;
  }
  const HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
  if (!HeapTupleIsValid(tuple)) {
    return ValueForm::kNotRead;
  }
  const ValueForm form =
      FormOfRow(*reinterpret_cast<const FormData_pg_type *>(GETSTRUCT(tuple)));
  ReleaseSysCache(tuple);
  return form;
}

}  // namespace fernet::pg
