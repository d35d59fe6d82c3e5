#include "client/options.hpp"

#include <getopt.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string_view>

#include "client/pattern.hpp"
#include "client/text.hpp"

namespace fernet::client {
namespace {

constexpr int kMaxJobs = 256;

enum Long : int {
  kMaintenance = 1000,
  kExcept,
  kKeyFile,
  kOnUnknown,
  kWay,
  kJson,
  kListColumns,
  kColumn,
  kColumnsFrom,
  kDryRun,
  kBatchRows,
  kPause,
  kMaxLag,
  kAcceptUnseenWriters,
};

constexpr std::array kLong = {
    option{"all", no_argument, nullptr, 'a'},
    option{"dbname", required_argument, nullptr, 'd'},
    option{"host", required_argument, nullptr, 'h'},
    option{"port", required_argument, nullptr, 'p'},
    option{"username", required_argument, nullptr, 'U'},
    option{"no-password", no_argument, nullptr, 'w'},
    option{"password", no_argument, nullptr, 'W'},
    option{"maintenance-db", required_argument, nullptr, kMaintenance},
    option{"schema", required_argument, nullptr, 'n'},
    option{"exclude-schema", required_argument, nullptr, 'N'},
    option{"table", required_argument, nullptr, 't'},
    option{"exclude-table", required_argument, nullptr, 'T'},
    option{"except", required_argument, nullptr, kExcept},
    option{"key-file", required_argument, nullptr, kKeyFile},
    option{"on-unknown", required_argument, nullptr, kOnUnknown},
    option{"way", required_argument, nullptr, kWay},
    option{"jobs", required_argument, nullptr, 'j'},
    option{"json", no_argument, nullptr, kJson},
    option{"quiet", no_argument, nullptr, 'q'},
    option{"verbose", no_argument, nullptr, 'v'},
    option{"list-columns", no_argument, nullptr, kListColumns},
    option{"column", required_argument, nullptr, kColumn},
    option{"columns-from", required_argument, nullptr, kColumnsFrom},
    option{"yes", no_argument, nullptr, 'y'},
    option{"dry-run", no_argument, nullptr, kDryRun},
    option{"batch-rows", required_argument, nullptr, kBatchRows},
    option{"pause", required_argument, nullptr, kPause},
    option{"max-lag", required_argument, nullptr, kMaxLag},
    option{"accept-unseen-writers", no_argument, nullptr, kAcceptUnseenWriters},
    option{nullptr, 0, nullptr, 0},
};

int ReadNumber(const char *name, std::string_view text, int smallest,
               int largest) {
  int number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() ||
      number < smallest || number > largest) {
    throw UsageError(std::string(name) + " must be a number from " +
                     std::to_string(smallest) + " to " +
                     std::to_string(largest));
  }
  return number;
}

std::string ReadText(const std::string &file) {
  std::ifstream stream(file, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(stream)),
                   std::istreambuf_iterator<char>());
  if (!stream.is_open() || stream.bad()) {
    throw Failure("could not read the file \"" + Printable(file) + "\"");
  }
  return text;
}

void AddColumn(const std::string &name, Options *options) {
  if (NameParts(name).size() != 3) {
    throw UsageError("\"" + Printable(name) +
                     "\" is not of the form schema.table.column");
  }
  options->columns.push_back(name);
}

void TakeShared(int code, const char *value, Options *options) {
  switch (code) {
    case 'a':
      options->all_databases = true;
      break;
    case 'n':
      options->schemas.emplace_back(value);
      break;
    case 'N':
      options->not_schemas.emplace_back(value);
      break;
    case 't':
      options->tables.emplace_back(value);
      break;
    case 'T':
      options->not_tables.emplace_back(value);
      break;
    case kExcept:
      options->except.emplace_back(value);
      break;
    case kKeyFile:
      options->key_file = value;
      break;
    case kOnUnknown:
      options->on_unknown = value;
      break;
    case kWay:
      options->way = value;
      break;
    case 'j':
      options->jobs = ReadNumber("--jobs", value, 1, kMaxJobs);
      break;
    case kJson:
      options->json = true;
      break;
    case 'q':
      options->quiet = true;
      break;
    case 'v':
      options->verbose = true;
      break;
    default:
      throw UsageError("Try \"pg_fernet --help\" for the options.");
  }
}

