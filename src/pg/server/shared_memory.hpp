#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

// RequestSharedMemory asks for `size` bytes. A server before PostgreSQL 17 must
// know the size before it starts; on a later one this does nothing. Called by
// _PG_init.
void RequestSharedMemory(std::size_t size);

// AttachSharedMemory returns the one segment of `size` bytes that all sessions
// share; the first session calls `init` on it. It returns null before
// PostgreSQL 17 without shared_preload_libraries. May raise an error.
void *AttachSharedMemory(std::size_t size, void (*init)(void *memory));

}  // namespace fernet::pg
