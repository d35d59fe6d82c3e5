#include "client/find.hpp"

#include <algorithm>
#include <exception>
#include <mutex>
#include <set>
#include <thread>

#include "client/read_here.hpp"
#include "client/text.hpp"

namespace fernet::client {
namespace {

// Tables are read in so many calls for each job, so that jobs end together and
// 2,000 tables are not 2,000 calls.
constexpr std::size_t kCallsPerJob = 4;

// Every argument is given, in order and with its type: nobody can then create a
// function in the same schema that the server prefers to ours.
std::string Statement(const std::string &extension) {
  return "SELECT CASE WHEN c.oid IS NULL AND f.relation IS NULL THEN NULL"
         " ELSE coalesce(format('%I.%I', n.nspname, c.relname),"
         "  f.relation::text) END, f.relation::oid, c.relkind,"
         " quote_ident(f.column_name), f.column_name, f.type, f.form,"
         " f.status, f.key_index, f.fingerprint, f.tokens, f.detail FROM " +
         extension +
         ".fernet_find_tokens(NULL::name[], $1::regclass[], 100::float8)"
         " WITH ORDINALITY AS f"
         " LEFT JOIN pg_class AS c ON c.oid = f.relation"
         " LEFT JOIN pg_namespace AS n ON n.oid = c.relnamespace"
         " ORDER BY f.ordinality";
}

Found FoundIn(const Result &result, int row) {
  Found found;
  found.table = result.Text(row, 0);
  found.oid = result.Text(row, 1);
  found.kind = result.IsNull(row, 2) ? ' ' : result.Text(row, 2)[0];
  found.column = result.Text(row, 3);
  found.name = result.Text(row, 4);
  found.type = result.Text(row, 5);
  found.form = result.Text(row, 6);
  found.status = result.Text(row, 7);
  found.key = result.Text(row, 8);
  found.fingerprint = result.Text(row, 9);
  found.tokens = result.Number(row, 10);
  found.detail = result.Text(row, 11);
  return found;
}

// IsExcept says whether a place need not be read.
bool IsExcept(const Found &found, const Catalog &catalog,
              const Options &options) {
  const auto is_named = [&](const std::string &place) {
    return place == found.Place() ||
           (!found.table.empty() && place == found.table) ||
           (found.table.empty() && found.detail == place);
  };
  return catalog.excluded.contains(found.table) ||
         std::any_of(options.except.begin(), options.except.end(), is_named);
}

// Search is what the jobs share.
struct Search {
  Login *login;
  const Keys *keys;
  const std::string *database;
  const Catalog *catalog;

