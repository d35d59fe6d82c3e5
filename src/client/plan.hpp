// What is to be rotated in a database, and what has become of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "client/check.hpp"

namespace fernet::client {

// Way is who reads and writes a table: the server by its extension, or this
// program by SELECT and UPDATE.
enum class Way : std::uint8_t { kServer, kClient };

// Piece is a table, or a slice of one, and its columns.
struct Piece {
  std::string oid;
  std::string table;
  std::vector<std::string> columns;  // unquoted
  Way way = Way::kServer;
  std::int64_t bytes = 0;
  int slice = 1;
  int slices = 1;

  bool is_done = false;
  std::int64_t rotated = 0;
  std::int64_t unchanged = 0;
  std::int64_t failed = 0;
  std::int64_t left = 0;  // of them, that another try may rotate
  std::optional<ServerMessage> error;

  std::string Label() const {
    return slices == 1 ? table
                       : table + ", slice " + std::to_string(slice) + " of " +
                             std::to_string(slices);
  }
};

// Plan is what is to be done in a database.
struct Plan {
  Target target;
  std::vector<Found> found;
  Counts counts;
  std::vector<Piece> pieces;
  std::string first_key;  // its fingerprint
  bool is_proved = false;
  std::vector<ServerMessage> not_proved;
};

}  // namespace fernet::client
