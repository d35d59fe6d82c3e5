#include "client/unit.hpp"

#include <algorithm>
#include <charconv>

#include "client/elsewhere.hpp"
#include "client/text.hpp"
#include "core/recogniser.hpp"

namespace fernet::client {
namespace {

constexpr const char *kParts =
    "SELECT c.oid, format('%I.%I', n.nspname, c.relname), c.relkind,"
    " CASE WHEN c.relkind = 'f' THEN 0 ELSE coalesce(pg_relation_size(c.oid),"
    "  0) END, greatest(c.reltuples, 0), coalesce(h.proname, '')"
    " FROM (SELECT $1::oid AS relid UNION SELECT p.relid"
    "  FROM pg_partition_tree($1::oid) AS p) AS t"
    " JOIN pg_class AS c ON c.oid = t.relid"
    " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    " LEFT JOIN pg_foreign_table AS f ON f.ftrelid = c.oid"
    " LEFT JOIN pg_foreign_server AS s ON s.oid = f.ftserver"
    " LEFT JOIN pg_foreign_data_wrapper AS w ON w.oid = s.srvfdw"
    " LEFT JOIN pg_proc AS h ON h.oid = w.fdwhandler"
    " WHERE c.relkind IN ('r', 'f') ORDER BY 4 DESC, 2";

// The columns of the best unique index, with its operators for =, < and >.
constexpr const char *kKey =
    "WITH best AS (SELECT i.indexrelid, i.indkey, i.indclass, i.indnkeyatts"
    "  FROM pg_index AS i WHERE i.indrelid = $1::oid AND i.indisunique"
    "  AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL"
    "  AND i.indexprs IS NULL AND NOT EXISTS (SELECT"
    "   FROM generate_series(0, i.indnkeyatts - 1) AS k(n)"
    "   JOIN pg_attribute AS a ON a.attrelid = i.indrelid"
    "   AND a.attnum = i.indkey[k.n] WHERE NOT a.attnotnull)"
    "  ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid LIMIT 1)"
    " SELECT quote_ident(a.attname), format_type(a.atttypid, -1),"
    "  max(o.name) FILTER (WHERE o.strategy = 3),"
    "  max(o.name) FILTER (WHERE o.strategy = 1),"
    "  max(o.name) FILTER (WHERE o.strategy = 5)"
    " FROM best AS b CROSS JOIN LATERAL generate_series(0, b.indnkeyatts - 1)"
    "  AS k(n) JOIN pg_attribute AS a ON a.attrelid = $1::oid"
    "  AND a.attnum = b.indkey[k.n]"
    " JOIN pg_opclass AS c ON c.oid = b.indclass[k.n]"
    " CROSS JOIN LATERAL (SELECT m.amopstrategy, format('OPERATOR(%I.%s)',"
    "   s.nspname, p.oprname) FROM pg_amop AS m JOIN pg_operator AS p"
    "   ON p.oid = m.amopopr JOIN pg_namespace AS s ON s.oid = p.oprnamespace"
    "   WHERE m.amopfamily = c.opcfamily AND m.amoplefttype = c.opcintype"
    "   AND m.amoprighttype = c.opcintype) AS o(strategy, name)"
    " GROUP BY k.n, a.attname, a.atttypid ORDER BY k.n";

// A foreign table has no index: its wrapper may be told of a key.
constexpr const char *kForeignKey =
    "SELECT quote_ident(a.attname), format_type(a.atttypid, -1), 'OPERATOR(pg_"
    "catalog.=)', 'OPERATOR(pg_catalog.<)', 'OPERATOR(pg_catalog.>)'"
    " FROM pg_attribute AS a WHERE a.attrelid = $1::oid AND a.attnum > 0"
    " AND NOT a.attisdropped AND EXISTS (SELECT"
    "  FROM pg_options_to_table(a.attfdwoptions) AS o WHERE o.option_name IN"
    "  ('key', 'primary_key') AND lower(o.option_value) IN ('true', 'yes',"
    "  'on', '1')) ORDER BY a.attnum";

constexpr const char *kTriggers =
    "SELECT quote_ident(tgname) FROM pg_trigger WHERE tgrelid = $1::oid"
    " AND NOT tgisinternal AND tgenabled IN ('O', 'A') AND tgtype & 16 <> 0"
    " ORDER BY 1";

std::string Numbered(char letter, std::size_t number) {
  return letter + std::to_string(number);
}

void AddKey(Connection *connection, Unit *unit) {
  const Result result =
      connection->Query(unit->is_foreign ? kForeignKey : kKey, {unit->oid});
  for (int row = 0; row < result.rows(); ++row) {
    unit->key.push_back({.quoted = result.Text(row, 0),
                         .cast = result.Text(row, 1),
                         .equal = result.Text(row, 2),
                         .less = result.Text(row, 3),
                         .greater = result.Text(row, 4)});
  }
}

void AddColumns(Connection *connection, const std::vector<std::string> &names,
                Unit *unit) {
  const std::vector<ColumnShape> all = ReadColumns(connection, unit->oid);
  for (const std::string &name : names) {
    const auto column =
        std::find_if(all.begin(), all.end(),
                     [&](const ColumnShape &one) { return one.name == name; });
    const std::string words =
        "column " + QuoteIdentifier(name) + " of " + unit->label;
    if (column == all.end()) {
      throw ServerError({"ERROR", "42703", words + " does not exist", "", ""});
    }
    if (column->is_generated) {
      throw ServerError({"ERROR", "428C9", words + " is a generated column", "",
                         "Rotate the columns that it is generated from."});
    }
    if (!column->can_hold) {
      throw ServerError(
          {"ERROR", "42804",
           words + " is of type " + column->type + ", which cannot hold tokens",
           "", ""});
    }
    unit->columns.push_back(*column);
  }
}

void AddAddress(Connection *connection, const std::string &handler,
                Unit *unit) {
  AddKey(connection, unit);
  if (unit->elsewhere.empty()) {
    unit->address = Unit::Address::kPages;
  } else if (handler == "postgres_fdw_handler") {
    unit->address = Unit::Address::kForeignPages;
  } else if (!unit->key.empty()) {
    unit->address = Unit::Address::kKey;
  } else {
    throw ServerError(
        {"ERROR", "55000", "the rows of " + unit->label + " have no key",
         unit->elsewhere,
         unit->is_foreign
             ? "Tell its foreign data wrapper which columns are the key, if it "
               "has such an option."
             : "Give it a primary key, or a unique index on columns that are "
               "NOT NULL."});
  }
}

// KeyAfter is SQL for what comes after the key that is bound as text.
std::string KeyAfter(const std::vector<KeyColumn> &key) {
  std::string words;
  std::string equal;
  for (std::size_t i = 0; i < key.size(); ++i) {
    const std::string bound =
        " $" + std::to_string(i + 1) + "::text::" + key[i].cast;
    words.append(i == 0 ? "(" : " OR (").append(equal);
    words.append(key[i].quoted + ' ' + key[i].greater + bound + ')');
    equal.append(key[i].quoted + ' ' + key[i].equal + bound + " AND ");
  }
  // An index is searched by its first column.
  return "(" + words + ") AND (" + key[0].quoted + ' ' + key[0].greater +
         " $1::text::" + key[0].cast + " OR " + key[0].quoted + ' ' +
         key[0].equal + " $1::text::" + key[0].cast + ')';
}

}  // namespace

std::string Unit::PagesQuery(Pages pages) const {
  std::string list;
  for (const ColumnShape &column : columns) {
    list += ", " + column.Value("t." + column.quoted);
  }
  return "SELECT t.ctid" + list + " FROM " + from + " AS t WHERE t.ctid >= '(" +
         std::to_string(pages.first) + ",0)'::tid AND t.ctid < '(" +
         std::to_string(pages.end) + ",0)'::tid";
}

// What is read is made text by this server: another one may do so in another
// way, with settings of its own.
std::string Unit::KeyQuery(bool is_first, int limit) const {
  std::string inner;
  std::string outer;
  std::string order;
  for (const KeyColumn &column : key) {
    inner += (inner.empty() ? "" : ", ") + column.quoted;
    outer += std::string(outer.empty() ? "" : ", ") + "format('%s', r." +
             column.quoted + ')';
    order +=
        (order.empty() ? "" : ", ") + column.quoted + " USING " + column.less;
  }
  for (const ColumnShape &column : columns) {
    const bool is_key = std::any_of(
        key.begin(), key.end(),
        [&](const KeyColumn &one) { return one.quoted == column.quoted; });
    inner += is_key ? "" : ", " + column.quoted;
    outer += ", " + column.Value("r." + column.quoted);
  }
  return "WITH r AS MATERIALIZED (SELECT * FROM (SELECT " + inner + " FROM " +
         from + (is_first ? "" : " WHERE " + KeyAfter(key)) + " ORDER BY " +
         order + " LIMIT " + std::to_string(limit) +
         " OFFSET 0) AS s) SELECT " + outer + " FROM r ORDER BY " + order;
}

std::string Unit::Update(const std::vector<std::size_t> &changed,
                         bool skip_locked) const {
  // Arrays side by side in a target list are read as they lie; a function scan
  // copies each of them, which takes as long as the writing. Citus takes no
  // such target list for the table of a schema that is in shards. The grammar
  // knows unnest of several arrays by its bare name only.
  const bool in_target_list = address == Address::kPages;
  std::string made;
  std::string arrays;
  std::string names;
  std::size_t number = 0;
  const auto add = [&](const std::string &type, const std::string &cast,
                       const std::string &as) {
    const char *const comma = number == 0 ? "" : ", ";
    const std::string array =
        '$' + std::to_string(++number) + "::" + type + "[]";
    made += comma +
            (in_target_list ? "pg_catalog.unnest(" + array + ')' : "u." + as) +
            (cast.empty() ? "" : "::" + cast) + " AS " + as;
    arrays += comma + array;
    names += comma + as;
  };
  std::string same;
  if (address != Address::kKey) {
    add("tid", "", "a");
    same = "t.ctid = v.a";
  }
  for (std::size_t i = 0; address == Address::kKey && i < key.size(); ++i) {
    const std::string as = Numbered('k', i);
    add("text", key[i].cast, as);
    same.append(i == 0 ? "t." : " AND t.").append(key[i].quoted + ' ');
    same.append(key[i].equal).append(" v.").append(as);
  }
  std::string set;
  for (const std::size_t i : changed) {
    const ColumnShape &column = columns[i];
    const char *const type = column.is_bytea ? "bytea" : "text";
    const bool by_image = in_shards && !column.is_bytea && !column.is_text;
    add(type, by_image ? column.cast : "", Numbered('o', i));
    add(type, column.cast, Numbered('n', i));
    set.append(set.empty() ? "" : ", ").append(column.quoted);
    set.append(" = v.").append(Numbered('n', i));
    const std::string now = "t." + column.quoted;
    const std::string old = "v." + Numbered('o', i);
    // Citus takes no STABLE function on a column, as format() is one.
    same.append(" AND ");
    if (by_image) {
      same.append("record_image_eq(ROW(").append(now);
      same.append("), ROW(").append(old).append("))");
    } else if (address == Address::kPages) {
      // Not a key of the hash join, for which each value on the pages would be
      // read: a document of each row for each statement.
      same.append("(" + column.Equals(now, old) + ") IS TRUE");
    } else {
      same.append(column.Equals(now, old));
    }
  }
  const std::string within = "t.ctid >= $" + std::to_string(number + 1) +
                             "::tid AND t.ctid < $" +
                             std::to_string(number + 2) + "::tid";
  if (address == Address::kPages) {
    same += " AND " + within;
  } else if (address == Address::kForeignPages) {
    same += " AND t.ctid = ANY ($1::tid[])";
  }
  const std::string list =
      "(SELECT " + made +
      (in_target_list ? ")"
                      : " FROM unnest(" + arrays + ") AS u(" + names + "))");
  // The table is locked for the UPDATE before it is for FOR NO KEY UPDATE,
  // which it would not be in a WITH: whoever waits for the lock that an UPDATE
  // needs, and has the other one, makes an application that upgrades its lock
  // the victim of a deadlock.
  return "WITH " + std::string(skip_locked ? "w" : "v") + " AS " +
         (in_target_list ? "" : "MATERIALIZED ") + list + " UPDATE " + from +
         " AS t SET " + set + " FROM " +
         (skip_locked ? "(SELECT w.* FROM w JOIN " + from +
                            " AS t ON t.ctid = w.a AND " + within +
                            " FOR NO KEY UPDATE OF t SKIP LOCKED) AS v"
                      : "v") +
         " WHERE " + same;
}

std::vector<Unit> UnitsOf(Connection *connection, const std::string &oid,
                          const std::vector<std::string> &columns) {
  const Result result = connection->Query(kParts, {oid});
  std::vector<std::string> oids;
  oids.reserve(static_cast<std::size_t>(result.rows()));
  for (int row = 0; row < result.rows(); ++row) {
    oids.push_back(result.Text(row, 0));
  }
  const auto causes = FindElsewhere(connection, oids);
  std::vector<Unit> units;
  for (int row = 0; row < result.rows(); ++row) {
    Unit unit;
    unit.oid = oids[static_cast<std::size_t>(row)];
    unit.name = result.Text(row, 1);
    unit.label = unit.name;
    unit.is_foreign = result.Text(row, 2) == "f";
    const auto cause = causes.find(unit.oid);
    unit.elsewhere = cause == causes.end() ? "" : cause->second.cause;
    unit.in_shards = cause != causes.end() && cause->second.hides_writers &&
                     !unit.is_foreign;
    unit.from =
        (unit.elsewhere.empty() || unit.is_foreign ? "ONLY " : "") + unit.name;
    unit.bytes = result.Number(row, 3);
    unit.rows = std::strtod(result.Text(row, 4).c_str(), nullptr);
    AddColumns(connection, columns, &unit);
    AddAddress(connection, result.Text(row, 5), &unit);
    const Result triggers = connection->Query(kTriggers, {unit.oid});
    for (int i = 0; i < triggers.rows(); ++i) {
      unit.triggers.push_back(triggers.Text(i, 0));
    }
    units.push_back(std::move(unit));
  }
  if (units.empty()) {
    throw ServerError(
        {"ERROR", "42P01", "the table was dropped meanwhile", "", ""});
  }
  return units;
}

std::int64_t Blocks(Connection *connection, const Unit &unit) {
  if (unit.address == Unit::Address::kPages) {
    return connection
        ->Query(
            "SELECT pg_relation_size($1::oid)"
            " / current_setting('block_size')::bigint",
            {unit.oid})
        .Number(0, 0);
  }
  // The last page of a table on another server.
  const std::string last =
      connection->Query("SELECT max(ctid) FROM " + unit.from).Text(0, 0);
  std::int64_t block = -1;
  if (!last.empty()) {
    std::from_chars(last.data() + 1, last.data() + last.size(), block);
  }
  return block + 1;
}

std::string NameRow(Connection *connection, const Unit &unit,
                    const std::vector<std::string> &address) {
  const bool by_key = unit.address == Unit::Address::kKey;
  std::vector<std::string> key = by_key ? address : std::vector<std::string>();
  std::string names;
  std::string list;
  for (const KeyColumn &column : unit.key) {
    names += (names.empty() ? "" : ", ") + column.quoted;
    list +=
        (list.empty() ? "" : ", ") + ("format('%s', " + column.quoted) + ')';
  }
  if (unit.address == Unit::Address::kPages && !unit.key.empty()) {
    const Result result = connection->Query(
        "SELECT " + list + " FROM " + unit.from + " WHERE ctid = $1::tid",
        {address[0]});
    for (std::size_t i = 0; result.rows() > 0 && i < unit.key.size(); ++i) {
      key.push_back(result.Text(0, static_cast<int>(i)));
    }
  }
  std::string values;
  for (const std::string &value : key) {
    // A key may itself be a token.
    values +=
        (values.empty() ? "" : ", ") +
        (MayHoldPlaces({value.data(), value.size()}) ? "..."
                                                     : FitColumns(value, 40));
  }
  return key.empty() ? "ctid " + address[0]
                     : '(' + names + ")=(" + values + ')';
}

}  // namespace fernet::client
