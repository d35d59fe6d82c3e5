// What fernet_doctor says of the session: its key, and who else could get at
// it.

#include <sys/resource.h>

#include <cstring>

#include "pg/functions/doctor_catalog.hpp"
#include "pg/functions/doctor_checks.hpp"
#include "pg/report/report.hpp"
#include "pg/session/guc_records.hpp"
#include "pg/session/session_keys.hpp"

namespace fernet::pg::doctor {
namespace {

const char *HowKeyWasSet(KeySetting setting) {
  return KeySource(setting) == PGC_S_CLIENT ? "in the connection options"
                                            : "by SET or set_config";
}

// ShowKeys names the keys of `setting`, of which the first does what `first`
// says.
void ShowKeys(const Findings &out, KeySetting setting, const KeyList *list,
              const char *first) {
  StringInfoData text;
  initStringInfo(&text);
  appendStringInfo(&text, "%lu set %s, by fingerprint, the first %s:",
                   static_cast<unsigned long>(list->keys().size()),
                   HowKeyWasSet(setting), first);
  bool all_computed = true;
  for (const Key &key : list->keys()) {
    FingerprintText fingerprint;
    const bool computed = Fingerprint(key, &fingerprint) == Status::kOk;
    appendStringInfo(&text, " %s", computed ? fingerprint.data() : "?");
    all_computed = all_computed && computed;
  }
  if (!all_computed) {
    out.Add(kWarn, text.data,
            "OpenSSL could not compute a fingerprint: HMAC, SHA-256 or memory "
            "is missing.");
    return;
  }
  out.Add(kOk, text.data);
}

}  // namespace

void CheckKey(const Findings &out) {
  const KeyList *const list = session_keys::CurrentList();
  if (list == nullptr) {
    out.Add(kNote, "No key is set in this session.",
            HowToGiveKey(KeySetting::kKey));
    return;
  }
  ShowKeys(out, KeySetting::kKey, list, "encrypts");
}

void CheckIndexKey(const Findings &out) {
  const KeyList *const list = session_keys::CurrentList(KeySetting::kIndexKey);
  if (list == nullptr) {
    out.Add(kOk,
            "No index key is set in this session. Only blind indexes need "
            "one.");
    return;
  }
  ShowKeys(out, KeySetting::kIndexKey, list, "makes new blind indexes");
}

void CheckKeyMemory(const Findings &out) {
  const SecretPages pages = session_keys::MemoryState();
  if (pages.address == nullptr) {
    out.Add(kNote, "No key has been set in this session yet.");
    return;
  }
  if (pages.left_out_of_dumps && pages.locked && pages.wiped_on_fork) {
    out.Add(kOk,
            "Key pages are left out of core dumps, locked, and wiped on fork.");
    return;
  }
  out.Add(
      kWarn,
      psprintf("Key pages are %sleft out of core dumps, %slocked against "
               "swapping, and %swiped on fork.",
               pages.left_out_of_dumps ? "" : "not ",
               pages.locked ? "" : "not ", pages.wiped_on_fork ? "" : "not "),
      "Raise the server's limit of locked memory (LimitMEMLOCK).");
}

void CheckConnection(const Findings &out) {
  const char *const kind =
      AskOne({{},
              "SELECT CASE WHEN inet_client_addr() IS NULL THEN 'local'"
              " WHEN s.ssl OR s.gss_enc THEN 'encrypted'"
              " WHEN s.ssl IS NULL THEN 'unknown' ELSE 'clear' END"
              " FROM pg_stat_get_activity(pg_backend_pid())"
              " AS s"});
  if (kind == nullptr || strcmp(kind, "unknown") == 0) {
    out.Add(kNote,
            "This role may not see whether the connection is encrypted.");
  } else if (strcmp(kind, "clear") == 0) {
    out.Add(kFail,
            "The connection is not encrypted: keys, tokens and plaintexts "
            "cross the network in clear.",
            "Connect with sslmode=verify-full, or through a local socket.");
  } else {
    out.Add(kOk, strcmp(kind, "local") == 0
                     ? "The connection is a local socket."
                     : "The connection is encrypted.");
  }
}

void CheckCoreDumps(const Findings &out) {
  rlimit limit{};
  if (getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur == 0) {
    out.Add(kOk, "A crash of this session writes no core dump.");
    return;
  }
  out.Add(kNote,
          "A crash may write a core dump. The pages with the keys are left out "
          "of it; OpenSSL's contexts and PostgreSQL's buffers are not.",
          "Treat a core dump like the key, or set the limit of the server's "
          "core files to 0.");
}

}  // namespace fernet::pg::doctor
