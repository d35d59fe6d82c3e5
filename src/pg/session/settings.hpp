// The setting fernet.key and its hooks.
#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

inline constexpr const char *kSettingPrefix = "fernet.";

// DefineSettings tells guc.c of the settings. Called once, by _PG_init.
// Placeholder values from before the library was loaded go through the hooks
// here and then; a bad one becomes a WARNING and no key, for an ERROR would
// leave the session unable ever to load the library.
void DefineSettings();

}  // namespace fernet::pg
