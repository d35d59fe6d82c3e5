// What fernet_doctor says of keys that the database or its server keeps: of
// anything that looks like one, wherever a user may have put it in a catalog.
// It tells the place, never the key.

#include <cstring>

#include "core/key_search.hpp"
#include "pg/functions/doctor_catalog.hpp"
#include "pg/functions/doctor_checks.hpp"

namespace fernet::pg::doctor {
namespace {

// Source is a kind of place. Columns of `query`: the place, and what stands
// there: text, bytea, or an expression. Null stands for what the caller may not
// read.
struct Source {
  const char *name;
  CatalogQuery query;
};

constexpr Source kSources[] = {
    {"settings of roles and databases",
     {{"pg_db_role_setting", "pg_roles", "pg_database"},
      "SELECT CASE WHEN s.setrole = 0 AND s.setdatabase = 0"
      " THEN 'the settings of all roles' ELSE"
      " 'the settings of ' || concat_ws(' in ', CASE WHEN s.setrole <> 0"
      "  THEN 'role ' || quote_ident(r.rolname) END,"
      "  CASE WHEN s.setdatabase <> 0"
      "  THEN 'database ' || quote_ident(d.datname) END) END, c"
      " FROM pg_db_role_setting AS s"
      " LEFT JOIN pg_roles AS r ON r.oid = s.setrole"
      " LEFT JOIN pg_database AS d ON d.oid = s.setdatabase"
      " CROSS JOIN LATERAL unnest(s.setconfig) AS c"
      " ORDER BY s.setrole, s.setdatabase"}},
    {"functions",
     {{"pg_proc", "pg_language"},
      "SELECT 'function ' || p.oid::regprocedure::text, body"
      " FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang"
      " CROSS JOIN LATERAL (SELECT p.prosrc"
      "  WHERE l.lanname NOT IN ('internal', 'c')"
      "  UNION ALL SELECT unnest(p.proconfig)) AS b(body)"
      " ORDER BY p.oid"}},
    {"servers and foreign tables",
     {{"pg_foreign_data_wrapper", "pg_foreign_server", "pg_foreign_table",
       "pg_attribute"},
      "SELECT place, unnest(options) FROM ("
      " SELECT 'foreign data wrapper ' || quote_ident(w.fdwname), w.fdwoptions"
      " FROM pg_foreign_data_wrapper AS w"
      " UNION ALL SELECT 'server ' || quote_ident(s.srvname), s.srvoptions"
      " FROM pg_foreign_server AS s"
      " UNION ALL SELECT 'foreign table ' || t.ftrelid::regclass::text,"
      "  t.ftoptions FROM pg_foreign_table AS t"
      " UNION ALL SELECT 'column ' || a.attrelid::regclass::text || '.'"
      "  || quote_ident(a.attname), a.attfdwoptions FROM pg_attribute AS a"
      "  WHERE a.attfdwoptions IS NOT NULL"
      ") AS o(place, options) ORDER BY place COLLATE \"C\""}},
    {"user mappings",
     {{"pg_user_mappings", "pg_foreign_server", "pg_roles"},
      "SELECT 'the user mapping of ' || CASE u.umuser WHEN 0 THEN 'PUBLIC'"
      "  ELSE quote_ident(u.usename) END || ' for server '"
      "  || quote_ident(u.srvname), o"
      " FROM pg_user_mappings AS u"
      " JOIN pg_foreign_server AS s ON s.oid = u.srvid"
      " CROSS JOIN (SELECT r.rolsuper FROM pg_roles AS r"
      "  WHERE r.rolname = current_user) AS me"
      " CROSS JOIN LATERAL (SELECT unnest(u.umoptions) UNION ALL SELECT NULL"
      "  WHERE u.umoptions IS NULL AND NOT me.rolsuper"
      "  AND NOT (pg_has_role(s.srvowner, 'USAGE') AND u.umuser = 0"
      "   OR (pg_has_role(s.srvowner, 'USAGE')"
      "    OR has_server_privilege(s.oid, 'USAGE'))"
      "    AND u.usename = current_user)) AS c(o)"
      " ORDER BY u.srvid, u.umid"}},
    {"arguments of triggers",
     {{"pg_trigger"},
      "SELECT 'trigger ' || quote_ident(t.tgname) || ' on '"
      "  || t.tgrelid::regclass::text, t.tgargs FROM pg_trigger AS t"}},
    {"comments and security labels",
     {{"pg_description", "pg_shdescription", "pg_seclabel", "pg_shseclabel"},
      "SELECT 'the comment on '"
      "  || pg_describe_object(d.classoid, d.objoid, d.objsubid), d.description"
      " FROM pg_description AS d WHERE d.objoid >= 16384"
      // Of what initdb has made, with comments, schema public for example.
      " OR d.description ~ '[0-9A-Za-z_-]{43}'"
      " UNION ALL SELECT 'the comment on '"
      "  || pg_describe_object(d.classoid, d.objoid, 0), d.description"
      " FROM pg_shdescription AS d"
      " UNION ALL SELECT 'the label on '"
      "  || pg_describe_object(b.classoid, b.objoid, b.objsubid), b.label"
      " FROM pg_seclabel AS b"
      " UNION ALL SELECT 'the label on '"
      "  || pg_describe_object(b.classoid, b.objoid, 0), b.label"
      " FROM pg_shseclabel AS b"}},
    {"views and rules",
     {{"pg_rewrite"},
      "SELECT CASE w.ev_type WHEN '1' THEN 'view ' ELSE 'rule '"
      "  || quote_ident(w.rulename) || ' of ' END || "
      "w.ev_class::regclass::text,"
      "  w.ev_action FROM pg_rewrite AS w WHERE w.oid >= 16384"}},
    {"function bodies in SQL and default arguments",
     {{"pg_proc"},
      "SELECT 'function ' || p.oid::regprocedure::text, e.expression"
      " FROM pg_proc AS p CROSS JOIN LATERAL (VALUES (p.prosqlbody),"
      "  (p.proargdefaults)) AS e(expression)"
      " WHERE e.expression IS NOT NULL AND p.oid >= 16384"}},
    {"defaults, generated columns and constraints",
     {{"pg_attrdef", "pg_attribute", "pg_constraint", "pg_type"},
      "SELECT 'column ' || a.attrelid::regclass::text || '.'"
      "  || quote_ident(a.attname), f.adbin"
      " FROM pg_attrdef AS f JOIN pg_attribute AS a"
      " ON a.attrelid = f.adrelid AND a.attnum = f.adnum"
      " UNION ALL SELECT 'constraint ' || quote_ident(c.conname), c.conbin"
      " FROM pg_constraint AS c WHERE c.conbin IS NOT NULL"
      " AND c.oid >= 16384"
      " UNION ALL SELECT 'domain ' || t.oid::regtype::text, t.typdefaultbin"
      " FROM pg_type AS t WHERE t.typdefaultbin IS NOT NULL"}},
    {"labels of enumerations, aggregates, text search dictionaries and values "
     "of added columns",
     {{"pg_enum", "pg_aggregate", "pg_ts_dict", "pg_attribute"},
      "SELECT 'type ' || e.enumtypid::regtype::text, e.enumlabel::text"
      " FROM pg_enum AS e"
      " UNION ALL SELECT 'aggregate ' || g.aggfnoid::regprocedure::text, v"
      " FROM pg_aggregate AS g,"
      "  LATERAL (VALUES (g.agginitval), (g.aggminitval)) AS i(v)"
      " WHERE v IS NOT NULL"
      " UNION ALL SELECT 'text search dictionary ' || "
      "t.oid::regdictionary::text,"
      "  t.dictinitoption FROM pg_ts_dict AS t"
      "  WHERE t.dictinitoption IS NOT NULL AND t.oid >= 16384"
      // What ADD COLUMN ... DEFAULT has put into the rows that were there.
      " UNION ALL SELECT 'column ' || a.attrelid::regclass::text || '.'"
      "  || quote_ident(a.attname), a.attmissingval::text"
      " FROM pg_attribute AS a WHERE a.atthasmissing"}},
    {"indexes, statistics, policies, partitions, publications and conditions "
     "of triggers",
     {{"pg_index", "pg_statistic_ext", "pg_policy", "pg_trigger", "pg_class",
       "pg_partitioned_table", "pg_publication_rel"},
      "SELECT place, expression FROM ("
      " SELECT 'index ' || i.indexrelid::regclass::text, e"
      " FROM pg_index AS i, LATERAL (VALUES (i.indexprs), (i.indpred)) AS v(e)"
      " UNION ALL SELECT 'statistics ' || quote_ident(x.stxname), x.stxexprs"
      " FROM pg_statistic_ext AS x"
      " UNION ALL SELECT 'policy ' || quote_ident(p.polname) || ' on '"
      "  || p.polrelid::regclass::text, e FROM pg_policy AS p,"
      "  LATERAL (VALUES (p.polqual), (p.polwithcheck)) AS v(e)"
      " UNION ALL SELECT 'trigger ' || quote_ident(t.tgname) || ' on '"
      "  || t.tgrelid::regclass::text, t.tgqual FROM pg_trigger AS t"
      " UNION ALL SELECT 'partition ' || c.oid::regclass::text,"
      "  c.relpartbound FROM pg_class AS c"
      " UNION ALL SELECT 'the partition key of ' || "
      "k.partrelid::regclass::text,"
      "  k.partexprs FROM pg_partitioned_table AS k"
      " UNION ALL SELECT 'the publication of ' || r.prrelid::regclass::text,"
      "  r.prqual FROM pg_publication_rel AS r"
      ") AS o(place, expression) WHERE expression IS NOT NULL"}},
};

// Reading the server's files is a function's right.
constexpr CatalogQuery kMayReadFiles = {
    {},
    "SELECT CASE WHEN has_function_privilege("
    "'pg_catalog.pg_show_all_file_settings()', 'EXECUTE') THEN 'yes' END"};
constexpr Source kFiles = {
    "configuration files",
    {{"pg_file_settings"},
     "SELECT f.sourcefile, f.name || '=' || f.setting"
     " FROM pg_file_settings AS f WHERE f.setting IS NOT NULL"
     " ORDER BY f.sourcefile COLLATE \"C\""}};

// Everybody sees the names of subscriptions, unless somebody has changed that.
constexpr CatalogQuery kMaySeeSubscriptions = {
    {},
    "SELECT CASE WHEN has_column_privilege('pg_catalog.pg_subscription',"
    " 'subname', 'SELECT') THEN 'yes' END"};
constexpr CatalogQuery kAnySubscription = {
    {}, "SELECT s.subname FROM pg_subscription AS s LIMIT 1"};
constexpr Source kSubscriptions = {
    "subscriptions",
    {{"pg_subscription"},
     "SELECT 'subscription ' || quote_ident(s.subname), s.subconninfo"
     " FROM pg_subscription AS s"}};

// IsKeySetting says whether `text` gives a value to one of our settings for
// keys: then it is meant as one, whatever it is.
bool IsKeySetting(std::span<const char> text) {
  constexpr char kPrefix[] = "fernet.";
  constexpr size_t kPrefixSize = sizeof kPrefix - 1;
  const auto *const equals = static_cast<const char *>(
      text.empty() ? nullptr : memchr(text.data(), '=', text.size()));
  return equals != nullptr && equals - text.data() >= 10 &&
         equals + 1 < text.data() + text.size() &&
         pg_strncasecmp(text.data(), kPrefix, kPrefixSize) == 0 &&
         pg_strncasecmp(equals - 3, "key", 3) == 0;
}

bool IsKey(const Const &constant) {
  if (constant.constisnull) {
    return false;
  }
  if (constant.constlen == -1) {
    return HoldsKey(ViewText(PG_DETOAST_DATUM_PACKED(constant.constvalue)));
  }
  // A name has room for a key.
  if (constant.constlen == -2 || constant.consttype == NAMEOID) {
    const char *const text = DatumGetCString(constant.constvalue);
    return HoldsKey({text, strlen(text)});
  }
  return false;
}

bool HasKeyInConstants(Node *node, void *) {
  if (node == nullptr) {
    return false;
  }
  if (IsA(node, Const)) {
    return IsKey(*reinterpret_cast<const Const *>(node));
  }
  return IsA(node, Query)
             ? WalkQuery(reinterpret_cast<Query *>(node), HasKeyInConstants)
             : WalkExpression(node, HasKeyInConstants);
}

bool HasKey(const Row &row, Datum value) {
  if (row.Type(2) == PG_NODE_TREEOID) {
    return HasKeyInConstants(
        static_cast<Node *>(stringToNode(TextDatumGetCString(value))), nullptr);
  }
  const auto text = ViewText(PG_DETOAST_DATUM_PACKED(value));
  return IsKeySetting(text) || HoldsKey(text);
}

struct StoredKeys {
  Places places;
  Places unread;
};

void Look(const Source &source, StoredKeys *found) {
  const bool read = ForEachRow(
      source.query, PointerGetDatum(construct_empty_array(OIDOID)),
      [](const Row &row, void *state) {
        auto *const keys = static_cast<StoredKeys *>(state);
        bool is_null = false;
        const Datum value = row.Value(2, &is_null);
        if (is_null) {
          keys->unread.Add(row.Text(1));
        } else if (HasKey(row, value)) {
          keys->places.Add(row.Text(1));
        }
      },
      found);
  if (!read) {
    found->unread.Add(source.name);
  }
}

void LookAtFiles(StoredKeys *found) {
  if (AskOne(kMayReadFiles) != nullptr) {
    Look(kFiles, found);
  } else {
    found->unread.Add(kFiles.name);
  }
}

void LookAtSubscriptions(StoredKeys *found) {
  if (AskOne(kMaySeeSubscriptions) == nullptr ||
      AskOne(kAnySubscription) != nullptr) {
    Look(kSubscriptions, found);
  }
}

}  // namespace

void CheckStoredKey(const Findings &out) {
  StoredKeys found;
  for (const Source &source : kSources) {
    Look(source, &found);
  }
  LookAtFiles(&found);
  LookAtSubscriptions(&found);
  const char *const unread =
      found.unread.IsEmpty()
          ? ""
          : psprintf(" This role may not read %s.", found.unread.Words());
  if (!found.places.IsEmpty()) {
    out.Add(kFail,
            psprintf("A key, or a text that looks like one, is stored in %s.%s",
                     found.places.Words(), unread),
            "Remove it there, and rotate to a new key: the old one is in the "
            "table's dead rows, in WAL and in backups.");
  } else if (!found.unread.IsEmpty()) {
    out.Add(
        kNote,
        psprintf("No key was found in the places that this role may read.%s",
                 unread),
        "Call fernet_doctor() as a superuser as well.");
  } else {
    out.Add(kOk, "No key was found in the catalogs and configuration files.");
  }
}

}  // namespace fernet::pg::doctor
