// Transactions that could still write an old value.
#pragma once

#include <string>
#include <vector>

#include "client/connection.hpp"

namespace fernet::client {

// CanSeeWriters says whether the role sees the snapshots of other roles.
bool CanSeeWriters(Connection *connection);

// WaitForWriters waits, in a session without a transaction, for those that have
// a lock to write to one of the tables `oids` or their partitions, prepared
// ones too, and for those whose snapshot is older than this moment. With
// `whole_database`, for every one that has written anything: it may make a new
// table. Throws ServerError when they take too long, with their names.
void WaitForWriters(Connection *connection,
                    const std::vector<std::string> &oids, bool whole_database);

}  // namespace fernet::client
