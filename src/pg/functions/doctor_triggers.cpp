// What fernet_doctor says of triggers beside those that encrypt. PostgreSQL
// fires the triggers of a table in the order of their names.

#include <algorithm>
#include <cstring>

#include "pg/functions/doctor_catalog.hpp"
#include "pg/functions/doctor_checks.hpp"

namespace fernet::pg::doctor {
namespace {

// Columns: a BEFORE trigger that fires after one which encrypts, for the same
// rows; that one; the columns that it encrypts, as in tgargs; and the text of
// the function of the first. A trigger of a partition that it has from its
// parent is left out.
constexpr CatalogQuery kLateTriggers = {
    {"pg_trigger", "pg_proc", "pg_language"},
    "SELECT 'trigger ' || quote_ident(l.tgname) || ' on '"
    "  || l.tgrelid::regclass::text || ' after ' || quote_ident(e.tgname),"
    " e.tgargs, p.prosrc"
    " FROM pg_trigger AS e JOIN pg_proc AS f ON f.oid = e.tgfoid"
    " JOIN pg_language AS c ON c.oid = f.prolang AND c.lanname = 'c'"
    " JOIN pg_trigger AS l ON l.tgrelid = e.tgrelid"
    " JOIN pg_proc AS p ON p.oid = l.tgfoid"
    " WHERE f.prosrc = 'fernet_encrypt_trigger' AND p.prosrc <> f.prosrc"
    // It only writes the column with the index.
    " AND NOT (p.prosrc = 'fernet_blind_index_trigger' AND p.prolang = c.oid)"
    // For each row, before it; on INSERT or on UPDATE.
    " AND e.tgtype & 3 = 3 AND l.tgtype & 3 = 3"
    " AND e.tgtype & l.tgtype & 20 <> 0"
    " AND e.tgenabled <> 'D' AND l.tgenabled <> 'D'"
    " AND NOT l.tgisinternal AND (l.tgparentid = 0 OR e.tgparentid = 0)"
    " AND l.tgname::text COLLATE \"C\" > e.tgname::text COLLATE \"C\""
    " ORDER BY l.tgrelid::regclass::text COLLATE \"C\","
    " l.tgname::text COLLATE \"C\""};

// Holds looks for `word` in `text`, without regard to case.
bool Holds(std::span<const char> text, std::span<const char> word) {
  return std::search(text.begin(), text.end(), word.begin(), word.end(),
                     [](char one, char other) {
                       return pg_tolower(static_cast<unsigned char>(one)) ==
                              pg_tolower(static_cast<unsigned char>(other));
                     }) != text.end();
}

// NamesOneOf says whether `text` has one of `names`, each of which a zero byte
// ends. A path after ':' is left out.
bool NamesOneOf(std::span<const char> text, std::span<const char> names) {
  while (!names.empty()) {
    const auto end = std::ranges::find(names, '\0');
    const auto size = static_cast<std::size_t>(end - names.begin());
    const auto name = names.first(size);
    const auto length =
        static_cast<std::size_t>(std::ranges::find(name, ':') - name.begin());
    if (length > 0 && Holds(text, name.first(length))) {
      return true;
    }
    names = names.subspan(std::min(size + 1, names.size()));
  }
  return false;
}

struct LateTriggers {
  Places writing;
  Places others;
};

void AddLateTrigger(const Row &row, void *state) {
  auto *const late = static_cast<LateTriggers *>(state);
  bool is_null = false;
  const auto names = ViewText(PG_DETOAST_DATUM(row.Value(2, &is_null)));
  const auto text = ViewText(PG_DETOAST_DATUM(row.Value(3, &is_null)));
  (NamesOneOf(text, names) ? &late->writing : &late->others)->Add(row.Text(1));
}

}  // namespace

void CheckTriggerOrder(const Findings &out) {
  LateTriggers late;
  if (!ForEachRow(kLateTriggers, out.search_path, AddLateTrigger, &late)) {
    out.Add(kNote, "This role may not read the catalog of triggers.",
            "Call fernet_doctor() as a superuser.");
  } else if (!late.writing.IsEmpty()) {
    out.Add(kWarn,
            psprintf("What a trigger writes to an encrypted column after "
                     "fernet_encrypt_trigger is stored as plaintext. A column "
                     "is named by %s.",
                     late.writing.Words()),
            "Triggers fire in the order of their names: rename it, or the one "
            "that encrypts, unless it leaves the column alone.");
  } else if (!late.others.IsEmpty()) {
    out.Add(kNote,
            psprintf("What a trigger writes to an encrypted column after "
                     "fernet_encrypt_trigger is stored as plaintext. No such "
                     "column is named by %s.",
                     late.others.Words()),
            "Look whether it writes to the whole row.");
  } else {
    out.Add(kOk, "No BEFORE trigger fires after one that encrypts.");
  }
}

}  // namespace fernet::pg::doctor
