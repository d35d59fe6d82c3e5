// What a dry run tries of a write without writing.
#pragma once

#include "pg/column/new_row.hpp"
#include "pg/column/owner_rights.hpp"
#include "pg/server/boundary.hpp"

namespace fernet::pg {

// Trial tries new rows of a table: generated columns, CHECK and NOT NULL
// constraints, domains and the bounds of partitions. It writes nothing and
// fires no trigger, so it cannot try triggers, unique indexes and foreign keys.
struct Trial {
  bool needed;  // the table has something to try
  NewRow row;
  OwnerRights rights;
};

// BeginTrial begins to try rows of `*target`, which must stay, under the
// rights that BeginWriting takes, for the same reason. An error ends that with
// the subtransaction.
void BeginTrial(const TableTarget *target, Trial *out);

// TryRow raises what the table raises against `values` in the row in `row`.
void TryRow(Trial *trial, TupleTableSlot *row, const NewValue *values);

void EndTrial(const Trial &trial);

}  // namespace fernet::pg
