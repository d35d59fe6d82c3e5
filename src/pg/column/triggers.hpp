// The triggers of the application on columns.
#pragma once

#include "pg/column/column_target.hpp"
#include "pg/server/boundary.hpp"
#include "pg/value/blind_index_value.hpp"

namespace fernet::pg {

// FiresOnUpdate says whether `trigger` belongs to the application and an update
// of the column `attribute` fires it in this session.
bool FiresOnUpdate(const Trigger &trigger, AttrNumber attribute);

// TriggersOnUpdate lists the triggers of the application that an update of the
// column `attribute` fires, quoted and separated by commas: with `before`,
// those before the row is written, otherwise those after it. Empty if there is
// none.
const char *TriggersOnUpdate(Relation relation, AttrNumber attribute,
                             bool before);

// NameTriggers lists in a NOTICE the triggers of the application that an update
// of one of `columns` of a locked table will fire.
void NameTriggers(Oid relation, ColumnNames columns);

// RequireNoEncryption raises 55000 if `relation` or a table below it has a
// trigger that would encrypt the decrypted values of `column` again.
void RequireNoEncryption(Oid relation, const char *column);

// RequireSameIndexes raises 22023 if `relation` or a table below it has a
// trigger that keeps blind indexes in `index` which are not those of `source`
// in the form `form`.
void RequireSameIndexes(Oid relation, const char *source, const char *index,
                        const BlindIndexForm &form);

}  // namespace fernet::pg
