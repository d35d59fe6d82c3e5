// SQL functions fernet_census and fernet_assert_rotated: the values of a column
// by the key that opens them, in one pass that writes nothing.

#include <algorithm>
#include <array>

#include "core/diagnosis.hpp"
#include "pg/boundary.hpp"
#include "pg/column_target.hpp"
#include "pg/job_arguments.hpp"
#include "pg/page_scan.hpp"
#include "pg/report.hpp"
#include "pg/session_keys.hpp"
#include "pg/token_value.hpp"
#include "pg/unix_time.hpp"

namespace fernet::pg {
namespace {

// Group counts values that have the same status, and under a key their times.
struct Group {
  std::int64_t values = 0;
  std::uint64_t oldest = 0;
  std::uint64_t newest = 0;

  void Add(std::uint64_t timestamp) {
    oldest = values == 0 ? timestamp : std::min(oldest, timestamp);
    newest = values == 0 ? timestamp : std::max(newest, timestamp);
    ++values;
  }
};

// Census is the whole count; plain data of a fixed size.
struct Census {
  SessionKeys keys;  // all null without a key
  std::array<Group, kMaxKeys> under_key;
  Group unknown_key;
  Group no_key_set;
  Group malformed;
  std::int64_t plaintext = 0;  // those of malformed with no sign of a token
};

void Count(Census *census, const varlena *value) {
  TokenReader reader(MayGoOn);
  if (!LoadValue(value, &reader).ok()) {
    census->malformed.Add(0);
    census->plaintext +=
        IsNoTraceOfToken(DiagnoseNonToken(ViewText(value))) ? 1 : 0;
    return;
  }
  if (census->keys.ring == nullptr) {
    census->no_key_set.Add(0);
    return;
  }
  std::uint32_t index = 0;
  Status status = FindKey(census->keys, &reader, &index).status;
  if (status == Status::kOk) {
    status = census->keys.ring->CheckPadding(reader, index);
  }
  if (status == Status::kCryptoFailed) {
    ReportCryptoFailure(status);
  }
  if (status == Status::kOk) {
    census->under_key[index].Add(reader.timestamp());
  } else {
    census->unknown_key.Add(0);
  }
}

// Take counts every value of the column that the calling query sees.
void Take(Oid relation, const char *column, Census *census) {
  CheckColumn(relation, column, ColumnAccess::kRead);
  List *const tables = TablesBelow(relation, ColumnAccess::kRead);
  for (int i = 0; i < list_length(tables); ++i) {
    ColumnTarget target;
    if (!OpenTarget(list_nth_oid(tables, i), column, ColumnAccess::kRead,
                    &target)) {
      continue;
    }
    ScanValues(
        target, {0, target.pages},
        [](TupleTableSlot *, varlena *value, void *state) {
          Count(static_cast<Census *>(state), value);
        },
        census);
    CloseTarget(target);
  }
}

// Output writes rows of fernet_census.
struct Output {
  ReturnSetInfo *result;

  void Row(const char *status, const Group &group, int32 key_index,
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

SessionKeys CurrentOrNone() {
  return session_keys::HasKey() ? session_keys::Current() : SessionKeys{};
}

}  // namespace
}  // namespace fernet::pg

// fernet_census(relation regclass, column_name name, OUT status text,
//     OUT key_index integer, OUT fingerprint text, OUT tokens bigint,
//     OUT oldest timestamptz, OUT newest timestamptz) returns setof record
FERNET_SQL_FUNCTION(fernet_census) {
  namespace pg = fernet::pg;
  InitMaterializedSRF(fcinfo, 0);
  pg::Census census = {.keys = pg::CurrentOrNone(),
                       .under_key = {},
                       .unknown_key = {},
                       .no_key_set = {},
                       .malformed = {}};
  pg::Take(PG_GETARG_OID(0), NameStr(*PG_GETARG_NAME(1)), &census);
  const pg::Output out = {
      reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo)};
  const std::uint32_t keys =
      census.keys.ring == nullptr ? 0 : census.keys.ring->size();
  for (std::uint32_t i = 0; i < keys; ++i) {
    out.Row(i == 0 ? "primary" : "secondary", census.under_key[i],
            static_cast<int32>(i + 1), &census.keys.list->keys()[i]);
  }
  out.Row("unknown key", census.unknown_key, 0, nullptr);
  out.Row("malformed", census.malformed, 0, nullptr);
  out.Row("no key set", census.no_key_set, 0, nullptr);
  return Datum{0};
}

// fernet_assert_rotated(relation regclass, column_name name,
//     on_plaintext text DEFAULT 'fail') returns void
FERNET_SQL_FUNCTION(fernet_assert_rotated) {
  namespace pg = fernet::pg;
  constexpr const char *kNames[] = {"relation", "column_name", "on_plaintext"};
  pg::RequireArguments(fcinfo, kNames, lengthof(kNames));
  const pg::OnPlaintext on_plaintext = pg::ReadOnPlaintext(fcinfo, 2);
  if (on_plaintext == pg::OnPlaintext::kEncrypt) {
    pg::RefuseParameter("on_plaintext", "\"fail\" or \"leave\"");
  }
  pg::Census census = {.keys = pg::session_keys::Current(),
                       .under_key = {},
                       .unknown_key = {},
                       .no_key_set = {},
                       .malformed = {}};
  const Oid relation = PG_GETARG_OID(0);
  const char *const column = NameStr(*PG_GETARG_NAME(1));
  pg::Take(relation, column, &census);
  std::int64_t secondary = 0;
  for (std::uint32_t i = 1; i < census.keys.ring->size(); ++i) {
    secondary += census.under_key[i].values;
  }
  const std::int64_t malformed =
      census.malformed.values -
      (on_plaintext == pg::OnPlaintext::kFail ? 0 : census.plaintext);
  const std::int64_t left = secondary + census.unknown_key.values + malformed;
  if (left > 0) {
    pg::DropContext();
    ereport(ERROR, errcode(pg::kValuesLeft),
            errmsg(INT64_FORMAT " of " INT64_FORMAT
                                " values in %s are not under the first key",
                   left,
                   left + census.under_key[0].values + census.malformed.values -
                       malformed,
                   pg::NameOf(relation, column)),
            errdetail("Under another key of \"fernet.key\": " INT64_FORMAT
                      ". Under none of them: " INT64_FORMAT
                      ". Not tokens: " INT64_FORMAT ".",
                      secondary, census.unknown_key.values, malformed),
            pg::HideStatement());
  }
  PG_RETURN_VOID();
}
