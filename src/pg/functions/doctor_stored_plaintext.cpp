// What fernet_doctor says of decrypted values that the database would keep. It
// follows what depends on the decrypting functions, through views, rules,
// operators and functions. The text of a function that is a string, as of
// PL/pgSQL, has no dependencies: there it looks for the name.

#include "pg/functions/doctor_catalog.hpp"
#include "pg/functions/doctor_checks.hpp"

namespace fernet::pg::doctor {
namespace {

// What decrypts: a function, an operator, a view; and what keeps the results,
// on which nothing more depends (`leads` is false). A rule leads to its view. A
// rule that depends only on the view it belongs to does not decrypt, since each
// rule does, so as to write to it.
//
// Column: a place where results are kept, or may be.
constexpr CatalogQuery kKeepers = {
    {"pg_proc", "pg_class", "pg_extension", "pg_depend", "pg_rewrite",
     "pg_language", "pg_attrdef", "pg_attribute", "pg_statistic_ext",
     "pg_namespace"},
    "WITH RECURSIVE decrypts(classid, objid, leads) AS ("
    " SELECT 'pg_proc'::regclass::oid, p.oid, true FROM pg_proc AS p"
    " WHERE p.prokind = 'f' AND p.proname::text ~ '^fernet_(try_)?decrypt'"
    " AND EXISTS (SELECT FROM pg_depend AS d"
    "  JOIN pg_extension AS e ON e.oid = d.refobjid"
    "  WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'"
    "  AND d.classid = 'pg_proc'::regclass AND d.objid = p.oid"
    "  AND e.extname = 'pg_fernet')"
    " UNION SELECT 'pg_proc'::regclass::oid, p.oid, true"
    " FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang"
    " WHERE l.lanname NOT IN ('internal', 'c')"
    " AND p.prosrc ~* 'fernet_(try_)?decrypt'"
    " UNION SELECT step.classid, step.objid, step.leads"
    " FROM decrypts AS s JOIN pg_depend AS d ON d.refclassid = s.classid"
    "  AND d.refobjid = s.objid AND d.deptype IN ('n', 'a') AND s.leads"
    " CROSS JOIN LATERAL ("
    "  SELECT d.classid, d.objid, true"
    "  WHERE d.classid IN ('pg_proc'::regclass, 'pg_operator'::regclass)"
    "  UNION ALL SELECT d.classid, d.objid, false"
    "  WHERE s.classid <> 'pg_class'::regclass AND d.classid IN"
    "  ('pg_class'::regclass, 'pg_attrdef'::regclass,"
    "   'pg_statistic_ext'::regclass)"
    "  UNION ALL SELECT 'pg_class'::regclass::oid, w.ev_class, true"
    "  FROM pg_rewrite AS w WHERE d.classid = 'pg_rewrite'::regclass"
    "  AND w.oid = d.objid AND w.ev_class <> s.objid AND w.ev_type = '1'"
    "  UNION ALL SELECT d.classid, w.oid, false"
    "  FROM pg_rewrite AS w WHERE d.classid = 'pg_rewrite'::regclass"
    "  AND w.oid = d.objid AND w.ev_class <> s.objid AND w.ev_type <> '1'"
    " ) AS step(classid, objid, leads)"
    "), keepers(place) AS ("
    " SELECT 'function ' || p.oid::regprocedure::text"
    " FROM decrypts AS s JOIN pg_proc AS p ON p.oid = s.objid"
    " WHERE s.classid = 'pg_proc'::regclass AND p.provolatile = 'i'"
    " UNION ALL SELECT CASE c.relkind WHEN 'm' THEN 'materialized view '"
    "  WHEN 'p' THEN 'the partition key of ' ELSE 'index ' END"
    "  || c.oid::regclass::text"
    " FROM decrypts AS s JOIN pg_class AS c ON c.oid = s.objid"
    " WHERE s.classid = 'pg_class'::regclass AND c.relkind IN"
    "  ('m', 'p', 'i', 'I')"
    " UNION ALL SELECT CASE a.attgenerated WHEN '' THEN 'the default of '"
    "  ELSE 'generated column ' END || a.attrelid::regclass::text || '.'"
    "  || quote_ident(a.attname)"
    " FROM decrypts AS s JOIN pg_attrdef AS f ON f.oid = s.objid"
    " JOIN pg_attribute AS a ON a.attrelid = f.adrelid AND a.attnum = f.adnum"
    " WHERE s.classid = 'pg_attrdef'::regclass AND a.attgenerated IN ('', 's')"
    " UNION ALL SELECT 'statistics ' || quote_ident(n.nspname) || '.'"
    "  || quote_ident(x.stxname)"
    " FROM decrypts AS s JOIN pg_statistic_ext AS x ON x.oid = s.objid"
    " JOIN pg_namespace AS n ON n.oid = x.stxnamespace"
    " WHERE s.classid = 'pg_statistic_ext'::regclass"
    " UNION ALL SELECT 'rule ' || quote_ident(w.rulename) || ' of '"
    "  || w.ev_class::regclass::text"
    " FROM decrypts AS s JOIN pg_rewrite AS w ON w.oid = s.objid"
    " WHERE s.classid = 'pg_rewrite'::regclass"
    ") SELECT place FROM keepers ORDER BY place COLLATE \"C\""};

// Triggers whose function names one that decrypts. Whether such a trigger keeps
// the plaintext, only its author knows. Column: the trigger. A trigger of a
// partition that it has from its parent is left out.
constexpr CatalogQuery kTriggers = {
    {"pg_trigger", "pg_proc", "pg_language"},
    "SELECT 'trigger ' || quote_ident(t.tgname) || ' on '"
    "  || t.tgrelid::regclass::text"
    " FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid"
    " JOIN pg_language AS l ON l.oid = p.prolang"
    " WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgenabled <> 'D'"
    " AND l.lanname NOT IN ('internal', 'c')"
    " AND p.prosrc ~* 'fernet_(try_)?decrypt'"
    " ORDER BY t.tgrelid::regclass::text COLLATE \"C\","
    " t.tgname::text COLLATE \"C\""};

void AddPlace(const Row &row, void *state) {
  static_cast<Places *>(state)->Add(row.Text(1));
}

void CheckTriggers(const Findings &out) {
  Places triggers;
  if (ForEachRow(kTriggers, out.search_path, AddPlace, &triggers) &&
      !triggers.IsEmpty()) {
    out.Add(kNote,
            psprintf("Triggers decrypt, and may store what they decrypt: %s.",
                     triggers.Words()),
            "Look at the function of each: it must not write a plaintext into "
            "a table.");
  }
}

}  // namespace

void CheckStoredPlaintext(const Findings &out) {
  Places places;
  const bool read = ForEachRow(kKeepers, out.search_path, AddPlace, &places);
  CheckTriggers(out);
  if (!read) {
    out.Add(kNote,
            "This role may not read the catalogs of indexes, statistics, "
            "columns and rules.",
            "Call fernet_doctor() as a superuser.");
  } else if (places.IsEmpty()) {
    out.Add(kOk,
            "No index, statistics, column, rule, materialized view or function "
            "declared IMMUTABLE decrypts.");
  } else {
    out.Add(kFail,
            psprintf("Decrypted values are stored, or may be, by %s.",
                     places.Words()),
            "Drop it: a function that decrypts must be STABLE, and its results "
            "must not be stored. VACUUM and ANALYZE have no key and fail on an "
            "index or statistics that decrypts.");
  }
}

}  // namespace fernet::pg::doctor
