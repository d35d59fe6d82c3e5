#pragma once

#include <cstddef>

namespace fernet {

// SecretPages are whole pages of memory from the operating system that are
// left out of core dumps, kept out of swap as far as RLIMIT_MEMLOCK allows,
// and, where the platform can, filled with zeros in a forked child. New pages
// are zero. They are never unmapped: the caller keeps them for the life of the
// process and wipes what it puts in.
struct SecretPages {
  void *address = nullptr;  // null when the system had no memory
  bool left_out_of_dumps = false;
  bool locked = false;
  bool wiped_on_fork = false;

  // Map maps at least `size` bytes.
  static SecretPages Map(std::size_t size) noexcept;
};

}  // namespace fernet
