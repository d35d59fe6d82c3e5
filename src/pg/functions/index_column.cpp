// SQL procedure fernet_index_column.

#include "pg/functions/column_call.hpp"
#include "pg/functions/job_arguments.hpp"

// fernet_index_column(relation regclass, source name, index name, context text,
//     bits integer DEFAULT 256, batch_rows integer DEFAULT 5000,
//     pause interval DEFAULT '0', max_lag interval DEFAULT NULL,
//     INOUT indexed bigint, INOUT unchanged bigint, INOUT failed bigint)
FERNET_SQL_FUNCTION(fernet_index_column) {
  namespace pg = fernet::pg;
  constexpr const char *kNames[] = {
      "relation", "source", "index", "context", "bits", "batch_rows", "pause"};
  pg::RequireNoTransactionBlock(fcinfo, "UPDATE and fernet_blind_index");
  pg::RequireArguments(fcinfo, kNames, lengthof(kNames));
  const char *const index = NameStr(*PG_GETARG_NAME(2));
  const pg::ColumnJob job = {
      .relation = PG_GETARG_OID(0),
      .columns = pg::ColumnNames(&index, 1),
      .source = NameStr(*PG_GETARG_NAME(1)),
      .rule = {.direction = pg::ValueRule::kIndex,
               .on_plaintext = pg::OnPlaintext::kLeave,
               .keys = {},
               .index_form = pg::MakeBlindIndexForm(PG_GETARG_TEXT_PP(3),
                                                    PG_GETARG_INT32(4))},
      .batch_rows = pg::ReadBatchRows(fcinfo, 5),
      .pause_microseconds = pg::ReadInterval(fcinfo, 6, "pause"),
      .max_lag_microseconds = pg::ReadMaxLag(fcinfo, 7),
      .slice = 1,
      .slices = 1,
      .dry_run = false,
      .caller = fcinfo->flinfo->fn_oid,
  };
  return pg::RunForCall(fcinfo, job);
}
