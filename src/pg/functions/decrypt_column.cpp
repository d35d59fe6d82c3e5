// SQL procedure fernet_decrypt_column.

#include "pg/functions/column_call.hpp"
#include "pg/functions/job_arguments.hpp"
#include "pg/server/raise.hpp"

// fernet_decrypt_column(relation regclass, column_name name,
//     confirm boolean DEFAULT false, batch_rows integer DEFAULT 5000,
//     pause interval DEFAULT '0', slice integer DEFAULT 1,
//     slices integer DEFAULT 1, max_lag interval DEFAULT NULL,
//     INOUT decrypted bigint, INOUT unchanged bigint, INOUT failed bigint)
FERNET_SQL_FUNCTION(fernet_decrypt_column) {
  namespace pg = fernet::pg;
  constexpr const char *kNames[] = {"relation",   "column_name", "confirm",
                                    "batch_rows", "pause",       "slice",
                                    "slices"};
  pg::RequireNoTransactionBlock(fcinfo);
  pg::RequireArguments(fcinfo, kNames, lengthof(kNames));
  if (!PG_GETARG_BOOL(2)) {
    FERNET_RAISE(ERRCODE_INVALID_PARAMETER_VALUE,
                 errmsg("decryption of a column must be confirmed"),
                 errdetail("The plaintexts will be in the table, and so in "
                           "WAL, backups and replicas."),
                 errhint("Add \"confirm => true\"."));
  }
  const char *const column = NameStr(*PG_GETARG_NAME(1));
  pg::ColumnJob job = {
      .relation = PG_GETARG_OID(0),
      .columns = pg::ColumnNames(&column, 1),
      .rule = {.direction = pg::ValueRule::kDecrypt,
               .on_plaintext = pg::OnPlaintext::kLeave,
               .keys = {}},
      .batch_rows = pg::ReadBatchRows(fcinfo, 3),
      .pause_microseconds = pg::ReadInterval(fcinfo, 4, "pause"),
      .max_lag_microseconds = pg::ReadMaxLag(fcinfo, 7),
      .slice = 1,
      .slices = 1,
      .dry_run = false,
      .caller = fcinfo->flinfo->fn_oid,
  };
  pg::ReadSlice(fcinfo, 5, &job);
  return pg::RunForCall(fcinfo, job);
}
