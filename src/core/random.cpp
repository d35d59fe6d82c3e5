#include "core/random.hpp"

#include <openssl/err.h>
#include <openssl/rand.h>

namespace fernet {

// The private generator is used because an IV must not be predictable.
bool RandomBuffer::Fill() noexcept {
  const bool drawn =
      RAND_priv_bytes(bytes_.data(), static_cast<int>(kSize)) == 1;
  ERR_clear_error();
  left_ = drawn ? kSize : 0;
  return drawn;
}

}  // namespace fernet
