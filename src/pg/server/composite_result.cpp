#include "pg/server/composite_result.hpp"

#include "pg/server/raise.hpp"

namespace fernet::pg {

Datum CompositeResult(FunctionCallInfo fcinfo, Datum *values, bool *nulls) {
  TupleDesc descriptor = nullptr;
  if (get_call_result_type(fcinfo, nullptr, &descriptor) !=
      TYPEFUNC_COMPOSITE) {
    FERNET_RAISE(
        ERRCODE_FEATURE_NOT_SUPPORTED,
        errmsg("function returning record called in context that cannot "
               "accept type record"));
  }
  return HeapTupleGetDatum(
      heap_form_tuple(BlessTupleDesc(descriptor), values, nulls));
}

}  // namespace fernet::pg
