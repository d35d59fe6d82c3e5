// guc.c's own records of a setting: the only place that reads them.
#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

inline constexpr const char *kKeySettingName = "fernet.key";

// ForEachHeldValue calls `visit` with the handle (see session_keys::Add) of
// every value of fernet.key that guc.c holds: the current one, the one that
// RESET restores, and those that the end of a transaction, savepoint or
// function may restore.
void ForEachHeldValue(void (*visit)(const void *handle, void *state),
                      void *state);

// KeySource is where the current value of fernet.key comes from.
GucSource KeySource();

// IsSettingDefined says whether a setting of that name is defined.
bool IsSettingDefined(const char *name);

}  // namespace fernet::pg
