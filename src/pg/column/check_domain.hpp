#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

// CheckDomain checks a value that a trigger writes to a column whose type is
// `domain`: the server has only checked what the statement wrote. It raises the
// domain's error without the statement and the line of COPY, which would show
// the plaintext.
void CheckDomain(Oid domain, Datum value, bool is_null);

}  // namespace fernet::pg
