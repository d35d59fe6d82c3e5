#include "pg/session/guc_records.hpp"

namespace fernet::pg {
namespace {

config_generic *Find(const char *name) {
  return find_option(name, false, true, LOG);
}

// KeyRecord is looked up once: PostgreSQL never moves the record of a setting.
const config_generic *KeyRecord() {
  static constinit config_generic *record = nullptr;
  if (record == nullptr) {
    record = Find(kKeySettingName);
  }
  return record;
}

}  // namespace

void ForEachHeldValue(void (*visit)(const void *handle, void *state),
                      void *state) {
  const config_generic *const setting = KeyRecord();
  if (setting == nullptr) {
    return;
  }
  const auto visit_held = [=](const void *handle) {
    if (handle != nullptr) {
      visit(handle, state);
    }
  };
  visit_held(setting->extra);
  visit_held(ResetExtra(setting));
  for (const GucStack *outer = setting->stack; outer != nullptr;
       outer = outer->prev) {
    visit_held(outer->prior.extra);
    visit_held(outer->masked.extra);
  }
}

GucSource KeySource() {
  const config_generic *const setting = KeyRecord();
  return setting == nullptr ? PGC_S_DEFAULT : setting->source;
}

bool IsSettingDefined(const char *name) { return Find(name) != nullptr; }

}  // namespace fernet::pg
