#pragma once

#include "pg/boundary.hpp"

namespace fernet::pg {

// FiresOnUpdate says whether an update of the column `attribute` fires
// `trigger`, of the application, in this session.
bool FiresOnUpdate(const Trigger &trigger, AttrNumber attribute);

// NameTriggers tells the client by a NOTICE which triggers of the application
// an update of the column `attribute` of a locked table will fire.
void NameTriggers(Oid relation, AttrNumber attribute);

}  // namespace fernet::pg
