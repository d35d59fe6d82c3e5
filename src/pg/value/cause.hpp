// Why a value is not a token, in words. No character of the value is in them.
#pragma once

#include "core/status.hpp"
#include "pg/server/boundary.hpp"
#include "pg/session/session_keys.hpp"
#include "pg/value/token_places.hpp"

namespace fernet::pg {

// Cause is what fernet_inspect says of a value that is not a token.
struct Cause {
  const char *word = nullptr;    // the same in every version
  const char *advice = nullptr;  // a sentence or two
};

// CauseOf is the cause for `value`, in which `traces` were found.
Cause CauseOf(std::span<const char> value, const TokenTraces &traces);

// ExplainNonToken is the detail of an error about `value`, which is not a token
// because of `outcome`: with the cause. `keys` has null members without a key.
const char *ExplainNonToken(const SessionKeys &keys, const varlena *value,
                            const Outcome &outcome);

// ReportFailure raises PF003 with that detail if `outcome` says that `value` is
// not a token, and else what ReportTokenFailure does.
[[noreturn]] void ReportFailure(const Outcome &outcome, const SessionKeys &keys,
                                const varlena *value);

}  // namespace fernet::pg
