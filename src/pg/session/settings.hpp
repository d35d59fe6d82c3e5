// The settings fernet.key and fernet.index_key and their hooks.
#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

inline constexpr const char *kSettingPrefix = "fernet.";

// DefineSettings defines the settings. Called once, by _PG_init. It passes
// placeholder values from before the library was loaded to the hooks. A bad one
// becomes a WARNING and no key: after an ERROR, the session could never load
// the library.
void DefineSettings();

}  // namespace fernet::pg
