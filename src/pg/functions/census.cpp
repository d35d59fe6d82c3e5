// SQL function fernet_census.

#include "pg/column/column_census.hpp"
#include "pg/server/boundary.hpp"
#include "pg/server/result_rows.hpp"
#include "pg/server/unix_time.hpp"
#include "pg/session/session_keys.hpp"

namespace fernet::pg {
namespace {

void AddTime(ResultRow *row, std::uint64_t seconds) {
  TimestampTz time = 0;
  if (UnixSecondsToTimestamp(seconds, &time)) {
    row->Time(time);
  } else {
    row->Null();
  }
}

// AddGroup adds a row for `group`, of the values that `key` decrypts, or null.
void AddGroup(const ResultRows &rows, const char *status,
              const CensusGroup &group, std::int32_t key_index,
              const Key *key) {
  if (group.values == 0) {
    return;
  }
  ResultRow row;
  row.Text(status);
  if (key == nullptr) {
    row.Null();
    row.Null();
    row.BigInt(group.values);
    row.Null();
    row.Null();
  } else {
    FingerprintText fingerprint;
    row.Int(key_index);
    row.Text(Fingerprint(*key, &fingerprint) == Status::kOk ? fingerprint.data()
                                                            : nullptr);
    row.BigInt(group.values);
    AddTime(&row, group.oldest);
    AddTime(&row, group.newest);
  }
  rows.Add(&row);
}

}  // namespace
}  // namespace fernet::pg

// fernet_census(relation regclass, column_name name, OUT status text,
//     OUT key_index integer, OUT fingerprint text, OUT tokens bigint,
//     OUT oldest timestamptz, OUT newest timestamptz) returns setof record
FERNET_SQL_FUNCTION(fernet_census) {
  namespace pg = fernet::pg;
  const pg::ResultRows rows(fcinfo);
  pg::ColumnCensus census;
  pg::TakeCensus(PG_GETARG_OID(0), NameStr(*PG_GETARG_NAME(1)),
                 pg::session_keys::CurrentOrNone(), &census);
  const std::uint32_t keys =
      census.keys.ring == nullptr ? 0 : census.keys.ring->size();
  for (std::uint32_t i = 0; i < keys; ++i) {
    pg::AddGroup(rows, i == 0 ? "primary" : "secondary", census.of_key[i],
                 static_cast<int32>(i + 1), &census.keys.list->keys()[i]);
  }
  pg::AddGroup(rows, "unknown key", census.unknown_key, 0, nullptr);
  pg::AddGroup(rows, "malformed", census.malformed, 0, nullptr);
  pg::AddGroup(rows, "no key set", census.no_key_set, 0, nullptr);
  return Datum{0};
}
