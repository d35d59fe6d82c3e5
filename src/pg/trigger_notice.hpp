#pragma once

#include "pg/boundary.hpp"

namespace fernet::pg {

// NameTriggers tells the client by a NOTICE which triggers of the application
// an update of the column `attribute` of a locked table will fire.
void NameTriggers(Oid relation, AttrNumber attribute);

}  // namespace fernet::pg
