#include "core/secret_pages.hpp"

#include <sys/mman.h>

namespace fernet {
namespace {

bool Lock(void *address, std::size_t size) noexcept {
#ifdef MLOCK_ONFAULT
  // Lock each page when it is first touched: a session with one key must not
  // cost as much memory as a session with many.
  return mlock2(address, size, MLOCK_ONFAULT) == 0;
#else
  return mlock(address, size) == 0;
#endif
}

bool LeaveOutOfDumps(void *address, std::size_t size) noexcept {
#ifdef MADV_DONTDUMP
  return madvise(address, size, MADV_DONTDUMP) == 0;
#else
  static_cast<void>(address);
  static_cast<void>(size);
  return false;
#endif
}

bool WipeOnFork(void *address, std::size_t size) noexcept {
#ifdef MADV_WIPEONFORK
  return madvise(address, size, MADV_WIPEONFORK) == 0;
#else
  static_cast<void>(address);
  static_cast<void>(size);
  return false;
#endif
}

}  // namespace

SecretPages SecretPages::Map(std::size_t size) noexcept {
  void *const address = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) {
    return {};
  }
  return {address, LeaveOutOfDumps(address, size), Lock(address, size),
          WipeOnFork(address, size)};
}

}  // namespace fernet
