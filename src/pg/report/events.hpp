// Code that refuses a key or a token reports it here, once, and then raises
// through report.hpp, which counts nothing.
//
// Each event is counted and, depending on the setting fernet.log, written to
// the server log. No line holds a key, a token or a plaintext.
#pragma once

#include "core/key.hpp"
#include "pg/report/counters.hpp"
#include "pg/report/key_setting.hpp"
#include "pg/server/boundary.hpp"

namespace fernet::pg::events {

inline constexpr const char *kLogSettingName = "fernet.log";

// LogLevel is the setting fernet.log; each value includes those before it.
enum LogLevel : int { kNone, kFailures, kKeys, kAll };

// Used: `operation` succeeded with `key`.
void Used(counters::Kind kind, const char *operation, const Key &key);

// IndexKeyUsed: `operation` succeeded with `key`, a key of fernet.index_key. It
// is not counted.
void IndexKeyUsed(const char *operation, const Key &key);

// Failed: `operation` refused a token for the reason `status`.
void Failed(const char *operation, Status status);

// KeyRefused: a value of `setting` was refused or missing, with the SQLSTATE
// `sqlstate`.
void KeyRefused(KeySetting setting, int sqlstate);

// FingerprintOf is the fingerprint of `key` as text, empty when OpenSSL cannot
// compute it.
const char *FingerprintOf(const Key &key);

// KeysSet: a session gave `setting` the keys of `list`.
void KeysSet(KeySetting setting, const KeyList &list);

// JobCounts is what a job did to the values.
struct JobCounts {
  std::int64_t changed;
  std::int64_t unchanged;
  std::int64_t failed;
};

// JobStarted and JobEnded write the durable record of jobs on columns, whatever
// fernet.log is. `job` says what it is about, `outcome` how it ended.
void JobStarted(const char *job, const KeyList &list);
void JobEnded(const char *outcome, const char *job, const JobCounts &counts);

// DefineLogSetting defines the setting fernet.log. An error about its value
// does not quote it: it may be a key that was given to the wrong setting.
// Called once.
void DefineLogSetting();

}  // namespace fernet::pg::events
