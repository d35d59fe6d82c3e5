// The proof of the client way: nobody can bring an old value any more, and none
// is left.
#pragma once

#include <string>
#include <vector>

#include "client/display.hpp"
#include "client/find.hpp"
#include "client/keys.hpp"
#include "client/login.hpp"
#include "client/options.hpp"

namespace fernet::client {

// ClientProof is what was found in all tables at one moment, after the end of
// every transaction that was open at the last write and could write an old
// value.
struct ClientProof {
  std::vector<Found> found;
  // Whether another session has temporary tables.
  bool has_temporary = false;
  // Why nothing is proved, whatever was found.
  std::vector<ServerMessage> not_proved;
};

// ProveHere waits and reads. With `elsewhere_only`, it is for the tables that
// the server does not prove.
ClientProof ProveHere(Login *login, const Keys &keys, const Options &options,
                      Display *display, const std::string &database,
                      bool elsewhere_only);

}  // namespace fernet::client
