#include "pg/server/shared_memory.hpp"

namespace fernet::pg {
namespace {

// With the number of the layout: a later version whose memory looks different
// must not be given that of the one before, which is there until a restart.
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
  // Only what the postmaster has loaded knows of the request, and a session
  // that it forks knows what it knew.
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
