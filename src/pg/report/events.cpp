#include "pg/report/events.hpp"

#include "pg/report/sqlstate.hpp"
#include "pg/server/raise.hpp"

namespace fernet::pg::events {
namespace {

constinit int log_level = kNone;
constinit char *log_level_name = nullptr;  // the value in guc.c

// By their numbers.
constexpr const char *kLogLevels[] = {"none", "failures", "keys", "all"};

// LevelOf is the number of a level, or -1.
int LevelOf(const char *name) {
  for (int level = kNone; level <= kAll; ++level) {
    if (pg_strcasecmp(kLogLevels[level], name) == 0) {
      return level;
    }
  }
  return -1;
}

bool CheckLogLevel(char **value, void **, GucSource) {
  if (LevelOf(*value) >= 0) {
    return true;
  }
  GUC_check_errmsg("invalid value for parameter \"%s\"", kLogSettingName);
  GUC_check_errhint("Available values: none, failures, keys, all.");
  return false;
}

void AssignLogLevel(const char *value, void *) { log_level = LevelOf(value); }

// A line of the audit log goes to the server log only, never to the client.
void Log(const char *text) {
  ereport(LOG_SERVER_ONLY, errmsg_internal("fernet: %s", text),
          HideStatement());
}

const char *FingerprintsOf(const KeyList &list) {
  StringInfoData text;
  initStringInfo(&text);
  for (const Key &key : list.keys()) {
    appendStringInfo(&text, " %s", FingerprintOf(key));
  }
  return text.data;
}

const char *WordFor(KeySetting setting) {
  return setting == KeySetting::kKey ? "key" : "index key";
}

}  // namespace

const char *FingerprintOf(const Key &key) {
  FingerprintText fingerprint;
  return Fingerprint(key, &fingerprint) == Status::kOk
             ? pstrdup(fingerprint.data())
             : "";
}

void Used(counters::Kind kind, const char *operation, const Key &key) {
  counters::Add(kind);
  if (log_level >= kAll) {
    Log(psprintf("%s: ok, key %s", operation, FingerprintOf(key)));
  }
}

void IndexKeyUsed(const char *operation, const Key &key) {
  if (log_level >= kAll) {
    Log(psprintf("%s: ok, index key %s", operation, FingerprintOf(key)));
  }
}

void Failed(const char *operation, Status status) {
  counters::AddFailure(status);
  if (log_level >= kFailures) {
    Log(psprintf("%s: failed, %s", operation,
                 unpack_sql_state(FailureCode(status))));
  }
}

void KeyRefused(KeySetting setting, int sqlstate) {
  counters::Add(counters::kKeyErrors);
  if (log_level >= kFailures) {
    Log(psprintf("%s: refused, %s", WordFor(setting),
                 unpack_sql_state(sqlstate)));
  }
}

void KeysSet(KeySetting setting, const KeyList &list) {
  if (log_level >= kKeys) {
    Log(psprintf("%s: set,%s", WordFor(setting), FingerprintsOf(list)));
  }
}

void JobStarted(const char *job, const KeyList &list) {
  Log(psprintf("job started: %s, keys%s", job, FingerprintsOf(list)));
}

// No memory is allocated: a job may end by an error, in a callback.
void JobEnded(const char *outcome, const char *job, const JobCounts &counts) {
  ereport(LOG_SERVER_ONLY,
          errmsg_internal(
              "fernet: job %s: %s, " INT64_FORMAT " changed, " INT64_FORMAT
              " unchanged, " INT64_FORMAT " failed",
              outcome, job, counts.changed, counts.unchanged, counts.failed),
          HideStatement());
}

void DefineLogSetting() {
  // guc.c quotes a value that is none of an enumeration's.
  DefineCustomStringVariable(
      kLogSettingName, "Sets which uses of Fernet keys are written to the log.",
      "\"none\" logs none, \"failures\" tokens and keys that were refused, "
      "\"keys\" also the fingerprints of keys that are set, \"all\" also every "
      "use of a key.",
      &log_level_name, kLogLevels[kNone], PGC_SUSET, 0, CheckLogLevel,
      AssignLogLevel, nullptr);
}

}  // namespace fernet::pg::events
