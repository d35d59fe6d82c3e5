// Standbys that must not fall behind.
#pragma once

#include <chrono>
#include <string>

#include "client/connection.hpp"

namespace fernet::client {

// RequireSightOfStandbys throws Failure if the role cannot see how far behind
// they are.
void RequireSightOfStandbys(Connection *connection);

// Standbys waits for them on behalf of one session that writes.
class Standbys {
 public:
  // Without `max_lag`, an interval, it never waits.
  Standbys(Connection *connection, std::string max_lag);

  // Wait returns when no standby is further behind. Throws Cancelled.
  void Wait();

 private:
  bool AreBehind();

  Connection *const connection_;
  const std::string max_lag_;
  std::chrono::duration<double> limit_{0};
  // What was written by a certain time has to be replayed when the limit has
  // passed: a standby that has stopped reports no lag.
  std::string position_;
  std::chrono::steady_clock::time_point noted_;
};

}  // namespace fernet::client