bool TakeLogin(int code, const char *value, LoginOptions *login) {
  switch (code) {
    case 'd':
      login->database = value;
      return true;
    case 'h':
      login->host = value;
      return true;
    case 'p':
      login->port = value;
      return true;
    case 'U':
      login->user = value;
      return true;
    case 'w':
      login->password = AskForPassword::kNever;
      return true;
    case 'W':
      login->password = AskForPassword::kAlways;
      return true;
    case kMaintenance:
      login->maintenance = value;
      return true;
    default:
      return false;
  }
}

bool TakeOwn(int code, const char *value, Options *options) {
  const bool rotates = options->command == Command::kRotate;
  if (code == kListColumns ? rotates
                           : (code > kListColumns || code == 'y') && !rotates) {
    throw UsageError(std::string("that option is for pg_fernet ") +
                     (rotates ? "check" : "rotate"));
  }
  switch (code) {
    case kListColumns:
      options->list_columns = true;
      return true;
    case kColumn:
      AddColumn(value, options);
      return true;
    case kColumnsFrom:
      for (const std::string &name : SplitNames(ReadText(value))) {
        AddColumn(name, options);
      }
      if (options->columns.empty()) {
        throw UsageError("no column is named in the file \"" +
                         Printable(value) + "\"");
      }
      return true;
    case 'y':
      options->yes = true;
      return true;
    case kDryRun:
      options->dry_run = true;
      return true;
    case kBatchRows:
      options->batch_rows = ReadNumber("--batch-rows", value, 1, 1000000);
      return true;
    case kPause:
      options->pause = value;
      return true;
    case kMaxLag:
      options->max_lag = value;
      return true;
    case kAcceptUnseenWriters:
      options->accept_unseen_writers = true;
      return true;
    default:
      return false;
  }
}

void CheckTogether(const Options &options) {
  if (options.on_unknown != "fail" && options.on_unknown != "leave" &&
      options.on_unknown != "plaintext") {
    throw UsageError("--on-unknown must be fail, leave or plaintext");
  }
  if (!options.way.empty() && options.way != "server" &&
      options.way != "client") {
    throw UsageError("--way must be server or client");
  }
  if (std::find(options.except.begin(), options.except.end(), "") !=
      options.except.end()) {
    throw UsageError("--except names no place");
  }
  if (options.list_columns && options.json) {
    throw UsageError("--list-columns and --json cannot be used together");
  }
  if (options.all_databases && options.list_columns) {
    throw UsageError("--list-columns is for one database at a time");
  }
}

Command ReadCommand(int count, char **arguments) {
  const std::string_view word = count > 1 ? arguments[1] : "";
  if (word == "check") {
    return Command::kCheck;
  }
  if (word == "rotate") {
    return Command::kRotate;
  }
  if (word == "--help" || word == "-?") {
    return Command::kHelp;
  }
  if (word == "--version" || word == "-V") {
    return Command::kVersion;
  }
  throw UsageError(word.empty() ? "no command is given: say check or rotate"
                                : "unknown command \"" + Printable(word) +
                                      "\": say check or rotate");
}

}  // namespace

