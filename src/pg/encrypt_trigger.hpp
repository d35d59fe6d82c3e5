#pragma once

#include "pg/boundary.hpp"

namespace fernet::pg {

// RequireNoEncryption raises 55000 if `relation` or a table below it has a
// trigger that would encrypt again what is decrypted in `column`.
void RequireNoEncryption(Oid relation, const char *column);

}  // namespace fernet::pg
