// What a dry run tries of a write without writing.
#pragma once

#include "pg/column/new_row.hpp"
#include "pg/column/owner_rights.hpp"
#include "pg/server/boundary.hpp"

namespace fernet::pg {

// Trial tries new values of a column: generated columns, CHECK and NOT NULL
// constraints, domains and the bounds of partitions. It writes nothing and
// fires no trigger, so it cannot try triggers, unique indexes and foreign keys.
struct Trial {
  bool needed;  // the table has something to try
  NewRow row;
  OwnerRights rights;
};

// BeginTrial begins to try values of `*target`, which must stay, under the
// rights that BeginWriting takes, for the same reason. An error ends that with
// the subtransaction.
void BeginTrial(const ColumnTarget *target, Trial *out);

// TryValue raises what the table raises against `value`, in the form of the
// column, in the row in `row`.
void TryValue(Trial *trial, TupleTableSlot *row, Datum value);

void EndTrial(const Trial &trial);

}  // namespace fernet::pg
