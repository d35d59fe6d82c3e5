#include "client/login.hpp"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "client/cancel.hpp"
#include "client/text.hpp"

namespace fernet::client {
namespace {

// A pooler that shares sessions gives another one within so many statements, if
// it has several.
constexpr int kTimesToAsk = 20;

// Terminal reads a line without showing it.
class Terminal {
 public:
  Terminal() : file_(open("/dev/tty", O_RDWR | O_CLOEXEC)) {
    if (file_ < 0) {
      throw ConnectionError(
          "the server asks for a password, and there is no terminal to ask at",
          "Use a password file, ~/.pgpass.");
    }
    tcgetattr(file_, &before_);
    struct termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    tcsetattr(file_, TCSAFLUSH, &quiet);
  }
  Terminal(const Terminal &) = delete;
  Terminal &operator=(const Terminal &) = delete;
  ~Terminal() {
    tcsetattr(file_, TCSAFLUSH, &before_);
    Write("\n");
    close(file_);
  }

  void Write(const std::string &words) const {
    [[maybe_unused]] const ssize_t written =
        write(file_, words.data(), words.size());
  }

  std::string ReadLine() const { return cancel::ReadLine(file_); }

 private:
  int file_;
  struct termios before_ = {};
};

// What a session begins with. The transaction_timeout is of PostgreSQL 17.
constexpr const char *kPrepare =
    "SELECT pg_catalog.set_config(s.name, s.value, false)"
    " FROM (VALUES ('statement_timeout', '0'),"
    " ('idle_session_timeout', '0'),"
    " ('idle_in_transaction_session_timeout', '0'),"
    " ('transaction_timeout', '0'),"
    " ('client_connection_check_interval', '10s'),"
    " ('default_transaction_isolation', 'read committed'))"
    " AS s(name, value)"
    " WHERE pg_catalog.current_setting(s.name, true) IS NOT NULL";

constexpr const char *kDatabases =
    "SELECT datname FROM pg_catalog.pg_database"
    " WHERE datallowconn AND NOT datistemplate"
    " ORDER BY datname COLLATE pg_catalog.\"C\"";

}  // namespace

Parameters Login::ParametersFor(const std::string &database) {
  const std::string &named =
      options_.database.empty() ? options_.maintenance : options_.database;
  Parameters parameters = {{"host", options_.host},
                           {"port", options_.port},
                           {"user", options_.user},
                           // libpq takes the first one for a connection
                           // string, if it looks so, and no other.
                           {"dbname", named}};
  if (has_password_) {
    parameters.emplace_back("password", password_);
  }
  parameters.emplace_back("dbname", database);
  parameters.emplace_back("fallback_application_name", "pg_fernet");
  return parameters;
}

void Login::RequireNoKeyIn(std::string options) {
  std::transform(options.begin(), options.end(), options.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  // A URI may have it with any of its letters as %xx; these are the likely
  // ones.
  for (const char *const name : {"fernet.key", "fernet%2ekey"}) {
    if (options.find(name) != std::string::npos) {
      throw Failure(
          "the connection options set a key",
          "Take it out of PGOPTIONS, the connection string or the service "
          "file, and give it as FERNET_KEY: this program sends it when it "
          "knows that nobody can read along.");
    }
  }
}

void Login::RequireNoKey() const {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread so far
  const char *const given = std::getenv("PGOPTIONS");
  RequireNoKeyIn(given == nullptr ? "" : given);
  RequireNoKeyIn(options_.database);
  RequireNoKeyIn(options_.maintenance);
}

std::unique_ptr<Connection> Login::Open(const std::string &database) {
  std::unique_ptr<Connection> connection;
  {
    // One after the other: several must not ask for the password at once.
    const std::lock_guard lock(mutex_);
    const auto ask = [&] {
      const Terminal terminal;
      terminal.Write("Password: ");
      password_ = terminal.ReadLine();
      has_password_ = true;
    };
    if (options_.password == AskForPassword::kAlways && !has_password_) {
      ask();
    }
    try {
      connection = std::make_unique<Connection>(ParametersFor(database));
    } catch (const NeedsPassword &) {
      if (options_.password == AskForPassword::kNever || has_password_) {
        throw;
      }
      ask();
      connection = std::make_unique<Connection>(ParametersFor(database));
    }
  }
  // A service file may have set it, or a URI in another spelling.
  RequireNoKeyIn(connection->Asked("options"));
  RequireSessions(database, connection.get());
  // Bytes that are no text of any encoding pass only without a conversion.
  connection->Query(
      "SELECT pg_catalog.set_config('client_encoding', $1, false)",
      {connection->Status("server_encoding") == "SQL_ASCII" ? "SQL_ASCII"
                                                            : "UTF8"});
  connection->Query(kPrepare);
  return connection;
}

// What is set for a session would go to whoever has that session of the server
// next. A pooler has numbers of its own for processes.
void Login::RequireSessions(const std::string &database,
                            Connection *connection) {
  const std::lock_guard lock(mutex_);
  if (checked_.contains(database)) {
    return;
  }
  constexpr const char *kProcess = "SELECT pg_catalog.pg_backend_pid()";
  const std::int64_t process = connection->Query(kProcess).Number(0, 0);
  if (process != connection->process()) {
    Connection other(ParametersFor(database));
    bool is_shared = other.Query(kProcess).Number(0, 0) == process;
    if (!is_shared) {
      // It may hold the session that was ours, or that of the application.
      other.Query("BEGIN");
      for (int time = 0; time < kTimesToAsk && !is_shared; ++time) {
        is_shared = connection->Query(kProcess).Number(0, 0) != process;
      }
    }
    if (is_shared) {
      throw Failure(
          "a pooler gives every transaction another session of the server",
          "Connect to the server itself, or to a pooler in session mode.");
    }
  }
  checked_.insert(database);
}

std::vector<std::string> Login::Databases() {
  std::unique_ptr<Connection> connection;
  if (!options_.maintenance.empty() || !options_.database.empty()) {
    connection = Open();
  } else {
    try {
      connection = Open("postgres");
    } catch (const ConnectionError &) {
      connection = Open("template1");
    }
  }
  const Result result = connection->Query(kDatabases);
  std::vector<std::string> names;
  names.reserve(static_cast<std::size_t>(result.rows()));
  for (int row = 0; row < result.rows(); ++row) {
    names.push_back(result.Text(row, 0));
  }
  return names;
}

}  // namespace fernet::client
