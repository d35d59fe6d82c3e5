// The way back to plaintext for documents.
#pragma once

#include "pg/server/boundary.hpp"
#include "pg/value/value_change.hpp"

namespace fernet::pg {

// DecryptDocument applies `rule`, of the direction kDecrypt, to each string of
// `document` as to a text of its own. The first failure is that of the
// document. The key of an object stays what it is; one that holds a token is a
// failure.
ValueChange DecryptDocument(const ValueRule &rule, Jsonb *document);

}  // namespace fernet::pg
