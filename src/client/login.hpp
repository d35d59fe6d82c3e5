// Who connects, to where, and how its sessions begin.
#pragma once

#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "client/connection.hpp"
#include "client/keys.hpp"

namespace fernet::client {

enum class AskForPassword { kIfNeeded, kAlways, kNever };

// LoginOptions are those of the command line.
struct LoginOptions {
  std::string host;
  std::string port;
  std::string user;
  std::string database;     // a name, or a connection string
  std::string maintenance;  // the database that lists the others
  AskForPassword password = AskForPassword::kIfNeeded;
};

// Login makes connections, for several threads at once. It asks for a password
// once, and remembers it.
class Login {
 public:
  explicit Login(LoginOptions options) : options_(std::move(options)) {}

  // RequireNoKey throws Failure if a key is in the connection options: they are
  // sent before it is known who can read them.
  void RequireNoKey() const;

  // Open connects to `database`, or to the one of the options if that is empty,
  // and prepares the session: no limit of time ends a statement of ours, and
  // the server notices when this program is gone.
  std::unique_ptr<Connection> Open(const std::string &database = "");

  // Databases lists those that allow connections, by name.
  std::vector<std::string> Databases();

 private:
  static void RequireNoKeyIn(std::string options);
  Parameters ParametersFor(const std::string &database);
  // RequireSessions throws Failure behind a pooler in transaction mode.
  void RequireSessions(const std::string &database, Connection *connection);

  const LoginOptions options_;
  std::mutex mutex_;
  std::string password_;
  bool has_password_ = false;
  std::set<std::string> checked_;  // databases without such a pooler
};

}  // namespace fernet::client
