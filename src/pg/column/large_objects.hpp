// Tokens in large objects.
#pragma once

#include "pg/column/table_search.hpp"
#include "pg/server/boundary.hpp"

namespace fernet::pg {

// LargeObjectCount counts the large objects of a search.
struct LargeObjectCount {
  std::int64_t objects = 0;
  std::int64_t read = 0;
  std::int64_t forbidden = 0;  // that this role may not read
};

// SearchLargeObjects looks for tokens in each large object that this role may
// read, as a stream: at most 64 MiB of one are in memory. It tells the sink of
// each with a token, by a name such as "large object 16384". With less than 100
// percent, it reads so many of them, chosen at random. The active snapshot says
// what is there. Raises failures of libcrypto and pending interrupts.
LargeObjectCount SearchLargeObjects(const SearchRule &rule);

}  // namespace fernet::pg
