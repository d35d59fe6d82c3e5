// SQL functions behind the view pg_stat_fernet: fernet_stat, fernet_stat_reset.

#include "pg/report/counters.hpp"
#include "pg/server/boundary.hpp"

// fernet_stat() returns table (datid oid, encrypted bigint, decrypted bigint,
//     rotated bigint, malformed bigint, no_key_opens bigint,
//     wrong_age bigint, key_errors bigint, stats_reset timestamptz)
FERNET_SQL_FUNCTION(fernet_stat) {
  namespace counters = fernet::pg::counters;
  InitMaterializedSRF(fcinfo, 0);
  static_cast<void>(counters::ForEachDatabase(
      [](const counters::DatabaseCounts &database, void *state) {
        auto *const result = static_cast<ReturnSetInfo *>(state);
        Datum values[counters::kKinds + 2];
        bool nulls[counters::kKinds + 2] = {};
        values[0] = ObjectIdGetDatum(database.database);
        for (std::size_t kind = 0; kind < counters::kKinds; ++kind) {
          values[1 + kind] =
              Int64GetDatum(static_cast<int64>(database.counts[kind]));
        }
        values[1 + counters::kKinds] = TimestampTzGetDatum(database.reset);
        tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
      },
      fcinfo->resultinfo));
  return Datum{0};
}

// fernet_stat_reset() returns void
FERNET_SQL_FUNCTION(fernet_stat_reset) {
  static_cast<void>(fcinfo);
  fernet::pg::counters::Reset();
  PG_RETURN_VOID();
}
