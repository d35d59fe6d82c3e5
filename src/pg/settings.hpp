// The setting fernet.key and its hooks.
#pragma once

#include "pg/boundary.hpp"

namespace fernet::pg {

inline constexpr const char *kSettingPrefix = "fernet.";
inline constexpr const char *kKeySettingName = "fernet.key";
inline constexpr const char *kLogSettingName = "fernet.log";

// DefineSettings tells guc.c of the settings. Called once, by _PG_init.
// Placeholder values from before the library was loaded go through the hooks
// here and then; a bad one becomes a WARNING and no key, for an ERROR would
// leave the session unable ever to load the library.
void DefineSettings();

// ForEachHeldValue calls `visit` with the handle (see session_keys::Add) of
// every value of fernet.key that guc.c holds: the current one, the one that
// RESET restores, and those that the end of a transaction, savepoint or
// function may restore.
void ForEachHeldValue(void (*visit)(const void *handle, void *state),
                      void *state);

}  // namespace fernet::pg
