// Tables whose rows are not in their own pages.
#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

// Elsewhere is a table with rows that are stored somewhere else.
struct Elsewhere {
  Oid table;          // InvalidOid if there is none
  const char *cause;  // a sentence
  const char *hint;   // a sentence: what can rotate it
};

// kRotateElsewhere is the hint for such a table when the cause is not known.
inline constexpr const char *kRotateElsewhere =
    "Rotate such a table with the program pg_fernet, or write to it by UPDATE, "
    "with fernet_rotate() or fernet_blind_index().";

// IsShardOfCitus says whether `table` is a shard. Citus hides shards from
// whoever reads pg_class.
bool IsShardOfCitus(Oid table);

// FindElsewhere asks the catalogs for the first of `tables` whose rows are
// known to be elsewhere: a foreign table, one of another access method, a table
// or shard of Citus, a compressed chunk of TimescaleDB. They are locked.
Elsewhere FindElsewhere(const List *tables);

// RequireRowsInPages raises 0A000 if there is such a table.
void RequireRowsInPages(const List *tables);

}  // namespace fernet::pg
