// The triggers of the application on a column.
#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

// FiresOnUpdate says whether an update of the column `attribute` fires
// `trigger`, of the application, in this session.
bool FiresOnUpdate(const Trigger &trigger, AttrNumber attribute);

// TriggersOnUpdate lists the triggers of the application, quoted and separated
// by commas, that an update of the column `attribute` fires before the row is
// written, or else after it. Empty if there is none.
const char *TriggersOnUpdate(Relation relation, AttrNumber attribute,
                             bool before);

// NameTriggers tells the client by a NOTICE which triggers of the application
// an update of the column `attribute` of a locked table will fire.
void NameTriggers(Oid relation, AttrNumber attribute);

// RequireNoEncryption raises 55000 if `relation` or a table below it has a
// trigger that would encrypt again what is decrypted in `column`.
void RequireNoEncryption(Oid relation, const char *column);

}  // namespace fernet::pg
