// A connection to a server. Every wait ends when the program is cancelled.
#pragma once

#include <libpq-fe.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "client/errors.hpp"

namespace fernet::client {

// Parameters are those of a connection, as libpq names them, in the order in
// which later ones win.
using Parameters = std::vector<std::pair<std::string, std::string>>;

// Result is what a statement has returned.
class Result {
 public:
  explicit Result(PGresult *result) : result_(result, PQclear) {}

  int rows() const { return PQntuples(result_.get()); }
  bool IsNull(int row, int column) const {
    return PQgetisnull(result_.get(), row, column) != 0;
  }
  // View is valid as long as the result is; empty for NULL.
  std::string_view View(int row, int column) const;
  // Text is empty for NULL.
  std::string Text(int row, int column) const;
  std::int64_t Number(int row, int column) const;
  // Bytes is the memory that it takes.
  std::int64_t Bytes() const;
  // Affected is the number of rows that an UPDATE has changed.
  std::int64_t Affected() const;
  bool Truth(int row, int column) const { return Text(row, column) == "t"; }

 private:
  std::unique_ptr<PGresult, decltype(&PQclear)> result_;
};

// Value is a parameter of a statement as text, or NULL.
using Value = std::optional<std::string>;

// Argument is a parameter in the binary form of its type.
struct Argument {
  Oid type;
  std::string bytes;
};

class Connection {
 public:
  // Connects, and throws ConnectionError or Cancelled.
  explicit Connection(const Parameters &parameters);
  Connection(const Connection &) = delete;
  Connection &operator=(const Connection &) = delete;
  ~Connection() = default;

  // Query runs one statement with its parameters bound. Throws ServerError,
  // ConnectionError or Cancelled; if cancelled, the server was told so.
  Result Query(const std::string &statement,
               const std::vector<Value> &values = {});
  // QueryBinary is Query, and returns values in the binary form of their types.
  Result QueryBinary(const std::string &statement,
                     const std::vector<Argument> &arguments = {});

  // QuerySecret is Query with a single parameter, which is not copied by the
  // program. libpq's own copy is overwritten before it returns.
  void QuerySecret(const char *statement, const char *secret, std::size_t size);

  // OnNotice has `handler` called for what the server says besides. The
  // handler must not throw.
  void OnNotice(std::function<void(const ServerMessage &)> handler);

  int process() const { return PQbackendPID(connection_.get()); }
  int server_version() const { return PQserverVersion(connection_.get()); }
  std::string database() const { return PQdb(connection_.get()); }
  std::string Status(const char *name) const;
  // IsPrivate says whether nobody on the way can read along: a socket of the
  // machine itself, TLS, or GSSAPI.
  bool IsPrivate() const;
  // Asked is the value of a parameter of the connection, or empty.
  std::string Asked(const char *parameter) const;

 private:
  void Connect(const Parameters &parameters);
  void WaitForSocket(short events, double seconds);
  void Send(const char *statement, const std::vector<const char *> &values);
  Result Receive();
  bool TakeInput();
  void CancelStatement();
  [[noreturn]] void ThrowLost();

  std::unique_ptr<PGconn, decltype(&PQfinish)> connection_;
  std::function<void(const ServerMessage &)> on_notice_;
  bool cancel_was_sent_ = false;
};

// NeedsPassword is thrown by Connection when the server asks for a password and
// there is none.
class NeedsPassword : public ConnectionError {
 public:
  using ConnectionError::ConnectionError;
};

}  // namespace fernet::client
