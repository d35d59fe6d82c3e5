// guc.c's own records of a setting: the only place that reads them.
#pragma once

#include "pg/report/key_setting.hpp"
#include "pg/server/boundary.hpp"

namespace fernet::pg {

// ForEachHeldValue calls `visit` with the handle (see session_keys::Add) of
// every value of the settings for keys that guc.c holds: the current one, the
// one that RESET restores, and those that the end of a transaction, savepoint
// or function may restore.
void ForEachHeldValue(void (*visit)(const void *handle, void *state),
                      void *state);

// KeySource is where the current value of `setting` comes from.
GucSource KeySource(KeySetting setting);

// IsSettingDefined says whether a setting of that name is defined.
bool IsSettingDefined(const char *name);

}  // namespace fernet::pg