Options ParseOptions(int count, char **arguments) {
  Options options;
  options.command = ReadCommand(count, arguments);
  if (options.command == Command::kHelp ||
      options.command == Command::kVersion) {
    return options;
  }
  // getopt's own messages would name the program by its path.
  opterr = 0;
  optind = 2;
  int code = 0;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread so far
  while ((code = getopt_long(count, arguments, "ad:h:p:U:wWn:N:t:T:j:qvyV?",
                             kLong.data(), nullptr)) != -1) {
    if (code == '?') {
      const std::string_view word = arguments[optind - 1];
      if (word == "--help" || word == "-?") {
        options.command = Command::kHelp;
        return options;
      }
      // A value may be a key, and getopt may not have come to the word yet.
      const std::string name =
          word.starts_with("--") ? std::string(word.substr(0, word.find('=')))
                                 : std::string("-") + static_cast<char>(optopt);
      constexpr std::size_t kLongest = 32;
      throw UsageError(
          "unknown option, or no value for it" +
          (name.size() > kLongest ? "" : ": \"" + Printable(name) + '"'));
    }
    if (code == 'V') {
      options.command = Command::kVersion;
      return options;
    }
    if (!TakeLogin(code, optarg, &options.login) &&
        !TakeOwn(code, optarg, &options)) {
      TakeShared(code, optarg, &options);
    }
  }
  if (optind < count && options.login.database.empty()) {
    options.login.database = arguments[optind++];
  }
  if (optind < count) {
    throw UsageError("too many arguments: one database can be named");
  }
  CheckTogether(options);
  return options;
}

std::string HelpText() {
  return R"(pg_fernet finds the Fernet tokens of a database, and rotates their keys.

Usage:
  pg_fernet check  [OPTION]... [DBNAME]
  pg_fernet rotate [OPTION]... [DBNAME]

Commands:
  check                  tell where tokens are, and which keys decrypt them
  rotate                 encrypt them anew with the first key, and prove it

The keys come from the variable FERNET_KEY, or from a file. The first key
encrypts, all keys decrypt: "new key,old key".

Keys:
      --key-file=FILE    read the keys from FILE, separated by commas

Which places:
  -a, --all              all databases
  -n, --schema=PATTERN          only schemas that match
  -N, --exclude-schema=PATTERN  no schemas that match
  -t, --table=PATTERN           only tables that match
  -T, --exclude-table=PATTERN   no tables that match
      --except=PLACE     a place that need not be read: "schema.table",
                         "schema.table.column", or as check names it
      --on-unknown=WORD  what a token is that no key decrypts: fail (default),
                         leave, or plaintext inside of a value

      --way=WORD         who reads and writes: the server by its extension, or
                         the client, which is this program; by default the
                         server where it can

Options of check:
      --list-columns     print only the columns with tokens, for rotate

Options of rotate:
      --column=COLUMN    rotate schema.table.column; can be repeated
      --columns-from=FILE  rotate the columns that FILE names, one a line
  -y, --yes              rotate all columns that are found, do not ask
      --dry-run          try everything that needs no write
      --batch-rows=N     rows in a transaction (default 5000)
      --pause=INTERVAL   sleep after each transaction
      --max-lag=INTERVAL wait for standbys that are further behind
      --accept-unseen-writers  take it on your word that nobody may still
                         write an old value, where this role cannot see who
                         writes: on other servers, and everywhere without
                         pg_read_all_stats

Other options:
  -j, --jobs=NUM         use this many connections (default 1)
      --json             print one JSON document in place of text
  -q, --quiet            print no progress
  -v, --verbose          print what the server says besides
  -V, --version          print the version, then exit
  -?, --help             show this help, then exit

Connection options:
  -d, --dbname=DBNAME    the database, or a connection string
  -h, --host=HOSTNAME    host, or folder of the socket
  -p, --port=PORT        port
  -U, --username=NAME    role
  -w, --no-password      never ask for a password
  -W, --password         ask for the password at once
      --maintenance-db=DBNAME  the database that lists all of them

Exit status: 0 every token in the places that were read is encrypted with the
first key, but for what --on-unknown allows; 1 no connection or a wrong option;
2 something is left, or there is no token; 3 cancelled.
)";
}

}  // namespace fernet::client
