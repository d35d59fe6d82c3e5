#include "pg/session/guc_records.hpp"

namespace fernet::pg {
namespace {

config_generic *Find(const char *name) {
  return find_option(name, false, true, LOG);
}

// RecordOf is the record of `setting`, or null as long as it is a placeholder,
// which has no handle of ours. It is looked up once: PostgreSQL never moves the
// record of a setting that is defined.
const config_generic *RecordOf(KeySetting setting) {
  static constinit std::array<const config_generic *, kKeySettings.size()>
      records{};
  const config_generic *&record = records[IndexOf(setting)];
  if (record == nullptr) {
    const config_generic *const found = Find(NameOf(setting));
    if (found != nullptr && (found->flags & GUC_CUSTOM_PLACEHOLDER) == 0) {
      record = found;
    }
  }
  return record;
}

void ForEachHeldValueOf(const config_generic *setting,
                        void (*visit)(const void *handle, void *state),
                        void *state) {
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

}  // namespace

void ForEachHeldValue(void (*visit)(const void *handle, void *state),
                      void *state) {
  for (const KeySetting setting : kKeySettings) {
    const config_generic *const record = RecordOf(setting);
    if (record != nullptr) {
      ForEachHeldValueOf(record, visit, state);
    }
  }
}

GucSource KeySource(KeySetting setting) {
  const config_generic *const record = RecordOf(setting);
  return record == nullptr ? PGC_S_DEFAULT : record->source;
}

bool IsSettingDefined(const char *name) { return Find(name) != nullptr; }

}  // namespace fernet::pg
