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

constexpr const char *kForms[] = {"whole", "inside", "encoded", "nested"};

// AddKey adds a row for the tokens of a form that a key decrypts.
void AddKey(const ResultRows &rows, const char *form, const CensusGroup &group,
            const KeyList &list, std::uint32_t index) {
  if (group.values == 0) {
    return;
  }
  FingerprintText fingerprint;
  ResultRow row;
  row.Text(index == 0 ? "primary" : "secondary");
  row.Text(form);
  row.Int(static_cast<std::int32_t>(index + 1));
  row.Text(Fingerprint(list.keys()[index], &fingerprint) == Status::kOk
               ? fingerprint.data()
               : nullptr);
  row.BigInt(group.values);
  AddTime(&row, group.oldest);
  AddTime(&row, group.newest);
  row.Null();
  row.Null();
  rows.Add(&row);
}

// AddOthers adds a row for tokens whose times no key vouches for, or without a
// form for values that are no tokens.
void AddOthers(const ResultRows &rows, const char *status, const char *form,
               const CensusGroup &group) {
  if (group.values == 0) {
    return;
  }
  ResultRow row;
  row.Text(status);
  row.Text(form);
  row.Null();
  row.Null();
  row.BigInt(group.values);
  row.Null();
  row.Null();
  if (form == nullptr) {
    row.Null();
    row.Null();
  } else {
    AddTime(&row, group.oldest);
    AddTime(&row, group.newest);
  }
  rows.Add(&row);
}

void AddTokens(const ResultRows &rows, const ColumnCensus &census) {
  const std::uint32_t keys =
      census.keys.ring == nullptr ? 0 : census.keys.ring->size();
  for (std::uint32_t i = 0; i < keys; ++i) {
    for (std::size_t form = 0; form < kTokenForms; ++form) {
      AddKey(rows, kForms[form], census.tokens[form].of_key[i],
             *census.keys.list, i);
    }
  }
  for (std::size_t form = 0; form < kTokenForms; ++form) {
    AddOthers(rows, "unknown key", kForms[form],
              census.tokens[form].unknown_key);
  }
  for (std::size_t form = 0; form < kTokenForms; ++form) {
    AddOthers(rows, "no key set", kForms[form], census.tokens[form].no_key_set);
  }
}

}  // namespace
}  // namespace fernet::pg

// fernet_census(relation regclass, column_name name, OUT status text,
//     OUT form text, OUT key_index integer, OUT fingerprint text,
//     OUT tokens bigint, OUT oldest timestamptz, OUT newest timestamptz,
//     OUT oldest_unverified timestamptz, OUT newest_unverified timestamptz)
//     returns setof record
FERNET_SQL_FUNCTION(fernet_census) {
  namespace pg = fernet::pg;
  const pg::Reader reader =
      pg::ReaderOf(fcinfo->flinfo->fn_oid, PG_GETARG_OID(0));
  const pg::ResultRows rows(fcinfo);
  pg::ColumnCensus census;
  const char *const column = NameStr(*PG_GETARG_NAME(1));
  pg::TakeCensus(PG_GETARG_OID(0), pg::ColumnNames(&column, 1),
                 pg::session_keys::CurrentOrNone(), reader, nullptr, &census);
  pg::AddTokens(rows, census);
  const std::int64_t damaged = census.malformed.values - census.plaintext;
  pg::AddOthers(rows, "malformed", nullptr, {.values = damaged});
  pg::AddOthers(rows, "plaintext", nullptr, {.values = census.plaintext});
  pg::AddOthers(rows, "empty", nullptr, census.empty);
  pg::AddOthers(rows, "no token", nullptr, census.without);
  return Datum{0};
}
