#pragma once

#include "pg/boundary.hpp"

namespace fernet::pg {

// RotationTarget is a column that may be rotated by this caller, and its names
// quoted for a statement. The strings live in the memory context that was
// current in ResolveTarget.
struct RotationTarget {
  Oid relation;
  AttrNumber attribute;
  Oid value_type;  // TEXTOID or BYTEAOID: what the column's values are made of
  const char *relation_name;  // qualified and quoted
  const char *column_name;    // quoted
  BlockNumber pages;          // of the relation now
};

// ResolveTarget looks `column` of `relation` up, locks the relation against
// changes of its definition until the end of the transaction, and checks what
// can be known before the first write. Raises 42703 without such a column,
// 42501 without the privilege to read and update it or where row security
// would hide rows, 42809 for what is no plain table or a column of another
// type, and 428C9 for a generated column.
RotationTarget ResolveTarget(Oid relation, const char *column);

}  // namespace fernet::pg
