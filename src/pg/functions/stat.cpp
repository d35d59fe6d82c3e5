// SQL functions behind the views pg_stat_fernet and pg_stat_fernet_roles:
// fernet_stat, fernet_stat_reset.

#include "pg/report/counters.hpp"
#include "pg/server/boundary.hpp"
#include "pg/server/result_rows.hpp"

namespace {

// MaySee returns whether the caller may see what a role has done: as in the
// view fernet_rotation, its own, and all of it as a member of pg_monitor.
bool MaySee(Oid role) {
  return has_privs_of_role(GetUserId(), ROLE_PG_MONITOR) ||
         (role != InvalidOid && has_privs_of_role(GetUserId(), role));
}

void AddRow(const fernet::pg::counters::Total &total, void *state) {
  if (total.is_of_role && !MaySee(total.role)) {
    return;
  }
  fernet::pg::ResultRow row;
  row.ObjectId(total.database);
  if (total.is_of_role) {
    row.ObjectId(total.role);
  } else {
    row.Null();
  }
  for (const std::uint64_t count : total.counts) {
    row.BigInt(static_cast<std::int64_t>(count));
  }
  row.Time(total.reset);
  static_cast<const fernet::pg::ResultRows *>(state)->Add(&row);
}

}  // namespace

// fernet_stat() returns table (datid oid, roleid oid, encrypted bigint,
//     decrypted bigint, rotated bigint, malformed bigint, no_key_opens bigint,
//     wrong_age bigint, key_errors bigint, stats_reset timestamptz); roleid is
//     NULL in the rows of databases
FERNET_SQL_FUNCTION(fernet_stat) {
  fernet::pg::ResultRows rows(fcinfo);
  static_cast<void>(fernet::pg::counters::ForEachTotal(AddRow, &rows));
  return Datum{0};
}

// fernet_stat_reset() returns void
FERNET_SQL_FUNCTION(fernet_stat_reset) {
  static_cast<void>(fcinfo);
  fernet::pg::counters::Reset();
  PG_RETURN_VOID();
}
