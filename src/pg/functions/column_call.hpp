// Code that the procedures on whole columns share.
#pragma once

#include "pg/column/column_job.hpp"
#include "pg/server/boundary.hpp"

namespace fernet::pg {

// RequireNoTransactionBlock raises 2D000 where a procedure cannot commit.
// Inside a transaction, the caller can use `instead`.
void RequireNoTransactionBlock(FunctionCallInfo fcinfo,
                               const char *instead = "fernet_rotate_batch");

// ReadInterval reads the interval `name` at `index`, in microseconds. Raises
// 22023 unless it is between 0 and a day.
std::int64_t ReadInterval(FunctionCallInfo fcinfo, int index, const char *name);

// ReadMaxLag reads the interval "max_lag" at `index`; NULL is 0. Raises 42501
// if the role cannot see how far standbys lag.
std::int64_t ReadMaxLag(FunctionCallInfo fcinfo, int index);

// ReadSlice reads "slice" at `index` and "slices" after it into `job`. Raises
// 22023.
void ReadSlice(FunctionCallInfo fcinfo, int index, ColumnJob *job);

// RunForCall runs `job` and returns its three counts as the result row. The
// keys are pinned, and the memory outlives the commits of the CALL. Raises
// PF007 if values are left.
Datum RunForCall(FunctionCallInfo fcinfo, ColumnJob job);

}  // namespace fernet::pg
