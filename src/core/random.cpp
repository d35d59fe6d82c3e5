#include "core/random.hpp"

#include <openssl/err.h>
#include <openssl/rand.h>

namespace fernet {

// An IV is public, so that it comes from the public generator: keys come from
// the private one.
//
// Source: OpenSSL's RAND_bytes(3).
bool RandomBuffer::Fill() noexcept {
  const bool drawn = RAND_bytes(bytes_.data(), static_cast<int>(kSize)) == 1;
  ERR_clear_error();
  left_ = drawn ? kSize : 0;
  return drawn;
}

}  // namespace fernet
