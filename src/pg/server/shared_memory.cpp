#include "pg/server/shared_memory.hpp"

namespace fernet::pg {
namespace {

// The name has the number of the layout: a later version with another layout
// must not get the memory of this one, which exists until a restart.
constexpr const char *kName = "pg_fernet 1";

#ifndef FERNET_HAS_DSM_REGISTRY
constinit std::size_t requested = 0;
constinit shmem_request_hook_type next_request_hook = nullptr;

void RequestAtStart() {
  if (next_request_hook != nullptr) {
    next_request_hook();
  }
  RequestAddinShmemSpace(requested);
}
#endif

}  // namespace

#ifdef FERNET_HAS_DSM_REGISTRY

void RequestSharedMemory(std::size_t) {}

void *AttachSharedMemory(std::size_t size, void (*init)(void *memory)) {
  return NamedSegment(kName, size, init);
}

#else

void RequestSharedMemory(std::size_t size) {
  if (!process_shared_preload_libraries_in_progress) {
    return;
  }
  requested = size;
  next_request_hook = shmem_request_hook;
  shmem_request_hook = RequestAtStart;
}

void *AttachSharedMemory(std::size_t size, void (*init)(void *memory)) {
  // Only the postmaster makes the request, and a session that it forks inherits
  // `requested`.
  if (requested == 0) {
    return nullptr;
  }
  bool found = false;
  LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
  void *const memory = ShmemInitStruct(kName, size, &found);
  if (!found) {
    init(memory);
  }
  LWLockRelease(AddinShmemInitLock);
  return memory;
}

#endif

}  // namespace fernet::pg
