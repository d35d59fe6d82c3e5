// SQL function fernet_census.

#include "pg/column/column_census.hpp"
#include "pg/report/report.hpp"
#include "pg/server/boundary.hpp"
#include "pg/server/unix_time.hpp"
#include "pg/session/session_keys.hpp"

namespace fernet::pg {
namespace {

// Output writes rows of fernet_census.
struct Output {
  ReturnSetInfo *result;

  void Row(const char *status, const CensusGroup &group, int32 key_index,
           const Key *key) const {
    if (group.values == 0) {
      return;
    }
    FingerprintText fingerprint = {};
    TimestampTz oldest = 0;
    TimestampTz newest = 0;
    const bool has_key = key != nullptr;
    const bool has_fingerprint =
        has_key && Fingerprint(*key, &fingerprint) == Status::kOk;
    const bool has_oldest =
        has_key && UnixSecondsToTimestamp(group.oldest, &oldest);
    const bool has_newest =
        has_key && UnixSecondsToTimestamp(group.newest, &newest);
    Datum values[] = {CStringGetTextDatum(status),
                      Int32GetDatum(key_index),
                      CStringGetTextDatum(fingerprint.data()),
                      Int64GetDatum(group.values),
                      TimestampTzGetDatum(oldest),
                      TimestampTzGetDatum(newest)};
    bool nulls[] = {false, !has_key,    !has_fingerprint,
                    false, !has_oldest, !has_newest};
    tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
  }
};

}  // namespace
}  // namespace fernet::pg

// fernet_census(relation regclass, column_name name, OUT status text,
//     OUT key_index integer, OUT fingerprint text, OUT tokens bigint,
//     OUT oldest timestamptz, OUT newest timestamptz) returns setof record
FERNET_SQL_FUNCTION(fernet_census) {
  namespace pg = fernet::pg;
  InitMaterializedSRF(fcinfo, 0);
  pg::ColumnCensus census;
  pg::TakeCensus(PG_GETARG_OID(0), NameStr(*PG_GETARG_NAME(1)),
                 pg::session_keys::CurrentOrNone(), &census);
  const pg::Output out = {
      reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo)};
  const std::uint32_t keys =
      census.keys.ring == nullptr ? 0 : census.keys.ring->size();
  for (std::uint32_t i = 0; i < keys; ++i) {
    out.Row(i == 0 ? "primary" : "secondary", census.of_key[i],
            static_cast<int32>(i + 1), &census.keys.list->keys()[i]);
  }
  out.Row("unknown key", census.unknown_key, 0, nullptr);
  out.Row("malformed", census.malformed, 0, nullptr);
  out.Row("no key set", census.no_key_set, 0, nullptr);
  return Datum{0};
}
