// SQL procedure fernet_rotate_table.

#include "pg/column/column_census.hpp"
#include "pg/functions/column_call.hpp"
#include "pg/functions/job_arguments.hpp"
#include "pg/report/report.hpp"
#include "pg/session/session_keys.hpp"

namespace fernet::pg {
namespace {

bool HasToken(const ColumnCensus &census) {
  for (const CensusTokens &form : census.tokens) {
    std::int64_t tokens = form.unknown_key.values;
    for (const CensusGroup &key : form.of_key) {
      tokens += key.values;
    }
    if (tokens > 0) {
      return true;
    }
  }
  return false;
}

// ColumnsWithTokens is those of `columns` in which there is a token, as a
// literal of the type name[], or null if there is none in any.
const char *ColumnsWithTokens(Oid relation, ColumnNames columns) {
  auto *const census = static_cast<ColumnCensus *>(
      palloc(columns.size() * sizeof(ColumnCensus)));
  TakeCensus(relation, columns, session_keys::Current(), Reader::kUnmarked,
             nullptr, census);
  auto *const found =
      static_cast<Datum *>(palloc(columns.size() * sizeof(Datum)));
  int count = 0;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (HasToken(census[i])) {
      found[count++] = CStringGetTextDatum(columns[i]);
    }
  }
  if (count == 0) {
    return nullptr;
  }
  ArrayType *const names =
      construct_array(found, count, TEXTOID, -1, false, TYPALIGN_INT);
  Oid output = InvalidOid;
  bool is_varlena = false;
  getTypeOutputInfo(TEXTARRAYOID, &output, &is_varlena);
  return quote_literal_cstr(
      OidOutputFunctionCall(output, PointerGetDatum(names)));
}

// RefuseAll: a rotation signs anew what is there. Whoever has the old key and
// may write to any column could have a forgery signed with the new one.
[[noreturn]] void RefuseAll(Oid relation, ColumnNames columns) {
  const char *const found = ColumnsWithTokens(relation, columns);
  FERNET_RAISE(
      ERRCODE_INVALID_PARAMETER_VALUE,
      errmsg("\"columns\" must name the columns to rotate"),
      found == nullptr
          ? errdetail("No token was found in %s.", NameOf(relation, columns))
          : errdetail("Tokens were found in: columns => %s.", found),
      errhint("Name those in which tokens belong. A rotation encrypts with the "
              "new key what it finds, also a token that somebody has made with "
              "the old key and written to another column."));
}

void RequireDifferent(ColumnNames columns) {
  for (std::size_t i = 0; i < columns.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (strcmp(columns[i], columns[j]) == 0) {
        FERNET_RAISE(ERRCODE_DUPLICATE_COLUMN,
                     errmsg("column \"%s\" is more than once in \"columns\"",
                            columns[i]));
      }
    }
  }
}

ColumnNames ReadColumns(ArrayType *array) {
  Datum *elements = nullptr;
  bool *nulls = nullptr;
  int count = 0;
  deconstruct_array(array, NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR,
                    &elements, &nulls, &count);
  auto *const names = static_cast<const char **>(
      palloc(static_cast<Size>(count + 1) * sizeof(const char *)));
  for (int i = 0; i < count; ++i) {
    if (nulls[i]) {
      RefuseParameter("columns", "a list without a null");
    }
    names[i] = NameStr(*DatumGetName(elements[i]));
  }
  if (count == 0) {
    RefuseParameter("columns", "a list of at least one column, or NULL");
  }
  const ColumnNames columns(names, static_cast<std::size_t>(count));
  RequireDifferent(columns);
  return columns;
}

// ColumnsToRotate reads "columns" at `index`. Without it, a dry run is for all
// columns that can hold tokens.
ColumnNames ColumnsToRotate(FunctionCallInfo fcinfo, int index, Oid relation,
                            bool dry_run) {
  if (!PG_ARGISNULL(index)) {
    return ReadColumns(PG_GETARG_ARRAYTYPE_P(index));
  }
  const ColumnNames all = FindTokenColumns(relation, ColumnAccess::kTry).names;
  if (!dry_run) {
    RefuseAll(relation, all);
  }
  return all;
}

}  // namespace
}  // namespace fernet::pg

// fernet_rotate_table(relation regclass, columns name[] DEFAULT NULL,
//     batch_rows integer DEFAULT 5000, pause interval DEFAULT '0',
//     slice integer DEFAULT 1, slices integer DEFAULT 1,
//     dry_run boolean DEFAULT false, on_unknown text DEFAULT 'fail',
//     max_lag interval DEFAULT NULL,
//     INOUT rotated bigint, INOUT unchanged bigint, INOUT failed bigint)
FERNET_SQL_FUNCTION(fernet_rotate_table) {
  namespace pg = fernet::pg;
  constexpr const char *kNames[] = {"relation", nullptr,     "batch_rows",
                                    "pause",    "slice",     "slices",
                                    "dry_run",  "on_unknown"};
  pg::RequireNoTransactionBlock(fcinfo);
  for (int i = 0; i < static_cast<int>(lengthof(kNames)); ++i) {
    if (kNames[i] != nullptr) {
      pg::RequireArgument(fcinfo, i, kNames[i]);
    }
  }
  pg::ColumnJob job = {
      .relation = PG_GETARG_OID(0),
      .columns = {},
      .rule = {.direction = pg::ValueRule::kRotate,
               .on_plaintext = pg::OnPlaintext::kLeave,
               .on_unknown = pg::ReadOnUnknown(fcinfo, 7),
               .keys = {}},
      .batch_rows = pg::ReadBatchRows(fcinfo, 2),
      .pause_microseconds = pg::ReadInterval(fcinfo, 3, "pause"),
      .max_lag_microseconds = pg::ReadMaxLag(fcinfo, 8),
      .slice = 1,
      .slices = 1,
      .dry_run = PG_GETARG_BOOL(6),
      .caller = fcinfo->flinfo->fn_oid,
  };
  pg::ReadSlice(fcinfo, 4, &job);
  job.columns = pg::ColumnsToRotate(fcinfo, 1, job.relation, job.dry_run);
  return pg::RunForCall(fcinfo, job);
}
