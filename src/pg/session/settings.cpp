#include "pg/session/settings.hpp"

#include <cstring>

#include "pg/report/events.hpp"
#include "pg/report/report.hpp"
#include "pg/session/guc_records.hpp"
#include "pg/session/session_keys.hpp"
#include "pg/session/statement_text.hpp"

namespace fernet::pg {
namespace {

constexpr char kMask[] = "********";

// The values in guc.c: kMask or an empty string.
constinit std::array<char *, kKeySettings.size()> displayed{};

// While false, a hook must not raise an ERROR; see DefineSettings.
constinit bool defined = false;

// BelongsToSession says whether `source` leaves no trace in the server; from
// the other sources, the server would store the key. PGC_S_TEST is the test of
// a value by ALTER ROLE, ALTER DATABASE and the SET clause of a function.
bool BelongsToSession(GucSource source) {
  return source == PGC_S_DEFAULT || source == PGC_S_CLIENT ||
         (source >= PGC_S_INTERACTIVE && source != PGC_S_TEST);
}

// MayRaise says whether a bad value from `source` is a statement's error. The
// others come from a login or a library load, which must go on without a key.
bool MayRaise(GucSource source) {
  return defined && source >= PGC_S_INTERACTIVE;
}

// IsMasked says whether `value` is a mask, or the text of a statement in which
// the keys were overwritten.
bool IsMasked(const char *value) {
  return strchr(value, '*') != nullptr && value[strspn(value, "*, ")] == '\0';
}

// WasCutShort says whether a list from the connection options ends in a comma:
// white space ended the option there. The login may not go on, for the server
// would log what comes after it, which is the next key.
bool WasCutShort(const Outcome &outcome, GucSource source) {
  return defined && source == PGC_S_CLIENT &&
         outcome.status == Status::kKeyMissing && outcome.key_position > 1;
}

int FailureLevel(GucSource source) {
  if (!MayRaise(source)) {
    return WARNING;
  }
  counters::Prepare();
  return ERROR;
}

void Wipe(char *value) { OPENSSL_cleanse(value, strlen(value)); }

// Dropped empties `*value` after a WARNING has reported it.
bool Dropped(char *value) {
  Wipe(value);
  *value = '\0';
  return true;
}

// RefuseToStore is for sources from which the server would store the key.
bool RefuseToStore(KeySetting setting, char *value, GucSource source) {
  if (source == PGC_S_FILE) {
    // Returning false keeps a line of postgresql.conf from being applied; guc.c
    // reports it.
    Wipe(value);
    GUC_check_errcode(kKeyWouldBeStored);
    GUC_check_errmsg("%s", WouldBeStoredText(setting));
    GUC_check_errhint("%s", HowToGiveKey(setting));
    return false;
  }
  Wipe(value);
  events::KeyRefused(setting, kKeyWouldBeStored);
  ReportKeyWouldBeStored(FailureLevel(source), setting);
  return Dropped(value);
}

// CheckKey takes the key out of guc.c's hands: on success `*value` is the mask
// and `*extra` a handle to the session's own copy. It may run outside of a
// transaction and in a parallel worker, so it reads no catalogs.
bool CheckKey(KeySetting setting, char **value, void **extra,
              GucSource source) {
  if (**value == '\0') {
    return true;  // switches the key off, which any source may do
  }
  const bool is_mask = IsMasked(*value);
  if (InitializingParallelWorker && is_mask) {
    return true;  // a worker gets no key: hence PARALLEL RESTRICTED
  }
  if (!is_mask) {
    OverwriteKeysOf(*value);
  }
  if (!BelongsToSession(source)) {
    return RefuseToStore(setting, *value, source);
  }
  if (is_mask) {
    events::KeyRefused(setting, kMalformedKey);
    ReportMaskAsKey(FailureLevel(source), setting);
    return Dropped(*value);
  }

  const std::size_t length = strlen(*value);
  const session_keys::AddResult added =
      session_keys::Add(std::span<const char>(*value, length), extra);
  Wipe(*value);
  if (added.out_of_memory) {
    ReportNoMemoryForKey(FailureLevel(source));
    return Dropped(*value);
  }
  if (added.too_many) {
    ReportTooManyKeyLists(FailureLevel(source), setting, session_keys::kSlots);
    return Dropped(*value);
  }
  if (!added.outcome.ok()) {
    events::KeyRefused(setting, kMalformedKey);
    ReportKeyFailure(
        WasCutShort(added.outcome, source) ? ERROR : FailureLevel(source),
        setting, added.outcome);
    return Dropped(*value);
  }
  events::KeysSet(setting, *session_keys::ListBehind(*extra));
  // A key has at least 43 characters, so the mask fits in its place.
  memcpy(*value, kMask, sizeof kMask);
  return true;
}

// Define defines `setting`; guc.c tells the hooks neither its name nor
// anything else of ours.
template <KeySetting setting>
void Define(const char *what, const char *more) {
  DefineCustomStringVariable(
      NameOf(setting), what, more, &displayed[IndexOf(setting)], "",
      PGC_USERSET, GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE,
      [](char **value, void **extra, GucSource source) {
        return CheckKey(setting, value, extra, source);
      },
      [](const char *, void *extra) { session_keys::Assign(setting, extra); },
      nullptr);
}

}  // namespace

void DefineSettings() {
  // Defined first, so that a key from before the library was loaded is logged
  // too.
  events::DefineLogSetting();
  Define<KeySetting::kKey>(
      "Sets the Fernet key of the session: one, or several separated by "
      "commas.",
      "The first key encrypts, all decrypt. The server keeps the key in memory "
      "of the session only, and shows a mask in its place.");
  Define<KeySetting::kIndexKey>(
      "Sets the key of blind indexes for the session: one, or several "
      "separated by commas.",
      "fernet_blind_index() uses the first key, fernet_blind_indexes() each. "
      "The server keeps the key in memory of the session only, and shows a "
      "mask in its place.");
  MarkGUCPrefixReserved("fernet");
  defined = true;
}

}  // namespace fernet::pg
