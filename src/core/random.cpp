#include "core/random.hpp"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>

#include <cstring>

namespace fernet {

bool RandomBuffer::Take(std::span<std::uint8_t> out) noexcept {
  if (left_ < out.size()) {
    // The private generator is used because an IV must not be predictable. The
    // few unused bytes are drawn anew with the rest.
    left_ = 0;
    const bool drawn =
        out.size() <= kSize &&
        RAND_priv_bytes(bytes_.data(), static_cast<int>(kSize)) == 1;
    ERR_clear_error();
    if (!drawn) {
      return false;
    }
    left_ = kSize;
  }
  std::uint8_t *const next = bytes_.data() + (kSize - left_);
  std::memcpy(out.data(), next, out.size());
  OPENSSL_cleanse(next, out.size());
  left_ -= out.size();
  return true;
}

}  // namespace fernet
