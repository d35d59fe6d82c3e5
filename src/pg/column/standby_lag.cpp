#include "pg/column/standby_lag.hpp"

#include "pg/server/raise.hpp"

namespace fernet::pg {
namespace {

// Ask runs a query with one boolean as its result, in a new snapshot.
bool Ask(const char *query, int count, Oid *types, Datum *values) {
  bool answer = false;
  SPI_connect();
  PushActiveSnapshot(GetLatestSnapshot());
  if (SPI_execute_with_args(query, count, types, values, nullptr, true, 1) ==
          SPI_OK_SELECT &&
      SPI_processed == 1) {
    bool is_null = false;
    const Datum datum = SPI_getbinval(SPI_tuptable->vals[0],
                                      SPI_tuptable->tupdesc, 1, &is_null);
    answer = !is_null && DatumGetBool(datum);
  }
  PopActiveSnapshot();
  SPI_finish();
  return answer;
}

bool AnyBehind(const StandbyLag &lag) {
  Interval limit = {};
  limit.time = lag.limit;
  Oid types[] = {INTERVALOID, LSNOID};
  Datum values[] = {IntervalPGetDatum(&limit), LSNGetDatum(lag.position)};
  return Ask(
      "SELECT pg_catalog.bool_or(w.replay_lag OPERATOR(pg_catalog.>) $1"
      "   OR w.replay_lsn OPERATOR(pg_catalog.<) $2)"
      " FROM pg_catalog.pg_stat_get_wal_senders() AS w"
      " WHERE w.replay_lsn IS NOT NULL",
      2, types, values);
}

}  // namespace

void RequireSightOfLag() {
  if (!has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS)) {
    FERNET_RAISE(
        ERRCODE_INSUFFICIENT_PRIVILEGE,
        errmsg("permission denied to see the replay lag of standbys"),
        errhint("\"max_lag\" needs it: GRANT pg_read_all_stats to the role, "
                "or leave \"max_lag\" out."));
  }
}

bool IsTooFar(StandbyLag *lag) {
  if (lag->limit == 0) {
    return false;
  }
  const TimestampTz now = GetCurrentTimestamp();
  const bool is_due =
      lag->position == InvalidXLogRecPtr || now - lag->at >= lag->limit;
  // A position is asked for when it is old enough.
  StandbyLag asked = *lag;
  asked.position = is_due ? lag->position : InvalidXLogRecPtr;
  if (AnyBehind(asked)) {
    return true;
  }
  if (is_due) {
    lag->position = GetFlushRecPtr(nullptr);
    lag->at = now;
  }
  return false;
}

void AskForNews() { static_cast<void>(GetCurrentTransactionId()); }

bool IsArchiveBehind() {
  return XLogArchivingActive() &&
         Ask("SELECT a.last_failed_time OPERATOR(pg_catalog.>)"
             " coalesce(a.last_archived_time, '-infinity')"
             " FROM pg_catalog.pg_stat_get_archiver() AS a",
             0, nullptr, nullptr);
}

}  // namespace fernet::pg
