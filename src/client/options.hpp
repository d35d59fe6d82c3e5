// The command line.
#pragma once

#include <string>
#include <vector>

#include "client/login.hpp"

namespace fernet::client {

enum class Command { kCheck, kRotate, kHelp, kVersion };

struct Options {
  Command command = Command::kHelp;
  LoginOptions login;
  bool all_databases = false;

  // Which tables: patterns.
  std::vector<std::string> schemas;
  std::vector<std::string> not_schemas;
  std::vector<std::string> tables;
  std::vector<std::string> not_tables;
  // Places that need not be read, as fernet_assert_database_rotated takes them.
  std::vector<std::string> except;

  std::string key_file;
  std::string on_unknown = "fail";
  int jobs = 1;
  bool json = false;
  bool quiet = false;
  bool verbose = false;

  // For check.
  bool list_columns = false;

  // "server", "client", or empty: as each table needs.
  std::string way;

  // For rotate. A column is schema.table.column.
  std::vector<std::string> columns;
  bool yes = false;
  bool dry_run = false;
  int batch_rows = 5000;
  std::string pause = "0";
  std::string max_lag;  // empty: none
  bool accept_unseen_writers = false;

  bool limits_tables() const { return !schemas.empty() || !tables.empty(); }
};

// ParseOptions reads the command line. Throws UsageError.
Options ParseOptions(int count, char **arguments);

// HelpText is what --help prints.
std::string HelpText();

}  // namespace fernet::client
