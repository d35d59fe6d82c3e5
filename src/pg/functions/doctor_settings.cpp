#include "pg/functions/doctor_settings.hpp"

#include <cstdlib>
#include <cstring>

namespace fernet::pg::doctor {

const char *Setting(const char *name) {
  return GetConfigOption(name, true, false);
}

bool IsSet(const char *name, const char *value) {
  const char *const setting = Setting(name);
  return setting != nullptr && strcmp(setting, value) == 0;
}

bool IsThreshold(const char *name) {
  const char *const setting = Setting(name);
  return setting != nullptr && strtol(setting, nullptr, 10) >= 0;
}

int PositionIn(const char *list_setting, const char *library) {
  const char *const value = Setting(list_setting);
  if (value == nullptr) {
    return -1;
  }
  List *names = NIL;
  if (!SplitDirectoriesString(pstrdup(value), ',', &names)) {
    return -1;
  }
  for (int i = 0; i < list_length(names); ++i) {
    const char *const path = static_cast<char *>(list_nth(names, i));
    const char *const slash = strrchr(path, '/');
    if (strncmp(slash == nullptr ? path : slash + 1, library,
                strlen(library)) == 0) {
      return i;
    }
  }
  return -1;
}

}  // namespace fernet::pg::doctor
