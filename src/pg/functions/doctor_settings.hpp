// What the checks of fernet_doctor ask of settings.
#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg::doctor {

// Setting is the value of a setting as text, or null if there is none of the
// name, as when its library is not loaded.
const char *Setting(const char *name);

bool IsSet(const char *name, const char *value);

// IsThreshold says whether a duration is set that logs anything: -1 is off.
bool IsThreshold(const char *name);

// PositionIn is the place of `library` in a setting that lists libraries, or
// -1.
int PositionIn(const char *list_setting, const char *library);

}  // namespace fernet::pg::doctor
