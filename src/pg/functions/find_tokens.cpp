// SQL function fernet_find_tokens: every place of the database with tokens.

#include <cmath>

#include "pg/column/reading.hpp"
#include "pg/functions/database_search.hpp"
#include "pg/functions/job_arguments.hpp"
#include "pg/report/report.hpp"
#include "pg/server/boundary.hpp"
#include "pg/server/result_rows.hpp"
#include "pg/session/session_keys.hpp"

namespace fernet::pg {
namespace {

constexpr const char *kForms[] = {"whole", "inside", "encoded", "nested"};

// Finder adds a row for each thing that is found in a place.
class Finder {
 public:
  Finder(const ResultRows &rows, const SessionKeys &keys, bool is_sample)
      : rows_(rows), keys_(keys), is_sample_(is_sample) {}

  void Add(const SearchedPlace &place) const {
    if (place.not_read != nullptr) {
      AddRow(place, nullptr, "not read", -1, 0, place.not_read);
      return;
    }
    AddTokens(place);
    AddRest(place);
  }

  void AddSample(const PageCount &pages, double percent) const {
    AddRow({.type = "sample"}, nullptr, "not read", -1, 0,
           psprintf("A sample of %g %% proves nothing: " INT64_FORMAT
                    " of " INT64_FORMAT " pages of " INT64_FORMAT
                    " tables were read.",
                    percent, pages.read, pages.pages, pages.tables));
  }

 private:
  void AddTokens(const SearchedPlace &place) const {
    const TokenTally &tally = *place.tally;
    const std::uint32_t keys = keys_.ring == nullptr ? 0 : keys_.ring->size();
    for (std::uint32_t key = 0; key < keys; ++key) {
      for (std::size_t form = 0; form < kTokenForms; ++form) {
        AddRow(place, kForms[form], key == 0 ? "primary" : "secondary",
               static_cast<std::int32_t>(key), tally.of_key[form][key]);
      }
    }
    for (std::size_t form = 0; form < kTokenForms; ++form) {
      AddRow(place, kForms[form], "unknown key", -1, tally.unknown_key[form]);
      AddRow(place, kForms[form], "no key set", -1, tally.no_key_set[form]);
    }
  }

  void AddRest(const SearchedPlace &place) const {
    const TokenTally &tally = *place.tally;
    AddRow(place, nullptr, "malformed", -1, tally.malformed,
           tally.malformed > 0 ? "They begin like tokens, and were cut or "
                                 "changed."
                               : nullptr);
    if (tally.too_many > 0) {
      AddRow(
          place, nullptr, "not read", -1, 0,
          psprintf(
              "More looks like a token than can be tried. Values: " INT64_FORMAT
              ".",
              tally.too_many));
    }
    if (tally.not_read > 0) {
      AddRow(place, nullptr, "not read", -1, 0,
             psprintf("A part is of type %s, which is not searched. "
                      "Values: " INT64_FORMAT ".",
                      format_type_be(tally.not_read_type), tally.not_read));
    }
  }

  const char *DetailOf(const SearchedPlace &place, const char *detail) const {
    if (place.name != nullptr) {
      return detail == nullptr ? place.name
                               : psprintf("%s: %s", place.name, detail);
    }
    return detail == nullptr && is_sample_ ? "Counted in a sample." : detail;
  }

  // AddRow adds nothing for no tokens, unless `detail` says why there are none.
  void AddRow(const SearchedPlace &place, const char *form, const char *status,
              std::int32_t key, std::int64_t tokens,
              const char *detail = nullptr) const {
    if (tokens == 0 && detail == nullptr) {
      return;
    }
    ResultRow row;
    if (OidIsValid(place.relation)) {
      row.ObjectId(place.relation);
    } else {
      row.Null();
    }
    NameData column = {};
    if (place.column != nullptr) {
      namestrcpy(&column, place.column);
      row.Value(NameGetDatum(&column));
    } else {
      row.Null();
    }
    row.Text(place.type);
    row.Text(form);
    row.Text(status);
    AddKey(&row, key);
    if (tokens > 0) {
      row.BigInt(tokens);
    } else {
      row.Null();
    }
    row.Text(DetailOf(place, detail));
    rows_.Add(&row);
  }

  void AddKey(ResultRow *row, std::int32_t key) const {
    if (key < 0) {
      row->Null();
      row->Null();
    } else {
      row->Int(key + 1);
      row->Text(
          FingerprintOf(keys_.list->keys()[static_cast<std::size_t>(key)]));
    }
  }

  const ResultRows &rows_;
  const SessionKeys keys_;
  const bool is_sample_;
};

double ReadPercent(FunctionCallInfo fcinfo, int index) {
  RequireArgument(fcinfo, index, "sample_percent");
  const double percent = PG_GETARG_FLOAT8(index);
  if (std::isnan(percent) || percent <= 0 || percent > 100) {
    RefuseParameter("sample_percent", "above 0 and at most 100");
  }
  return percent;
}

}  // namespace
}  // namespace fernet::pg

// fernet_find_tokens(schemas name[] DEFAULT NULL,
//     relations regclass[] DEFAULT NULL,
//     sample_percent double precision DEFAULT 100, OUT relation regclass,
//     OUT column_name name, OUT type text, OUT form text, OUT status text,
//     OUT key_index integer, OUT fingerprint text, OUT tokens bigint,
//     OUT detail text) returns setof record
FERNET_SQL_FUNCTION(fernet_find_tokens) {
  namespace pg = fernet::pg;
  const double percent = pg::ReadPercent(fcinfo, 2);
  const pg::SearchScope scope = pg::ReadScope(fcinfo, 0, 1);
  pg::RequireReadCommitted();
  const pg::ResultRows rows(fcinfo);
  const pg::SessionKeys keys = pg::session_keys::CurrentOrNone();
  pg::Finder finder(rows, keys, percent < 100);
  const pg::SearchRule rule = {
      .keys = keys,
      .percent = percent,
      .snapshot = nullptr,
      .sink =
          [](const pg::SearchedPlace &place, void *state) {
            static_cast<const pg::Finder *>(state)->Add(place);
          },
      .state = &finder};
  const pg::PageCount pages =
      pg::SearchTables(pg::ListTables(scope, GetLatestSnapshot()), rule);
  pg::SearchCatalogs(scope, rule);
  if (percent < 100) {
    finder.AddSample(pages, percent);
  }
  return Datum{0};
}
