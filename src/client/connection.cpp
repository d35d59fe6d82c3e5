#include "client/connection.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <string_view>

#include "client/cancel.hpp"

namespace fernet::client {
namespace {

using Clock = std::chrono::steady_clock;

// How long a server may take to answer a request to cancel.
constexpr double kSecondsToCancel = 30;

std::string Field(const PGresult *result, int code) {
  const char *const text = PQresultErrorField(result, code);
  return text == nullptr ? "" : text;
}

// OneLine is a message of libpq, whose lines end and begin with white space, as
// one line.
std::string OneLine(std::string_view words) {
  std::string line;
  for (const char c : words) {
    if (c != '\n' && c != '\t') {
      line += c;
    } else if (!line.empty() && line.back() != ' ') {
      line += ' ';
    }
  }
  while (!line.empty() && line.back() == ' ') {
    line.pop_back();
  }
  return line;
}

ServerMessage MessageOf(const PGresult *result) {
  ServerMessage message = {
      .severity = Field(result, PG_DIAG_SEVERITY_NONLOCALIZED),
      .sqlstate = Field(result, PG_DIAG_SQLSTATE),
      .message = Field(result, PG_DIAG_MESSAGE_PRIMARY),
      .detail = Field(result, PG_DIAG_MESSAGE_DETAIL),
      .hint = Field(result, PG_DIAG_MESSAGE_HINT)};
  if (message.message.empty()) {
    message.message = OneLine(PQresultErrorMessage(result));
  }
  return message;
}

void ReceiveNotice(void *state, const PGresult *result) {
  const auto *const handler =
      static_cast<const std::function<void(const ServerMessage &)> *>(state);
  if (*handler) {
    (*handler)(MessageOf(result));
  }
}

std::string ConnectionWords(const PGconn *connection) {
  const std::string words = OneLine(PQerrorMessage(connection));
  return words.empty() ? "the server closed the connection" : words;
}

// EndsSession says whether there is no session any more after an error. libpq
// gives its own errors no SQLSTATE.
bool EndsSession(const ServerMessage &error) {
  return error.severity == "FATAL" || error.severity == "PANIC" ||
         error.sqlstate.empty();
}

}  // namespace

std::string_view Result::View(int row, int column) const {
  return {PQgetvalue(result_.get(), row, column),
          static_cast<std::size_t>(PQgetlength(result_.get(), row, column))};
}

std::string Result::Text(int row, int column) const {
  return std::string(View(row, column));
}

std::int64_t Result::Number(int row, int column) const {
  const std::string text = Text(row, column);
  std::int64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

std::int64_t Result::Bytes() const {
  return static_cast<std::int64_t>(PQresultMemorySize(result_.get()));
}

std::int64_t Result::Affected() const {
  const std::string_view text = PQcmdTuples(result_.get());
  std::int64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

Connection::Connection(const Parameters &parameters)
    : connection_(nullptr, PQfinish) {
  Connect(parameters);
  PQsetnonblocking(connection_.get(), 1);
  PQsetNoticeReceiver(connection_.get(), ReceiveNotice, &on_notice_);
}

void Connection::OnNotice(std::function<void(const ServerMessage &)> handler) {
  on_notice_ = std::move(handler);
}

void Connection::Connect(const Parameters &parameters) {
  std::vector<const char *> names;
  std::vector<const char *> values;
  for (const auto &[name, value] : parameters) {
    names.push_back(name.c_str());
    values.push_back(value.c_str());
  }
  names.push_back(nullptr);
  values.push_back(nullptr);
  connection_.reset(PQconnectStartParams(names.data(), values.data(), 1));
  if (connection_ == nullptr) {
    throw ConnectionError("out of memory");
  }
  // libpq keeps to connect_timeout only where it does the waiting itself.
  const std::string limit = Asked("connect_timeout");
  double seconds = limit.empty() ? 0 : std::strtod(limit.c_str(), nullptr);
  const std::string hosts = Asked("host");
  seconds *=
      1.0 + static_cast<double>(std::count(hosts.begin(), hosts.end(), ','));
  const auto started = Clock::now();
  PostgresPollingStatusType status = PGRES_POLLING_WRITING;
  while (PQstatus(connection_.get()) != CONNECTION_BAD &&
         status != PGRES_POLLING_OK && status != PGRES_POLLING_FAILED) {
    WaitForSocket(status == PGRES_POLLING_WRITING ? POLLOUT : POLLIN, 1);
    if (cancel::IsAsked()) {
      throw Cancelled();
    }
    const std::chrono::duration<double> gone = Clock::now() - started;
    if (seconds > 0 && gone.count() > seconds) {
      throw ConnectionError("the server did not answer within " + limit +
                            " seconds");
    }
    struct pollfd ready = {
        PQsocket(connection_.get()),
        static_cast<short>(status == PGRES_POLLING_WRITING ? POLLOUT : POLLIN),
        0};
    if (poll(&ready, 1, 0) > 0) {
      status = PQconnectPoll(connection_.get());
    }
  }
  if (PQstatus(connection_.get()) == CONNECTION_OK) {
    return;
  }
  if (PQconnectionNeedsPassword(connection_.get()) != 0) {
    throw NeedsPassword(ConnectionWords(connection_.get()));
  }
  throw ConnectionError(ConnectionWords(connection_.get()));
}

void Connection::WaitForSocket(short events, double seconds) {
  std::array<struct pollfd, 2> files = {{
      {PQsocket(connection_.get()), events, 0},
      {cancel::IsAsked() ? -1 : cancel::Descriptor(), POLLIN, 0},
  }};
  poll(files.data(), files.size(), static_cast<int>(seconds * 1000));
}

void Connection::ThrowLost() {
  const std::string words = ConnectionWords(connection_.get());
  throw ConnectionError("the connection to the server was lost: " + words);
}

Result Connection::Query(const std::string &statement,
                         const std::vector<Value> &values) {
  std::vector<const char *> pointers;
  pointers.reserve(values.size());
  for (const Value &value : values) {
    pointers.push_back(value ? value->c_str() : nullptr);
  }
  Send(statement.c_str(), pointers);
  return Receive();
}

Result Connection::QueryBinary(const std::string &statement,
                               const std::vector<Argument> &arguments) {
  std::vector<Oid> types;
  std::vector<const char *> values;
  std::vector<int> sizes;
  for (const Argument &argument : arguments) {
    types.push_back(argument.type);
    values.push_back(argument.bytes.data());
    sizes.push_back(static_cast<int>(argument.bytes.size()));
  }
  const std::vector<int> formats(arguments.size(), 1);
  if (cancel::IsAsked()) {
    throw Cancelled();
  }
  if (PQsendQueryParams(connection_.get(), statement.c_str(),
                        static_cast<int>(arguments.size()), types.data(),
                        values.data(), sizes.data(), formats.data(), 1) == 0) {
    ThrowLost();
  }
  return Receive();
}

void Connection::QuerySecret(const char *statement, const char *secret,
                             std::size_t size) {
  Send(statement, {secret});
  std::optional<ServerMessage> refused;
  try {
    Receive();
  } catch (const ServerError &error) {
    refused = error.message();
  }
  // libpq sends out of a buffer that it uses again from its start.
  const std::string other(size + 256, 'x');
  Send("SELECT pg_catalog.length($1)", {other.c_str()});
  Receive();
  if (refused) {
    throw ServerError(*refused);
  }
}

void Connection::Send(const char *statement,
                      const std::vector<const char *> &values) {
  if (cancel::IsAsked()) {
    throw Cancelled();
  }
  if (PQsendQueryParams(connection_.get(), statement,
                        static_cast<int>(values.size()), nullptr, values.data(),
                        nullptr, nullptr, 0) == 0) {
    ThrowLost();
  }
}

// TakeInput takes what has arrived. OpenSSL may keep the rest of a record of 16
// kB, which poll does not see; libpq takes at least 8 kB at a time.
bool Connection::TakeInput() {
  const bool is_taken = PQconsumeInput(connection_.get()) != 0;
  // An error after the first call is told by the next one, when what has come
  // before it was read.
  for (int time = 0; is_taken && PQsslInUse(connection_.get()) != 0 && time < 2;
       ++time) {
    static_cast<void>(PQconsumeInput(connection_.get()));
  }
  return is_taken;
}

void Connection::CancelStatement() {
  const std::unique_ptr<PGcancel, decltype(&PQfreeCancel)> request(
      PQgetCancel(connection_.get()), PQfreeCancel);
  std::array<char, 256> words = {};
  if (request != nullptr) {
    PQcancel(request.get(), words.data(), static_cast<int>(words.size()));
  }
  cancel_was_sent_ = true;
}

Result Connection::Receive() {
  std::optional<Result> last;
  std::optional<ServerMessage> error;
  Clock::time_point asked;
  for (;;) {
    const int unsent = PQflush(connection_.get());
    if (unsent < 0 || !TakeInput()) {
      if (cancel::IsAsked()) {
        throw Cancelled();
      }
      ThrowLost();
    }
    if (PQisBusy(connection_.get()) != 0) {
      if (cancel::IsAsked() && !cancel_was_sent_) {
        CancelStatement();
        asked = Clock::now();
      }
      const std::chrono::duration<double> gone = Clock::now() - asked;
      if (cancel_was_sent_ && gone.count() > kSecondsToCancel) {
        throw Cancelled();
      }
      WaitForSocket(static_cast<short>(unsent > 0 ? POLLIN | POLLOUT : POLLIN),
                    1);
      continue;
    }
    PGresult *const next = PQgetResult(connection_.get());
    if (next == nullptr) {
      break;
    }
    last.emplace(next);
    const ExecStatusType status = PQresultStatus(next);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
      error = MessageOf(next);
    }
  }
  if (error && cancel::IsAsked() && error->sqlstate == "57014") {
    throw Cancelled();
  }
  if (error && EndsSession(*error)) {
    throw ConnectionError("the connection to the server was lost: " +
                          error->message);
  }
  if (error) {
    throw ServerError(*error);
  }
  if (!last) {
    ThrowLost();
  }
  return std::move(*last);
}

std::string Connection::Status(const char *name) const {
  const char *const value = PQparameterStatus(connection_.get(), name);
  return value == nullptr ? "" : value;
}

bool Connection::IsPrivate() const {
  struct sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  const int socket = PQsocket(connection_.get());
  return PQsslInUse(connection_.get()) != 0 ||
         PQgssEncInUse(connection_.get()) != 0 ||
         (getpeername(socket, reinterpret_cast<struct sockaddr *>(&address),
                      &size) == 0 &&
          address.ss_family == AF_UNIX);
}

std::string Connection::Asked(const char *parameter) const {
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(
      PQconninfo(connection_.get()), PQconninfoFree);
  for (const PQconninfoOption *option = options.get();
       option != nullptr && option->keyword != nullptr; ++option) {
    if (std::string(option->keyword) == parameter && option->val != nullptr) {
      return option->val;
    }
  }
  return "";
}

}  // namespace fernet::client
