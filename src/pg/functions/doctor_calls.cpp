// What fernet_doctor says of functions of others that are called in place of
// ours: PostgreSQL takes the one whose argument types fit best, wherever on the
// search_path it is, and runs it with the caller's rights and key.

#include "pg/functions/doctor_catalog.hpp"
#include "pg/functions/doctor_checks.hpp"

namespace fernet::pg::doctor {
namespace {

// Who owns the extension may add functions and views of his own to it: of its
// members, ours are in C, and views and the like belong to a superuser.
//
// Columns: a routine, type or relation that has a name of ours or could be
// taken for it; whether it is found on the search_path, $1; whether the name is
// ours.
constexpr CatalogQuery kForeign = {
    {"pg_proc", "pg_class", "pg_extension", "pg_depend", "pg_roles",
     "pg_language", "pg_type"},
    "WITH members AS ("
    " SELECT d.classid, d.objid FROM pg_depend AS d"
    " JOIN pg_extension AS e ON e.oid = d.refobjid"
    " WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'"
    " AND e.extname = 'pg_fernet' AND CASE d.classid"
    "  WHEN 'pg_proc'::regclass THEN EXISTS (SELECT FROM pg_proc AS p"
    "   JOIN pg_language AS l ON l.oid = p.prolang"
    "   WHERE p.oid = d.objid AND l.lanname = 'c')"
    "  WHEN 'pg_class'::regclass THEN EXISTS (SELECT FROM pg_class AS c"
    "   JOIN pg_roles AS r ON r.oid = c.relowner"
    "   WHERE c.oid = d.objid AND r.rolsuper) END"
    "), found AS ("
    " SELECT 'pg_proc'::regclass::oid AS classid, p.oid AS objid,"
    "  p.pronamespace AS schema, p.proowner AS owner,"
    "  CASE p.prokind WHEN 'p' THEN 'procedure ' ELSE 'function ' END"
    "  || p.oid::regprocedure::text AS words,"
    "  p.proname IN (SELECT o.proname FROM members AS m"
    "   JOIN pg_proc AS o ON o.oid = m.objid"
    "   WHERE m.classid = 'pg_proc'::regclass) AS is_ours"
    " FROM pg_proc AS p WHERE starts_with(p.proname::text, 'fernet_')"
    " UNION ALL"
    " SELECT 'pg_class'::regclass::oid, c.oid, c.relnamespace, c.relowner,"
    "  'relation ' || c.oid::regclass::text, true"
    " FROM pg_class AS c WHERE c.relpersistence <> 't' AND c.relname IN"
    "  (SELECT o.relname FROM members AS m JOIN pg_class AS o ON o.oid = "
    "m.objid"
    "   WHERE m.classid = 'pg_class'::regclass AND o.relkind IN ('r', 'v'))"
    // f(x) is a cast to the type f, unless a function takes exactly what x is.
    " UNION ALL"
    " SELECT 'pg_type'::regclass::oid, t.oid, t.typnamespace, t.typowner,"
    "  'type ' || t.oid::regtype::text,"
    "  t.typname IN (SELECT o.proname FROM members AS m"
    "   JOIN pg_proc AS o ON o.oid = m.objid"
    "   WHERE m.classid = 'pg_proc'::regclass)"
    " FROM pg_type AS t WHERE starts_with(t.typname::text, 'fernet_')"
    "  AND t.typrelid = 0 AND t.typtype <> 'p'"
    ") SELECT f.words || ' of role ' || quote_ident(r.rolname),"
    "  f.schema = ANY ($1), f.is_ours"
    " FROM found AS f JOIN pg_roles AS r ON r.oid = f.owner"
    " WHERE NOT EXISTS (SELECT FROM members AS m"
    "  WHERE m.classid = f.classid AND m.objid = f.objid)"
    " ORDER BY f.words COLLATE \"C\""};

// Columns: a schema and the roles but its owner that may create in it, if the
// schema is on the search_path, $1, or holds the extension; whether everybody
// may.
constexpr CatalogQuery kOpenSchemas = {
    {"pg_namespace", "pg_roles", "pg_extension"},
    "SELECT quote_ident(n.nspname) || ' ('"
    " || string_agg(CASE a.grantee WHEN 0 THEN 'PUBLIC'"
    " ELSE quote_ident(r.rolname) END, ', '"
    " ORDER BY r.rolname COLLATE \"C\" NULLS FIRST) || ')',"
    " bool_or(a.grantee = 0)"
    " FROM pg_namespace AS n"
    " CROSS JOIN LATERAL aclexplode(n.nspacl) AS a"
    " LEFT JOIN pg_roles AS r ON r.oid = a.grantee"
    " WHERE (n.oid = ANY ($1) OR n.oid IN (SELECT e.extnamespace"
    " FROM pg_extension AS e WHERE e.extname = 'pg_fernet'))"
    " AND a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner"
    " AND r.rolsuper IS NOT TRUE"
    " GROUP BY n.nspname ORDER BY n.nspname COLLATE \"C\""};

struct ForeignCalls {
  Places on_path;
  Places elsewhere;
  bool has_our_name = false;
};

}  // namespace

void CheckCapturedCalls(const Findings &out) {
  ForeignCalls found;
  const bool read = ForEachRow(
      kForeign, out.search_path,
      [](const Row &row, void *state) {
        auto *const calls = static_cast<ForeignCalls *>(state);
        const bool is_ours = row.IsTrue(3);
        (row.IsTrue(2) && is_ours ? &calls->on_path : &calls->elsewhere)
            ->Add(row.Text(1));
        calls->has_our_name = calls->has_our_name || is_ours;
      },
      &found);
  if (!read) {
    out.Add(kNote,
            "This role may not read the catalogs of functions and schemas.",
            "Call fernet_doctor() as a superuser.");
  } else if (!found.on_path.IsEmpty()) {
    out.Add(kFail,
            psprintf("Calls in this session may run code of others with the "
                     "caller's rights and key: %s.",
                     found.on_path.Words()),
            "Drop or rename it, unless you trust it. To be sure which function "
            "is called, write the schema of the extension before the name.");
  } else if (!found.elsewhere.IsEmpty()) {
    out.Add(found.has_our_name ? kWarn : kNote,
            psprintf("Calls in sessions with another search_path, or of a "
                     "later version, may run code of others: %s.",
                     found.elsewhere.Words()),
            "Drop or rename it, unless you trust it.");
  } else {
    out.Add(kOk, "Only the extension has functions and types named fernet_*.");
  }
}

void CheckSearchPath(const Findings &out) {
  struct OpenSchemas {
    Places places;
    bool to_everybody = false;
  } open;
  const bool read = ForEachRow(
      kOpenSchemas, out.search_path,
      [](const Row &row, void *state) {
        auto *const schemas = static_cast<OpenSchemas *>(state);
        schemas->places.Add(row.Text(1));
        schemas->to_everybody = schemas->to_everybody || row.IsTrue(2);
      },
      &open);
  if (!read) {
    out.Add(kNote, "This role may not read who may create in which schema.",
            "Call fernet_doctor() as a superuser.");
  } else if (open.places.IsEmpty()) {
    out.Add(kOk,
            "Only owners and superusers may create functions in the schemas of "
            "this session's search_path and of the extension.");
  } else {
    out.Add(open.to_everybody ? kFail : kWarn,
            psprintf("Roles may create functions that are called in place of "
                     "ours, with the caller's rights and key, in schema %s.",
                     open.places.Words()),
            "REVOKE CREATE ON SCHEMA ... FROM ..., or put the extension into a "
            "schema of its own and write that schema before the names of its "
            "functions.");
  }
}

}  // namespace fernet::pg::doctor
