// SQL function fernet_require_library: each install script asks with it whether
// the library is new enough. It exists only while a script runs.

#include <cstdlib>

#include "pg/report/report.hpp"
#include "pg/server/boundary.hpp"

namespace fernet::pg {
namespace {

constexpr int kNumbers = 3;

// Version is three numbers, the most significant first.
struct Version {
  unsigned long numbers[kNumbers];
};

// ReadVersion reads a version such as "1.10.0". Returns false if `text` is not
// one.
bool ReadVersion(const char *text, Version *out) {
  for (int i = 0; i < kNumbers; ++i) {
    char *end = nullptr;
    if (*text < '0' || *text > '9') {
      return false;
    }
    out->numbers[i] = strtoul(text, &end, 10);
    if (*end != (i + 1 < kNumbers ? '.' : '\0')) {
      return false;
    }
    text = end + 1;
  }
  return true;
}

bool IsOlder(const Version &version, const Version &other) {
  for (int i = 0; i < kNumbers; ++i) {
    if (version.numbers[i] != other.numbers[i]) {
      return version.numbers[i] < other.numbers[i];
    }
  }
  return false;
}

}  // namespace
}  // namespace fernet::pg

// fernet_require_library(version text) returns void
FERNET_SQL_FUNCTION(fernet_require_library) {
  namespace pg = fernet::pg;
  const char *const wanted = text_to_cstring(PG_GETARG_TEXT_PP(0));
  pg::Version library{};
  pg::Version script{};
  if (!pg::ReadVersion(wanted, &script)) {
    FERNET_RAISE(ERRCODE_INVALID_PARAMETER_VALUE,
                 errmsg("a version is three numbers, as \"1.0.0\""));
  }
  if (pg::ReadVersion(FERNET_VERSION, &library) &&
      pg::IsOlder(library, script)) {
    FERNET_RAISE(
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        errmsg("the library of pg_fernet is older than its install script"),
        errdetail("This session has loaded version %s of the library; the "
                  "script is of version %s.",
                  FERNET_VERSION, wanted),
        errhint("If version %s is installed on this server, connect again; if "
                "pg_fernet is in shared_preload_libraries, restart the server "
                "first. Otherwise install it, or name the version that is "
                "installed: CREATE EXTENSION pg_fernet VERSION '%s'.",
                wanted, FERNET_VERSION));
  }
  PG_RETURN_VOID();
}
