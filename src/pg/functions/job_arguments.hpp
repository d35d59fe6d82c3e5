// Arguments that the functions on whole columns share.
#pragma once

#include "pg/server/boundary.hpp"
#include "pg/value/value_change.hpp"

namespace fernet::pg {

// RequireArguments raises 22004 if one of the first `count` arguments is NULL;
// `names` are their names.
void RequireArguments(FunctionCallInfo fcinfo, const char *const *names,
                      int count);

// RequireArgument raises 22004 if the argument at `index` is NULL.
void RequireArgument(FunctionCallInfo fcinfo, int index, const char *name);

// RefuseParameter raises 22023: "`name`" must be `rule`.
[[noreturn]] void RefuseParameter(const char *name, const char *rule);

// ReadBatchRows reads the argument "batch_rows" at `index`, at least 1.
std::int64_t ReadBatchRows(FunctionCallInfo fcinfo, int index);

// ReadOnPlaintext reads the argument "on_plaintext" at `index`: fail, leave or
// encrypt.
OnPlaintext ReadOnPlaintext(FunctionCallInfo fcinfo, int index);

// ReadOnUnknown reads the argument "on_unknown" at `index`: fail, leave or
// plaintext.
OnUnknown ReadOnUnknown(FunctionCallInfo fcinfo, int index);

}  // namespace fernet::pg
