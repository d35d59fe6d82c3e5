// SQL procedure fernet_rotate_column.

#include "pg/functions/column_call.hpp"
#include "pg/functions/job_arguments.hpp"

// fernet_rotate_column(relation regclass, column_name name,
//     batch_rows integer DEFAULT 5000, pause interval DEFAULT '0',
//     slice integer DEFAULT 1, slices integer DEFAULT 1,
//     dry_run boolean DEFAULT false, on_plaintext text DEFAULT 'fail',
//     on_unknown text DEFAULT 'fail', max_lag interval DEFAULT NULL,
//     INOUT rotated bigint, INOUT unchanged bigint, INOUT failed bigint)
FERNET_SQL_FUNCTION(fernet_rotate_column) {
  namespace pg = fernet::pg;
  constexpr const char *kNames[] = {"relation", "column_name",  "batch_rows",
                                    "pause",    "slice",        "slices",
                                    "dry_run",  "on_plaintext", "on_unknown"};
  pg::RequireNoTransactionBlock(fcinfo);
  pg::RequireArguments(fcinfo, kNames, lengthof(kNames));
  const char *const column = NameStr(*PG_GETARG_NAME(1));
  pg::ColumnJob job = {
      .relation = PG_GETARG_OID(0),
      .columns = pg::ColumnNames(&column, 1),
      .rule = {.direction = pg::ValueRule::kRotate,
               .on_plaintext = pg::ReadOnPlaintext(fcinfo, 7),
               .on_unknown = pg::ReadOnUnknown(fcinfo, 8),
               .keys = {}},
      .batch_rows = pg::ReadBatchRows(fcinfo, 2),
      .pause_microseconds = pg::ReadInterval(fcinfo, 3, "pause"),
      .max_lag_microseconds = pg::ReadMaxLag(fcinfo, 9),
      .slice = 1,
      .slices = 1,
      .dry_run = PG_GETARG_BOOL(6),
      .caller = fcinfo->flinfo->fn_oid,
  };
  pg::ReadSlice(fcinfo, 4, &job);
  return pg::RunForCall(fcinfo, job);
}
