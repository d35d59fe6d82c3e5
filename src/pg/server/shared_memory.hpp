#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

// RequestSharedMemory asks for `size` bytes where the server must know before
// it starts. Called by _PG_init; does nothing where that is not the way.
void RequestSharedMemory(std::size_t size);

// AttachSharedMemory is the one segment of `size` bytes that all sessions
// share; the first calls `init` on it. Null where the server has none for us:
// before PostgreSQL 17 without shared_preload_libraries. May raise an error.
void *AttachSharedMemory(std::size_t size, void (*init)(void *memory));

}  // namespace fernet::pg
