#include "pg/functions/database_search.hpp"

#include "pg/column/large_objects.hpp"
#include "pg/column/row_storage.hpp"
#include "pg/functions/doctor_catalog.hpp"
#include "pg/server/raise.hpp"
#include "pg/server/subtransaction.hpp"

namespace fernet::pg {
namespace {

// CatalogSource is a kind of place in the catalogs. Columns of `query`: the
// schema; the relation and the column that the place belongs to, or null; the
// name of the place; what stands there: text, bytea, an array with one value,
// or an expression. With `is_global`, it is in no schema.
struct CatalogSource {
  const char *kind;
  bool is_global;
  doctor::CatalogQuery query;
};

constexpr CatalogSource kSources[] = {
    {"setting",
     true,
     {{"pg_db_role_setting", "pg_roles", "pg_database"},
      "SELECT NULL::oid, NULL::oid, NULL,"
      " CASE WHEN s.setrole = 0 AND s.setdatabase = 0"
      " THEN 'the settings of all roles' ELSE"
      " 'the settings of ' || concat_ws(' in ', CASE WHEN s.setrole <> 0"
      "  THEN 'role ' || quote_ident(r.rolname) END,"
      "  CASE WHEN s.setdatabase <> 0"
      "  THEN 'database ' || quote_ident(d.datname) END) END, c"
      " FROM pg_db_role_setting AS s"
      " LEFT JOIN pg_roles AS r ON r.oid = s.setrole"
      " LEFT JOIN pg_database AS d ON d.oid = s.setdatabase"
      " CROSS JOIN LATERAL unnest(s.setconfig) AS c"
      " WHERE s.setdatabase = 0 OR d.datname = current_database()"
      " ORDER BY s.setrole, s.setdatabase"}},
    {"setting",
     true,
     {{"pg_settings"},
      "SELECT NULL::oid, NULL::oid, NULL, 'setting ' || s.name, s.setting"
      " FROM pg_settings AS s WHERE s.source IN ('configuration file',"
      "  'command line', 'environment variable')"
      " ORDER BY s.name COLLATE \"C\""}},
    {"function",
     false,
     {{"pg_proc", "pg_language"},
      "SELECT p.pronamespace, NULL::oid, NULL,"
      "  'function ' || p.oid::regprocedure::text, body"
      " FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang"
      " CROSS JOIN LATERAL (SELECT p.prosrc"
      "  WHERE l.lanname NOT IN ('internal', 'c')"
      "  UNION ALL SELECT unnest(p.proconfig)) AS b(body)"
      " WHERE p.oid >= 16384 ORDER BY p.oid"}},
    {"function",
     false,
     {{"pg_proc"},
      "SELECT p.pronamespace, NULL::oid, NULL,"
      "  'function ' || p.oid::regprocedure::text, e.expression"
      " FROM pg_proc AS p CROSS JOIN LATERAL (VALUES (p.prosqlbody),"
      "  (p.proargdefaults)) AS e(expression)"
      " WHERE e.expression IS NOT NULL AND p.oid >= 16384 ORDER BY p.oid"}},
    {"column default",
     false,
     {{"pg_attrdef", "pg_attribute", "pg_class"},
      "SELECT c.relnamespace, c.oid, a.attname::text,"
      "  CASE a.attgenerated WHEN '' THEN 'the default of '"
      "  ELSE 'the expression of ' END || c.oid::regclass::text || '.'"
      "  || quote_ident(a.attname), f.adbin"
      " FROM pg_attrdef AS f JOIN pg_attribute AS a"
      " ON a.attrelid = f.adrelid AND a.attnum = f.adnum"
      " JOIN pg_class AS c ON c.oid = a.attrelid"
      " WHERE c.oid >= 16384 ORDER BY c.oid, a.attnum"}},
    // What ADD COLUMN ... DEFAULT has put into the rows that were there.
    {"missing value",
     false,
     {{"pg_attribute", "pg_class"},
      "SELECT c.relnamespace, c.oid, a.attname::text,"
      "  'the missing value of ' || c.oid::regclass::text || '.'"
      "  || quote_ident(a.attname), a.attmissingval"
      " FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid"
      " WHERE a.atthasmissing AND c.oid >= 16384 ORDER BY c.oid, a.attnum"}},
    {"policy",
     false,
     {{"pg_policy", "pg_class"},
      "SELECT c.relnamespace, c.oid, NULL,"
      "  'policy ' || quote_ident(p.polname) || ' on ' || "
      "c.oid::regclass::text,"
      "  e FROM pg_policy AS p JOIN pg_class AS c ON c.oid = p.polrelid,"
      "  LATERAL (VALUES (p.polqual), (p.polwithcheck)) AS v(e)"
      " WHERE e IS NOT NULL ORDER BY p.oid"}},
    {"trigger",
     false,
     {{"pg_trigger", "pg_class"},
      "SELECT c.relnamespace, c.oid, NULL, 'trigger ' || quote_ident(t.tgname)"
      "  || ' on ' || c.oid::regclass::text, t.tgargs"
      " FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid"
      " WHERE t.tgnargs > 0 ORDER BY t.oid"}},
    {"trigger",
     false,
     {{"pg_trigger", "pg_class"},
      "SELECT c.relnamespace, c.oid, NULL, 'trigger ' || quote_ident(t.tgname)"
      "  || ' on ' || c.oid::regclass::text, t.tgqual"
      " FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid"
      " WHERE t.tgqual IS NOT NULL ORDER BY t.oid"}},
    {"view or rule",
     false,
     {{"pg_rewrite", "pg_class"},
      "SELECT c.relnamespace, c.oid, NULL,"
      "  CASE w.ev_type WHEN '1' THEN 'view ' ELSE 'rule '"
      "  || quote_ident(w.rulename) || ' of ' END || c.oid::regclass::text,"
      "  w.ev_action FROM pg_rewrite AS w JOIN pg_class AS c"
      " ON c.oid = w.ev_class WHERE w.oid >= 16384 ORDER BY w.oid"}},
    {"constraint",
     false,
     {{"pg_constraint"},
      "SELECT c.connamespace, nullif(c.conrelid, 0), NULL,"
      "  'constraint ' || quote_ident(c.conname) || CASE WHEN c.conrelid <> 0"
      "  THEN ' on ' || c.conrelid::regclass::text ELSE '' END, c.conbin"
      " FROM pg_constraint AS c WHERE c.conbin IS NOT NULL AND c.oid >= 16384"
      " ORDER BY c.oid"}},
    {"domain default",
     false,
     {{"pg_type"},
      "SELECT t.typnamespace, NULL::oid, NULL,"
      "  'domain ' || t.oid::regtype::text, t.typdefaultbin"
      " FROM pg_type AS t WHERE t.typdefaultbin IS NOT NULL AND t.oid >= 16384"
      " ORDER BY t.oid"}},
    {"index or partition",
     false,
     {{"pg_index", "pg_class", "pg_partitioned_table"},
      "SELECT c.relnamespace, c.oid, NULL, v.place, v.e FROM ("
      " SELECT i.indrelid, 'index ' || i.indexrelid::regclass::text, e"
      "  FROM pg_index AS i, LATERAL (VALUES (i.indexprs), (i.indpred)) AS x(e)"
      " UNION ALL SELECT p.oid, 'the bounds of ' || p.oid::regclass::text,"
      "  p.relpartbound FROM pg_class AS p"
      " UNION ALL SELECT k.partrelid, 'the partition key of '"
      "  || k.partrelid::regclass::text, k.partexprs"
      "  FROM pg_partitioned_table AS k) AS v(relation, place, e)"
      " JOIN pg_class AS c ON c.oid = v.relation"
      " WHERE v.e IS NOT NULL AND c.oid >= 16384 ORDER BY c.oid"}},
};

constexpr const char *kTablesQuery =
    "WITH chosen AS (SELECT c.oid, c.relispartition, n.nspname, c.relname"
    " FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    " WHERE ($2 IS NOT NULL AND c.oid = ANY ($2) OR $2 IS NULL"
    "  AND c.oid >= 16384 AND c.relkind IN ('r', 'p', 'm', 'f'))"
    " AND ($1 IS NULL OR n.oid = ANY ($1))"
    " AND NOT EXISTS (SELECT FROM pg_depend AS d JOIN pg_extension AS e"
    "  ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass"
    "  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid"
    "  AND d.deptype = 'e' AND e.extname = 'pg_fernet'))"
    " SELECT c.oid FROM chosen AS c WHERE NOT (c.relispartition"
    "  AND EXISTS (SELECT FROM pg_partition_ancestors(c.oid) AS a(relid)"
    "  JOIN chosen AS r ON r.oid = a.relid WHERE a.relid <> c.oid))"
    " ORDER BY c.nspname COLLATE \"C\", c.relname COLLATE \"C\"";

// CatalogPath makes the names in the queries mean the server's own.
class CatalogPath {
 public:
  CatalogPath() : level_(NewGUCNestLevel()) {
    static_cast<void>(set_config_option("search_path", "pg_catalog, pg_temp",
                                        PGC_USERSET, PGC_S_SESSION,
                                        GUC_ACTION_SAVE, true, 0, false));
    SPI_connect();
  }
  // An error undoes both by itself.
  void Leave() const {
    SPI_finish();
    AtEOXact_GUC(true, level_);
  }

 private:
  int level_;
};

Datum ArrayOf(const List *oids) {
  const int count = list_length(oids);
  auto *const values = static_cast<Datum *>(
      palloc(static_cast<Size>(count + 1) * sizeof(Datum)));
  for (int i = 0; i < count; ++i) {
    values[i] = ObjectIdGetDatum(list_nth_oid(oids, i));
  }
  return PointerGetDatum(
      construct_array(values, count, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
}

// AskOids is the first column of a query in `snapshot`, in the current memory
// context.
List *AskOids(const char *query, const SearchScope &scope, Snapshot snapshot) {
  const MemoryContext memory = CurrentMemoryContext;
  Oid types[] = {OIDARRAYOID, OIDARRAYOID};
  Datum values[] = {ArrayOf(scope.schemas), ArrayOf(scope.relations)};
  const char nulls[] = {scope.schemas == NIL ? 'n' : ' ',
                        scope.relations == NIL ? 'n' : ' ', '\0'};
  const CatalogPath path;
  PushActiveSnapshot(snapshot);
  List *oids = NIL;
  if (SPI_execute_with_args(query, 2, types, values, nulls, true, 0) ==
      SPI_OK_SELECT) {
    const MemoryContext before = MemoryContextSwitchTo(memory);
    for (uint64 i = 0; i < SPI_processed; ++i) {
      bool is_null = false;
      oids = lappend_oid(oids, DatumGetObjectId(SPI_getbinval(
                                   SPI_tuptable->vals[i], SPI_tuptable->tupdesc,
                                   1, &is_null)));
    }
    MemoryContextSwitchTo(before);
  }
  PopActiveSnapshot();
  path.Leave();
  return oids;
}

struct TableWork {
  Oid table;
  const SearchRule *rule;
  PageCount *pages;
};

void SearchOneTable(void *state) {
  const auto *const work = static_cast<const TableWork *>(state);
  SearchTable(work->table, *work->rule, work->pages);
}

const char *WhyRefused(const Refusal &refusal) {
  return refusal.sqlstate == ERRCODE_FEATURE_NOT_SUPPORTED
             ? "Rows of it are stored somewhere else."
             : psprintf("Reading it failed with SQLSTATE %s.",
                        unpack_sql_state(refusal.sqlstate));
}

// CatalogSearch is what the rows of one source are for.
struct CatalogSearch {
  const SearchScope *scope;
  const SearchRule *rule;
  const CatalogSource *source;
};

bool IsInScope(const SearchScope &scope, Oid schema, Oid relation) {
  if (scope.schemas != NIL && !list_member_oid(scope.schemas, schema)) {
    return false;
  }
  if (scope.relations == NIL || list_member_oid(scope.relations, relation)) {
    return true;
  }
  if (!OidIsValid(relation) || !get_rel_relispartition(relation)) {
    return false;
  }
  const List *const above = get_partition_ancestors(relation);
  return list_length(list_difference_oid(above, scope.relations)) <
         list_length(above);
}

// Tallying is what the walker of expressions adds to.
struct Tallying {
  SessionKeys keys;
  TokenTally *tally;
};

bool TallyConstants(Node *node, void *state) {
  if (node == nullptr) {
    return false;
  }
  if (IsA(node, Const)) {
    const auto *const constant = reinterpret_cast<const Const *>(node);
    const auto *const tallying = static_cast<const Tallying *>(state);
    if (!constant->constisnull && constant->constlen == -1) {
      TallyValue(tallying->keys, constant->constvalue,
                 getBaseType(constant->consttype), tallying->tally);
    }
    return false;
  }
  return IsA(node, Query)
             ? WalkQuery(reinterpret_cast<Query *>(node), TallyConstants, state)
             : WalkExpression(node, TallyConstants, state);
}

// TallyMissing is for the value of an added column, which is the element of an
// array, whatever its type.
void TallyMissing(const SessionKeys &keys, Datum value, TokenTally *tally) {
  ArrayType *const array = DatumGetArrayTypeP(value);
  const Oid type = ARR_ELEMTYPE(array);
  int16 length = 0;
  bool by_value = false;
  char align = 0;
  get_typlenbyvalalign(type, &length, &by_value, &align);
  Datum *items = nullptr;
  bool *nulls = nullptr;
  int count = 0;
  deconstruct_array(array, type, length, by_value, align, &items, &nulls,
                    &count);
  for (int i = 0; i < count; ++i) {
    if (!nulls[i] && length == -1) {
      TallyValue(keys, items[i], getBaseType(type), tally);
    }
  }
}

void TallyEntry(const SessionKeys &keys, Datum value, Oid type,
                TokenTally *tally) {
  if (type == PG_NODE_TREEOID) {
    Tallying tallying = {keys, tally};
    TallyConstants(
        static_cast<Node *>(stringToNode(TextDatumGetCString(value))),
        &tallying);
  } else if (type == ANYARRAYOID) {
    TallyMissing(keys, value, tally);
  } else {
    TallyValue(keys, value, type, tally);
  }
  // A constant of a type that is not searched is nobody's data.
  tally->not_read = 0;
}

void LookAtEntry(const doctor::Row &row, void *state) {
  const auto *const search = static_cast<const CatalogSearch *>(state);
  bool is_null = false;
  const Oid schema = DatumGetObjectId(row.Value(1, &is_null));
  const Oid relation = DatumGetObjectId(row.Value(2, &is_null));
  const Datum value = row.Value(5, &is_null);
  if (is_null || !IsInScope(*search->scope, schema, relation)) {
    return;
  }
  TokenTally tally = {};
  TallyEntry(search->rule->keys, value, row.Type(5), &tally);
  if (tally.has_any()) {
    search->rule->sink({.relation = relation,
                        .column = row.Text(3),
                        .type = search->source->kind,
                        .tally = &tally,
                        .name = row.Text(4)},
                       search->rule->state);
  }
}

void SearchSource(const CatalogSource &source, const SearchScope &scope,
                  const SearchRule &rule) {
  CatalogSearch search = {&scope, &rule, &source};
  if (!doctor::ForEachRow(source.query,
                          PointerGetDatum(construct_empty_array(OIDOID)),
                          LookAtEntry, &search)) {
    rule.sink({.type = source.kind,
               .not_read = "This role may not read the catalog."},
              rule.state);
  }
}

void SearchObjects(const SearchRule &rule) {
  const LargeObjectCount count = SearchLargeObjects(rule);
  if (count.forbidden > 0) {
    rule.sink({.type = "large object",
               .not_read = psprintf("This role may not read " INT64_FORMAT
                                    " of " INT64_FORMAT " large objects.",
                                    count.forbidden, count.objects)},
              rule.state);
  }
  if (rule.percent < 100 && count.objects > 0) {
    rule.sink(
        {.type = "large object",
         .not_read = psprintf("A sample proves nothing: " INT64_FORMAT
                              " of " INT64_FORMAT " large objects were read.",
                              count.read, count.objects)},
        rule.state);
  }
}

// Elements are those of the array argument at `index`; NULL is no array.
std::span<Datum> Elements(FunctionCallInfo fcinfo, int index, Oid type,
                          const char *name) {
  if (index < 0 || PG_ARGISNULL(index)) {
    return {};
  }
  int16 length = 0;
  bool by_value = false;
  char align = 0;
  get_typlenbyvalalign(type, &length, &by_value, &align);
  Datum *items = nullptr;
  bool *nulls = nullptr;
  int count = 0;
  deconstruct_array(PG_GETARG_ARRAYTYPE_P(index), type, length, by_value, align,
                    &items, &nulls, &count);
  for (int i = 0; i < count; ++i) {
    if (nulls[i]) {
      FERNET_RAISE(
          ERRCODE_NULL_VALUE_NOT_ALLOWED,
          errmsg("\"%s\" must not have an element that is NULL", name));
    }
  }
  if (count == 0) {
    FERNET_RAISE(ERRCODE_INVALID_PARAMETER_VALUE,
                 errmsg("\"%s\" must not be empty", name),
                 errhint("Leave it away to search everything."));
  }
  return {items, static_cast<std::size_t>(count)};
}

Oid FindSchema(const char *name) {
  const Oid schema = get_namespace_oid(name, true);
  if (!OidIsValid(schema)) {
    FERNET_RAISE(ERRCODE_UNDEFINED_SCHEMA,
                 errmsg("schema \"%s\" does not exist", name));
  }
  return schema;
}

}  // namespace

SearchScope ReadScope(FunctionCallInfo fcinfo, int schemas, int relations) {
  SearchScope scope;
  for (const Datum name : Elements(fcinfo, schemas, NAMEOID, "schemas")) {
    scope.schemas = list_append_unique_oid(
        scope.schemas, FindSchema(NameStr(*DatumGetName(name))));
  }
  for (const Datum oid :
       Elements(fcinfo, relations, REGCLASSOID, "relations")) {
    const Oid relation = DatumGetObjectId(oid);
    if (get_rel_name(relation) == nullptr) {
      FERNET_RAISE(ERRCODE_UNDEFINED_TABLE,
                   errmsg("relation with OID %u does not exist", relation));
    }
    scope.relations = list_append_unique_oid(scope.relations, relation);
  }
  return scope;
}

List *ListTables(const SearchScope &scope, Snapshot snapshot) {
  List *tables = AskOids(kTablesQuery, scope, snapshot);
  // A shard that is named is not passed over in silence.
  for (int i = 0; i < list_length(scope.relations); ++i) {
    const Oid relation = list_nth_oid(scope.relations, i);
    if (!list_member_oid(tables, relation) && IsShardOfCitus(relation)) {
      tables = lappend_oid(tables, relation);
    }
  }
  return tables;
}

PageCount SearchTables(const List *tables, const SearchRule &rule) {
  PageCount pages;
  for (int i = 0; i < list_length(tables); ++i) {
    CHECK_FOR_INTERRUPTS();
    TableWork work = {list_nth_oid(tables, i), &rule, &pages};
    const Refusal refusal = RunInSubtransaction(SearchOneTable, &work);
    if (refusal.refused()) {
      rule.sink({.relation = work.table, .not_read = WhyRefused(refusal)},
                rule.state);
    }
  }
  return pages;
}

void SearchCatalogs(const SearchScope &scope, const SearchRule &rule) {
  const CatalogPath path;
  for (const CatalogSource &source : kSources) {
    if (!source.is_global || scope.is_whole()) {
      SearchSource(source, scope, rule);
    }
  }
  if (scope.is_whole()) {
    SearchObjects(rule);
  }
  path.Leave();
}

}  // namespace fernet::pg
