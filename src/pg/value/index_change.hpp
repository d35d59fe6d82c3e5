// The change that a job makes to a blind index.
#pragma once

#include "pg/value/opened_value.hpp"
#include "pg/value/value_change.hpp"

namespace fernet::pg {

// ChangeIndex applies `rule`, of the direction kIndex, to `index`, the blind
// index of `source`; either is null if it is NULL. NULL has the index NULL.
// kUnchanged is the index under the first key. What the trigger would refuse is
// kFailed.
//
// Raises PF001 for a token if the rule has no key for tokens, and failures of
// libcrypto.
ValueChange ChangeIndex(const ValueRule &rule, varlena *source, SourceForm form,
                        const varlena *index);

}  // namespace fernet::pg
