#include "client/check.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <set>

#include "client/text.hpp"

namespace fernet::client {
namespace {

using Row = std::array<std::string, 4>;

std::string KeyText(const Found &found) {
  if (found.status == "primary") {
    return "key 1, " + found.fingerprint;
  }
  if (found.status == "secondary") {
    return "key " + found.key + ", " + found.fingerprint;
  }
  if (found.status == "unknown key") {
    return "no key decrypts them";
  }
  if (found.status == "malformed") {
    return "cut or changed";
  }
  return found.status == "no key set" ? "no key was given" : found.status;
}

// Why is what the detail says beyond the name of the place.
std::string Why(const Found &found) {
  return found.table.empty() || found.detail.empty() ? "" : found.detail;
}

Row RowOf(const Found &found) {
  const bool was_read = found.status != "not read";
  return {
      Printable(found.Place()), was_read ? std::to_string(found.tokens) : "",
      found.form,
      Printable(was_read || Why(found).empty() ? KeyText(found)
                                               : "not read: " + Why(found))};
}

void PrintRows(const std::vector<Row> &rows, Display *display) {
  std::array<std::size_t, 4> widths = {};
  for (const Row &row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths.at(i) = std::max(widths.at(i), Columns(row.at(i)));
    }
  }
  for (const Row &row : rows) {
    const auto fill = [&](std::size_t i) {
      return std::string(widths.at(i) - Columns(row.at(i)), ' ');
    };
    display->PrintRaw("  " + row[0] + fill(0) + "  " + fill(1) + row[1] + "  " +
                      row[2] + fill(2) + "  " + row[3] + '\n');
  }
}

void RequireMatches(const std::vector<Target> &targets,
                    const Options &options) {
  std::vector<std::string> patterns = options.schemas;
  patterns.insert(patterns.end(), options.tables.begin(), options.tables.end());
  for (std::size_t i = 0; i < patterns.size(); ++i) {
    const bool is_found = std::any_of(
        targets.begin(), targets.end(),
        [&](const Target &target) { return target.catalog.matches[i] > 0; });
    if (!is_found) {
      throw Failure("no table matches the pattern \"" + Printable(patterns[i]) +
                    "\"");
    }
  }
}

// PrintColumns is for --list-columns: names that rotate takes, one a line.
void PrintColumns(const Target &target, const std::vector<Found> &found,
                  Display *display) {
  const std::set<std::string> generated =
      GeneratedColumns(target.connection.get());
  std::string last;
  for (const Found &one : found) {
    if (one.tokens > 0 && CanRotate(one, generated) && one.Place() != last) {
      last = one.Place();
      // A program gets the name as it is, a terminal what is safe to print.
      display->PrintRaw((isatty(STDOUT_FILENO) != 0 ? Printable(last) : last) +
                        '\n');
    }
  }
}

}  // namespace

std::vector<Target> OpenTargets(Login *login, const Options &options) {
  const std::vector<std::string> databases =
      options.all_databases ? login->Databases() : std::vector<std::string>{""};
  std::vector<Target> targets;
  for (const std::string &database : databases) {
    std::unique_ptr<Connection> connection = login->Open(database);
    UseCatalogNames(connection.get());
    Catalog catalog = ReadCatalog(connection.get(), options);
    if (catalog.extension.empty() && options.way == "server") {
      throw Failure(
          "the extension pg_fernet is not in the database \"" +
              connection->database() + "\"",
          "A superuser, or the owner of the database, can add it: CREATE "
          "EXTENSION pg_fernet.");
    }
    targets.push_back(
        {connection->database(), std::move(connection), std::move(catalog)});
  }
  RequireMatches(targets, options);
  return targets;
}

namespace {

std::string ReadBy(const Target &target) {
  if (target.catalog.extension.empty()) {
    return ", read by this program";
  }
  const std::vector<Table> &tables = target.catalog.tables;
  return std::any_of(tables.begin(), tables.end(), IsElsewhere)
             ? ", read by the server and this program"
             : ", read by the server";
}

}  // namespace

void PrintFound(const Target &target, const std::vector<Found> &found,
                Display *display) {
  display->Print(
      "database " + QuoteIdentifier(target.database) + ", " +
      Counted(static_cast<std::int64_t>(target.catalog.tables.size()),
              "table") +
      ", " + SizeText(target.catalog.bytes()) + ReadBy(target));
  std::vector<Row> rows = {{"place", "tokens", "form", "encrypted with"}};
  for (const Found &one : found) {
    rows.push_back(RowOf(one));
  }
  if (rows.size() > 1) {
    PrintRows(rows, display);
  }
}

