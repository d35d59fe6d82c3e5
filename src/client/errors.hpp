// How the program ends, and what can go wrong.
#pragma once

#include <stdexcept>
#include <string>

namespace fernet::client {

enum class Exit : int {
  kDone = 0,
  kFailed = 1,  // could not connect, or a wrong command line
  kLeft = 2,    // something is not encrypted with the first key, or not known
  kCancelled = 3,
};

// Failure ends the program with Exit::kFailed, and these words.
class Failure : public std::runtime_error {
 public:
  explicit Failure(const std::string &message, std::string hint = "")
      : std::runtime_error(message), hint_(std::move(hint)) {}
  const std::string &hint() const { return hint_; }

 private:
  std::string hint_;
};

// UsageError is a Failure about the command line.
class UsageError : public Failure {
 public:
  using Failure::Failure;
};

// Cancelled ends the program with Exit::kCancelled.
class Cancelled : public std::exception {};

// ServerMessage is an error, warning or notice of the server, as it came.
struct ServerMessage {
  std::string severity;
  std::string sqlstate;
  std::string message;
  std::string detail;
  std::string hint;
};

// ServerError is an error that a server has raised for a statement.
class ServerError : public std::runtime_error {
 public:
  explicit ServerError(ServerMessage message)
      : std::runtime_error(message.message), message_(std::move(message)) {}
  const ServerMessage &message() const { return message_; }
  bool Is(const char *sqlstate) const { return message_.sqlstate == sqlstate; }

 private:
  ServerMessage message_;
};

// ConnectionError is a connection that could not be made, or was lost.
class ConnectionError : public Failure {
 public:
  using Failure::Failure;
};

}  // namespace fernet::client
