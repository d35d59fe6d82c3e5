#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

// CompositeResult is the result of a function that returns one row: its OUT
// parameters in their order.
Datum CompositeResult(FunctionCallInfo fcinfo, Datum *values, bool *nulls);

}  // namespace fernet::pg
