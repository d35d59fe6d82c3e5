// SQL functions behind the view pg_stat_fernet: fernet_stat, fernet_stat_reset.

#include "pg/report/counters.hpp"
#include "pg/server/boundary.hpp"
#include "pg/server/result_rows.hpp"

// fernet_stat() returns table (datid oid, encrypted bigint, decrypted bigint,
//     rotated bigint, malformed bigint, no_key_opens bigint,
//     wrong_age bigint, key_errors bigint, stats_reset timestamptz)
FERNET_SQL_FUNCTION(fernet_stat) {
  namespace counters = fernet::pg::counters;
  fernet::pg::ResultRows rows(fcinfo);
  static_cast<void>(counters::ForEachDatabase(
      [](const counters::DatabaseCounts &database, void *state) {
        fernet::pg::ResultRow row;
        row.ObjectId(database.database);
        for (const std::uint64_t count : database.counts) {
          row.BigInt(static_cast<std::int64_t>(count));
        }
        row.Time(database.reset);
        static_cast<const fernet::pg::ResultRows *>(state)->Add(&row);
      },
      &rows));
  return Datum{0};
}

// fernet_stat_reset() returns void
FERNET_SQL_FUNCTION(fernet_stat_reset) {
  static_cast<void>(fcinfo);
  fernet::pg::counters::Reset();
  PG_RETURN_VOID();
}
