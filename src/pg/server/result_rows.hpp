// The rows that SQL functions return.
#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

// ResultRow is a row that is filled column by column, in the order of the OUT
// parameters. What it allocates is in the current memory context.
class ResultRow {
 public:
  // Text adds `text`, or NULL for a null pointer.
  void Text(const char *text);
  void Null() { Add(Datum{0}, true); }
  void Int(std::int32_t number) { Add(Int32GetDatum(number)); }
  void BigInt(std::int64_t number) { Add(Int64GetDatum(number)); }
  void Bool(bool value) { Add(BoolGetDatum(value)); }
  void ObjectId(Oid oid) { Add(ObjectIdGetDatum(oid)); }
  void Time(TimestampTz time) { Add(TimestampTzGetDatum(time)); }
  // Value adds a value of the column's type.
  void Value(Datum value) { Add(value); }

  // AsResult is the result of a function that returns this one row.
  Datum AsResult(FunctionCallInfo fcinfo);

 private:
  friend class ResultRows;
  static constexpr int kMaxColumns = 32;

  void Add(Datum value, bool is_null = false);

  int count_ = 0;
  Datum values_[kMaxColumns]{};
  bool nulls_[kMaxColumns]{};
};

// ResultRows is the result of a function that returns a set of rows.
class ResultRows {
 public:
  // The function returns Datum{0} when it has added its rows.
  explicit ResultRows(FunctionCallInfo fcinfo);

  // Add copies `row`, which has as many columns as the function has OUT
  // parameters.
  void Add(ResultRow *row) const;

 private:
  ReturnSetInfo *info_;
};

}  // namespace fernet::pg
