#include "pg/server/result_rows.hpp"

#include "pg/server/raise.hpp"

namespace fernet::pg {

void ResultRow::Text(const char *text) {
  if (text == nullptr) {
    Null();
  } else {
    Add(CStringGetTextDatum(text));
  }
}

void ResultRow::Add(Datum value, bool is_null) {
  Assert(count_ < kMaxColumns);
  values_[count_] = value;
  nulls_[count_] = is_null;
  ++count_;
}

Datum ResultRow::AsResult(FunctionCallInfo fcinfo) {
  TupleDesc descriptor = nullptr;
  if (get_call_result_type(fcinfo, nullptr, &descriptor) !=
      TYPEFUNC_COMPOSITE) {
    FERNET_RAISE(ERRCODE_FEATURE_NOT_SUPPORTED,
                 errmsg("function returning record called in context that "
                        "cannot accept type record"));
  }
  Assert(count_ == descriptor->natts);
  return HeapTupleGetDatum(
      heap_form_tuple(BlessTupleDesc(descriptor), values_, nulls_));
}

ResultRows::ResultRows(FunctionCallInfo fcinfo) {
  InitMaterializedSRF(fcinfo, 0);
  info_ = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
}

void ResultRows::Add(ResultRow *row) const {
  Assert(row->count_ == info_->setDesc->natts);
  tuplestore_putvalues(info_->setResult, info_->setDesc, row->values_,
                       row->nulls_);
}

}  // namespace fernet::pg
