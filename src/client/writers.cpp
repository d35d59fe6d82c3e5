#include "client/writers.hpp"

#include <algorithm>
#include <chrono>

#include "client/cancel.hpp"
#include "client/text.hpp"

namespace fernet::client {
namespace {

constexpr double kFirstPause = 0.002;  // seconds
constexpr double kLongestPause = 0.1;
constexpr double kDefaultTimeout = 60;

// Transactions of this database whose snapshot is as old as a new one: they may
// see what was replaced by now. VACUUM writes no value.
constexpr const char *kSnapshots =
    "SELECT l.virtualtransaction FROM pg_stat_get_activity(NULL) AS a"
    " JOIN pg_locks AS l ON l.pid = a.pid AND l.locktype = 'virtualxid'"
    " AND l.mode = 'ExclusiveLock'"
    " WHERE a.datid = (SELECT oid FROM pg_database"
    "  WHERE datname = current_database()) AND a.pid <> pg_backend_pid()"
    " AND a.backend_type NOT IN ('walsender', 'autovacuum worker')"
    " AND age(a.backend_xmin) >="
    "  age(pg_snapshot_xmin(pg_current_snapshot())::xid)"
    " AND NOT EXISTS (SELECT FROM pg_stat_progress_vacuum AS v"
    "  WHERE v.pid = a.pid)";

// To make a table a partition or a child takes a lock that VACUUM takes too,
// but VACUUM has no number of its own.
constexpr const char *kLocks =
    "WITH here AS (SELECT oid FROM pg_database"
    "  WHERE datname = current_database()),"
    " held AS MATERIALIZED (SELECT l.* FROM pg_locks AS l WHERE l.granted"
    "  AND l.pid IS DISTINCT FROM pg_backend_pid()),"
    " numbered AS (SELECT h.virtualtransaction FROM held AS h"
    "  LEFT JOIN pg_stat_get_activity(NULL) AS a ON a.pid = h.pid"
    "  LEFT JOIN pg_prepared_xact() AS x ON h.pid IS NULL"
    "   AND x.transaction = h.transactionid"
    "  WHERE h.locktype = 'transactionid' AND h.mode = 'ExclusiveLock'"
    "  AND coalesce(a.backend_type, '') <> 'autovacuum worker'"
    "  AND coalesce(a.datid, x.dbid, 0) IN (0, (SELECT oid FROM here)))"
    " SELECT h.virtualtransaction FROM held AS h"
    "  WHERE h.locktype = 'relation' AND h.database = (SELECT oid FROM here)"
    "  AND h.relation IN (SELECT r.oid FROM unnest($1::oid[]) AS r(oid)"
    "   UNION SELECT p.relid FROM unnest($1::oid[]) AS r(oid),"
    "   pg_partition_tree(r.oid) AS p)"
    "  AND (h.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock',"
    "   'ExclusiveLock', 'AccessExclusiveLock')"
    "  OR h.mode = 'ShareUpdateExclusiveLock' AND h.virtualtransaction IN"
    "   (SELECT n.virtualtransaction FROM numbered AS n))"
    " UNION SELECT n.virtualtransaction FROM numbered AS n WHERE $2::boolean";

constexpr const char *kRunning =
    "SELECT l.virtualtransaction, min(CASE WHEN l.pid IS NOT NULL THEN"
    " 'process ' || l.pid ELSE 'prepared transaction ' || quote_literal(x.gid)"
    " END) FROM pg_locks AS l LEFT JOIN pg_prepared_xact() AS x"
    " ON l.pid IS NULL AND x.transaction = l.transactionid"
    " WHERE l.virtualtransaction = ANY ($1::text[]) GROUP BY 1";

void Append(const Result &result, std::vector<std::string> *out) {
  for (int row = 0; row < result.rows(); ++row) {
    out->push_back(result.Text(row, 0));
  }
}

double TimeoutSeconds(Connection *connection) {
  const double milliseconds = std::strtod(
      connection
          ->Query("SELECT setting FROM pg_settings WHERE name = 'lock_timeout'")
          .Text(0, 0)
          .c_str(),
      nullptr);
  return milliseconds > 0 ? milliseconds / 1000 : kDefaultTimeout;
}

[[noreturn]] void ThrowOpen(const Result &running) {
  std::string names;
  for (int row = 0; row < running.rows(); ++row) {
    names += (names.empty() ? "" : ", ") + running.Text(row, 1);
  }
  throw ServerError({"ERROR", "55006",
                     "open transactions may still write old values",
                     "They are: " + names + '.',
                     "End these transactions and run this again, or set "
                     "lock_timeout to wait longer. What is committed stays; no "
                     "key can be dropped yet."});
}

}  // namespace

bool CanSeeWriters(Connection *connection) {
  return connection
      ->Query("SELECT pg_has_role('pg_read_all_stats'::name, 'USAGE')")
      .Truth(0, 0);
}

void WaitForWriters(Connection *connection,
                    const std::vector<std::string> &oids, bool whole_database) {
  std::vector<std::string> writers;
  // Snapshots first: a statement with an old one may take its lock and end, and
  // so lose its snapshot, between the two looks.
  Append(connection->Query(kSnapshots), &writers);
  Append(connection->Query(
             kLocks, {ArrayLiteral(oids), whole_database ? "true" : "false"}),
         &writers);
  const double limit = TimeoutSeconds(connection);
  const auto started = std::chrono::steady_clock::now();
  double pause = kFirstPause;
  while (!writers.empty()) {
    const Result running = connection->Query(kRunning, {ArrayLiteral(writers)});
    const std::chrono::duration<double> gone =
        std::chrono::steady_clock::now() - started;
    if (running.rows() > 0 && gone.count() > limit) {
      ThrowOpen(running);
    }
    writers.clear();
    Append(running, &writers);
    if (!writers.empty()) {
      cancel::Sleep(pause);
      pause = std::min(2 * pause, kLongestPause);
    }
  }
}

}  // namespace fernet::client
