// Whoever refuses a key or a token tells of it here, once, and then raises by
// report.hpp: that counts nothing.
//
// What is worth counting and, by the setting fernet.log, worth a line in the
// server log. No line holds a key, a token or a plaintext.
#pragma once

#include "core/key.hpp"
#include "pg/report/counters.hpp"
#include "pg/server/boundary.hpp"

namespace fernet::pg::events {

inline constexpr const char *kLogSettingName = "fernet.log";

// LogLevel is the setting fernet.log; each value includes those before it.
enum LogLevel : int { kNone, kFailures, kKeys, kAll };

// Used: `operation` has succeeded with `key`.
void Used(counters::Kind kind, const char *operation, const Key &key);

// Failed: `operation` was refused a token for the reason `status`.
void Failed(const char *operation, Status status);

// KeyRefused: a value of fernet.key was refused, or there was none, with the
// SQLSTATE `sqlstate`.
void KeyRefused(int sqlstate);

// KeysSet: a session has set these keys.
void KeysSet(const KeyList &list);

// JobEnded: a job on a whole column has come to its end.
void JobEnded(const char *operation, const char *column, std::int64_t changed,
              std::int64_t left, const KeyList &list);

// DefineLogSetting tells guc.c of fernet.log. Called once.
void DefineLogSetting();

}  // namespace fernet::pg::events
