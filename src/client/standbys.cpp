#include "client/standbys.hpp"

#include <cstdlib>

#include "client/cancel.hpp"

namespace fernet::client {
namespace {

constexpr double kSecondsBetween = 0.5;

}  // namespace

void RequireSightOfStandbys(Connection *connection) {
  if (!connection
           ->Query("SELECT pg_has_role('pg_read_all_stats'::name, 'USAGE')")
           .Truth(0, 0)) {
    throw Failure("permission denied to see the replay lag of standbys",
                  "--max-lag needs it: GRANT pg_read_all_stats to the role.");
  }
}

Standbys::Standbys(Connection *connection, std::string max_lag)
    : connection_(connection), max_lag_(std::move(max_lag)) {
  if (!max_lag_.empty()) {
    limit_ = std::chrono::duration<double>(std::strtod(
        connection_
            ->Query("SELECT extract(epoch FROM $1::interval)", {max_lag_})
            .Text(0, 0)
            .c_str(),
        nullptr));
  }
}

void Standbys::Wait() {
  while (!max_lag_.empty() && AreBehind()) {
    cancel::Sleep(kSecondsBetween);
  }
}

bool Standbys::AreBehind() {
  const auto now = std::chrono::steady_clock::now();
  const bool is_due = position_.empty() || now - noted_ >= limit_;
  const Result result = connection_->Query(
      "SELECT coalesce(bool_or(replay_lag > $1::interval"
      " OR replay_lsn < $2::pg_lsn), false), pg_current_wal_flush_lsn()"
      " FROM pg_stat_replication WHERE replay_lsn IS NOT NULL",
      {max_lag_,
       is_due && !position_.empty() ? Value(position_) : std::nullopt});
  if (result.Truth(0, 0)) {
    return true;
  }
  if (is_due) {
    position_ = result.Text(0, 1);
    noted_ = now;
  }
  return false;
}

}  // namespace fernet::client
