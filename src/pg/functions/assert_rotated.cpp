// SQL function fernet_assert_rotated.

#include "pg/column/column_census.hpp"
#include "pg/column/column_target.hpp"
#include "pg/functions/job_arguments.hpp"
#include "pg/report/report.hpp"
#include "pg/server/boundary.hpp"
#include "pg/session/session_keys.hpp"

// fernet_assert_rotated(relation regclass, column_name name,
//     on_plaintext text DEFAULT 'fail') returns void
FERNET_SQL_FUNCTION(fernet_assert_rotated) {
  namespace pg = fernet::pg;
  constexpr const char *kNames[] = {"relation", "column_name", "on_plaintext"};
  pg::RequireArguments(fcinfo, kNames, lengthof(kNames));
  const pg::OnPlaintext on_plaintext = pg::ReadOnPlaintext(fcinfo, 2);
  if (on_plaintext == pg::OnPlaintext::kEncrypt) {
    pg::RefuseParameter("on_plaintext", "\"fail\" or \"leave\"");
  }
  const Oid relation = PG_GETARG_OID(0);
  const char *const column = NameStr(*PG_GETARG_NAME(1));
  pg::ColumnCensus census;
  pg::TakeCensus(relation, column, pg::session_keys::Current(), &census);
  std::int64_t secondary = 0;
  for (std::uint32_t i = 1; i < census.keys.ring->size(); ++i) {
    secondary += census.of_key[i].values;
  }
  const std::int64_t malformed =
      census.malformed.values -
      (on_plaintext == pg::OnPlaintext::kFail ? 0 : census.plaintext);
  const std::int64_t left = secondary + census.unknown_key.values + malformed;
  if (left > 0) {
    FERNET_RAISE(
        pg::kValuesLeft,
        errmsg(INT64_FORMAT
               " of " INT64_FORMAT
               " values in %s are not encrypted with the first key",
               left,
               left + census.of_key[0].values + census.malformed.values -
                   malformed,
               pg::NameOf(relation, column)),
        errdetail("Encrypted with another key of \"fernet.key\": " INT64_FORMAT
                  ". Encrypted with an unknown key: " INT64_FORMAT
                  ". Not tokens: " INT64_FORMAT ".",
                  secondary, census.unknown_key.values, malformed));
  }
  PG_RETURN_VOID();
}