  std::mutex mutex;
  std::vector<std::vector<std::string>> calls;  // of oids
  std::vector<Found> found;
  std::exception_ptr failure;
};

// WithoutDropped leaves out the tables that are gone.
std::vector<std::string> WithoutDropped(Connection *connection,
                                        const std::vector<std::string> &oids) {
  const Result result =
      connection->Query("SELECT oid FROM pg_class WHERE oid = ANY ($1::oid[])",
                        {ArrayLiteral(oids)});
  std::vector<std::string> left;
  left.reserve(oids.size());
  for (int row = 0; row < result.rows(); ++row) {
    left.push_back(result.Text(row, 0));
  }
  return left;
}

std::vector<Found> FindIn(Connection *connection, const std::string &extension,
                          std::vector<std::string> oids) {
  for (;;) {
    try {
      const bool is_whole = oids.empty();
      const Result result =
          connection->Query(Statement(extension),
                            {is_whole ? Value() : Value(ArrayLiteral(oids))});
      std::vector<Found> found;
      found.reserve(static_cast<std::size_t>(result.rows()));
      for (int row = 0; row < result.rows(); ++row) {
        found.push_back(FoundIn(result, row));
      }
      return found;
    } catch (const ServerError &error) {
      // Somebody has dropped a table meanwhile.
      std::vector<std::string> left = WithoutDropped(connection, oids);
      if (!error.Is("42P01") || left.size() == oids.size()) {
        throw;
      }
      if (left.empty()) {
        return {};
      }
      oids = std::move(left);
    }
  }
}

bool TakeCall(Search *search, std::vector<std::string> *out) {
  const std::lock_guard lock(search->mutex);
  if (search->calls.empty() || search->failure != nullptr) {
    return false;
  }
  *out = std::move(search->calls.back());
  search->calls.pop_back();
  return true;
}

void DoCalls(Search *search) {
  try {
    const std::unique_ptr<Connection> connection =
        search->login->Open(*search->database);
    UseCatalogNames(connection.get());
    search->keys->GiveTo(connection.get(), search->catalog->extension);
    std::vector<std::string> oids;
    while (TakeCall(search, &oids)) {
      std::vector<Found> found =
          FindIn(connection.get(), search->catalog->extension, oids);
      const std::lock_guard lock(search->mutex);
      search->found.insert(search->found.end(),
                           std::make_move_iterator(found.begin()),
                           std::make_move_iterator(found.end()));
    }
  } catch (...) {
    const std::lock_guard lock(search->mutex);
    search->failure = std::current_exception();
  }
}

// CallsFor shares the tables out, the largest first, to calls of about the same
// number of bytes. A call without tables reads the whole database.
std::vector<std::vector<std::string>> CallsFor(const Catalog &catalog,
                                               const Options &options) {
  if (!options.limits_tables()) {
    return {{}};
  }
  const std::size_t count =
      std::min(catalog.tables.size(),
               static_cast<std::size_t>(options.jobs) * kCallsPerJob);
  std::vector<std::vector<std::string>> calls(count);
  std::vector<std::int64_t> bytes(count);
  for (const Table &table : catalog.tables) {
    const auto least = static_cast<std::size_t>(
        std::min_element(bytes.begin(), bytes.end()) - bytes.begin());
    calls[least].push_back(table.oid);
    bytes[least] += table.bytes + 8192;
  }
  // The last one is taken first.
  std::reverse(calls.begin(), calls.end());
  return calls;
}

std::vector<Found> FindByServer(Login *login, const Keys &keys,
                                const std::string &database,
                                const Catalog &catalog,
                                const Options &options) {
  Search search = {.login = login,
                   .keys = &keys,
                   .database = &database,
                   .catalog = &catalog,
                   .mutex = {},
                   .calls = CallsFor(catalog, options),
                   .found = {},
                   .failure = nullptr};
  const std::size_t jobs =
      std::min(search.calls.size(), static_cast<std::size_t>(options.jobs));
  std::vector<std::thread> threads;
  for (std::size_t job = 1; job < jobs; ++job) {
    threads.emplace_back(DoCalls, &search);
  }
  if (jobs > 0) {
    DoCalls(&search);
  }
  for (std::thread &thread : threads) {
    thread.join();
  }
  if (search.failure != nullptr) {
    std::rethrow_exception(search.failure);
  }
  return std::move(search.found);
}

}  // namespace

// WithParts are the tables and all of their partitions.
std::set<std::string> WithParts(Login *login, const std::string &database,
                                const std::vector<Table> &tables) {
  std::vector<std::string> oids;
  oids.reserve(tables.size());
  for (const Table &table : tables) {
    oids.push_back(table.oid);
  }
  const std::unique_ptr<Connection> connection = login->Open(database);
  UseCatalogNames(connection.get());
  const Result result = connection->Query(
      "SELECT p.relid::oid FROM unnest($1::oid[]) AS r(oid)"
      " CROSS JOIN LATERAL pg_partition_tree(r.oid) AS p",
      {ArrayLiteral(oids)});
  std::set<std::string> all(oids.begin(), oids.end());
  for (int row = 0; row < result.rows(); ++row) {
    all.insert(result.Text(row, 0));
  }
  return all;
}

bool IsElsewhere(const Table &table) { return !table.elsewhere.cause.empty(); }

std::set<std::string> GeneratedColumns(Connection *connection) {
  const Result result = connection->Query(
      "SELECT attrelid || ' ' || attname FROM pg_attribute"
      " WHERE attgenerated <> '' AND NOT attisdropped");
  std::set<std::string> columns;
  for (int row = 0; row < result.rows(); ++row) {
    columns.insert(result.Text(row, 0));
  }
  return columns;
}

bool CanRotate(const Found &found, const std::set<std::string> &generated) {
  return (found.kind == 'r' || found.kind == 'p' || found.kind == 'f') &&
         !found.column.empty() && found.type != "column default" &&
         found.type != "missing value" &&
         !generated.contains(found.oid + ' ' + found.name);
}

void LeaveOut(const Catalog &catalog, const Options &options,
              std::vector<Found> *found) {
  std::erase_if(*found, [&](const Found &one) {
    return IsExcept(one, catalog, options);
  });
}

std::string Found::Place() const {
  if (table.empty()) {
    return detail.empty() ? type : detail;
  }
  return column.empty() ? table : table + '.' + column;
}

void Counts::Add(const Found &found, const std::string &on_unknown) {
  if (found.status == "primary") {
    primary += found.tokens;
  } else if (found.status == "secondary") {
    secondary += found.tokens;
  } else if (found.status == "unknown key") {
    const bool may_stay = on_unknown == "leave" ||
                          (on_unknown == "plaintext" && found.form != "whole");
    (may_stay ? allowed : unknown) += found.tokens;
  } else if (found.status == "no key set") {
    no_key += found.tokens;
  } else if (found.status == "malformed") {
    malformed += found.tokens;
  } else {
    ++not_read;
  }
}

void Counts::Add(const Counts &other) {
  primary += other.primary;
  secondary += other.secondary;
  unknown += other.unknown;
  allowed += other.allowed;
  no_key += other.no_key;
  malformed += other.malformed;
  not_read += other.not_read;
}

std::vector<Found> FindTokens(Login *login, const Keys &keys,
                              const std::string &database,
                              const Catalog &catalog, const Options &options) {
  const bool by_server = !catalog.extension.empty() && options.way != "client";
  std::vector<Table> here;
  for (const Table &table : catalog.tables) {
    if (!by_server || (IsElsewhere(table) && options.way != "server")) {
      here.push_back(table);
    }
  }
  std::vector<Found> all;
  if (by_server) {
    all = FindByServer(login, keys, database, catalog, options);
    if (!here.empty()) {
      // The server names a foreign partition for itself.
      const std::set<std::string> parts = WithParts(login, database, here);
      std::erase_if(
          all, [&](const Found &found) { return parts.contains(found.oid); });
    }
  } else if (!options.limits_tables()) {
    all.push_back(OutsideOfTables());
    const std::unique_ptr<Connection> session = login->Open(database);
    UseCatalogNames(session.get());
    if (HasOthersTemporary(session.get())) {
      all.push_back(OthersTemporary());
    }
  }
  if (!here.empty()) {
    std::vector<Found> read = ReadHere(login, keys, database, here);
    all.insert(all.end(), std::make_move_iterator(read.begin()),
               std::make_move_iterator(read.end()));
  }
  LeaveOut(catalog, options, &all);
  std::stable_sort(all.begin(), all.end(), [](const Found &a, const Found &b) {
    return std::tie(a.table, a.column) < std::tie(b.table, b.column);
  });
  return all;
}

}  // namespace fernet::client
