// The checks of fernet_doctor, by what they look at. doctor.cpp has the table
// of them, by the items that users see.
#pragma once

#include "pg/server/boundary.hpp"
#include "pg/server/result_rows.hpp"

namespace fernet::pg::doctor {

inline constexpr const char *kOk = "ok";
inline constexpr const char *kNote = "note";
inline constexpr const char *kWarn = "warn";
inline constexpr const char *kFail = "fail";

// Findings takes what one check has found.
struct Findings {
  const ResultRows *rows;
  const char *item;
  // The schemas of the caller's search_path, an array of oid: while the checks
  // run, the path is another one.
  Datum search_path;

  // Add writes the row of the item. A `hint` says what to do.
  void Add(const char *status, const char *detail,
           const char *hint = nullptr) const;
};

// doctor_session.cpp
void CheckKey(const Findings &out);
void CheckIndexKey(const Findings &out);
void CheckKeyMemory(const Findings &out);
void CheckConnection(const Findings &out);
void CheckCoreDumps(const Findings &out);

// doctor_server.cpp
void CheckPreload(const Findings &out);
void CheckLoadOrder(const Findings &out);
void CheckDataChecksums(const Findings &out);
void CheckCounters(const Findings &out);
void CheckOpenssl(const Findings &out);
void CheckVersion(const Findings &out);

// doctor_logs.cpp
void CheckStatementLog(const Findings &out);
void CheckParameterLog(const Findings &out);
void CheckDebugLog(const Findings &out);
void CheckAutoExplain(const Findings &out);
void CheckStatStatements(const Findings &out);
void CheckAudit(const Findings &out);

// doctor_calls.cpp
void CheckCapturedCalls(const Findings &out);
void CheckSearchPath(const Findings &out);

// doctor_triggers.cpp
void CheckTriggerOrder(const Findings &out);

// doctor_stored_keys.cpp, doctor_stored_plaintext.cpp
void CheckStoredKey(const Findings &out);
void CheckStoredPlaintext(const Findings &out);

}  // namespace fernet::pg::doctor