void WriteFound(const Target &target, const std::vector<Found> &found,
                const Counts &counts, JsonWriter *json) {
  json->Name("database").Text(target.database);
  json->Name("tables").Number(
      static_cast<std::int64_t>(target.catalog.tables.size()));
  json->Name("bytes").Number(target.catalog.bytes());
  json->Name("way").Text(target.catalog.extension.empty() ? "client"
                                                          : "server");
  json->Name("places").Open('[');
  for (const Found &one : found) {
    json->Open('{');
    json->Name("table").TextOrNull(one.table);
    json->Name("column").TextOrNull(one.column);
    json->Name("type").TextOrNull(one.type);
    json->Name("form").TextOrNull(one.form);
    json->Name("status").Text(one.status);
    json->Name("key").TextOrNull(one.key);
    json->Name("fingerprint").TextOrNull(one.fingerprint);
    json->Name("tokens").Number(one.tokens);
    json->Name("detail").TextOrNull(one.detail);
    json->Close('}');
  }
  json->Close(']');
  json->Name("primary").Number(counts.primary);
  json->Name("secondary").Number(counts.secondary);
  json->Name("unknown_key").Number(counts.unknown + counts.allowed);
  json->Name("no_key_set").Number(counts.no_key);
  json->Name("malformed").Number(counts.malformed);
  json->Name("not_read").Number(counts.not_read);
}

std::string Verdict(const Counts &counts, std::size_t keys) {
  if (counts.tokens() + counts.not_read == 0) {
    return "No token was found.";
  }
  std::string words;
  const auto say = [&](std::int64_t number, const char *what) {
    if (number > 0) {
      words +=
          (words.empty() ? "" : ", ") + std::to_string(number) + ' ' + what;
    }
  };
  say(counts.secondary, "with another key of the list");
  say(counts.unknown, "with no key of the list");
  say(counts.malformed, "cut or changed");
  const std::int64_t others =
      counts.secondary + counts.unknown + counts.malformed;
  std::string verdict;
  if (keys == 0) {
    verdict = "No key was given, so " + Counted(counts.no_key, "token") +
              " could not be tried.";
  } else if (others > 0) {
    verdict = std::to_string(others) + " of " +
              Counted(counts.tokens(), "token") +
              (others == 1 ? " is" : " are") +
              std::string(" not encrypted with the first key: ") + words + '.';
  } else if (counts.primary > 0) {
    const bool is_all = counts.allowed == 0;
    verdict =
        "The first key decrypts " +
        (is_all && counts.primary == 1
             ? "the only token"
             : (is_all ? "all " : "") + Counted(counts.primary, "token")) +
        '.';
  }
  if (counts.allowed > 0) {
    verdict += std::string(verdict.empty() ? "" : " ") + "No key decrypts " +
               Counted(counts.allowed, "token") + ", which may stay.";
  }
  if (counts.not_read > 0) {
    verdict += std::string(verdict.empty() ? "" : " ") +
               Counted(counts.not_read, "place") +
               (counts.not_read == 1 ? " was" : " were") +
               " not read: nothing is known about " +
               (counts.not_read == 1 ? "it." : "them.");
  }
  return verdict;
}

Exit Check(Login *login, const Keys &keys, const Options &options,
           Display *display) {
  const std::vector<Target> targets = OpenTargets(login, options);
  Counts sum;
  JsonWriter json;
  json.Open('{').Name("command").Text("check").Name("databases").Open('[');
  for (const Target &target : targets) {
    const std::vector<Found> found =
        FindTokens(login, keys, target.database, target.catalog, options);
    Counts counts;
    for (const Found &one : found) {
      counts.Add(one, options.on_unknown);
    }
    if (options.list_columns) {
      PrintColumns(target, found, display);
    } else if (!options.json) {
      PrintFound(target, found, display);
      display->Print(Verdict(counts, keys.count()));
    }
    json.Open('{');
    WriteFound(target, found, counts, &json);
    json.Close('}');
    sum.Add(counts);
  }
  const Exit exit =
      sum.all_primary() && sum.primary > 0 ? Exit::kDone : Exit::kLeft;
  json.Close(']').Name("exit_status").Number(static_cast<int>(exit)).Close('}');
  if (options.json) {
    display->PrintRaw(json.document() + '\n');
  }
  return exit;
}

}  // namespace fernet::client
