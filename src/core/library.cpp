#include "core/library.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "core/crypto.hpp"

namespace fernet {

const char *CryptoLibraryVersion() noexcept {
  return OpenSSL_version(OPENSSL_VERSION);
}

bool IsFipsRequired() noexcept {
  return EVP_default_properties_is_fips_enabled(nullptr) == 1;
}

bool HasAlgorithms() noexcept {
  Algorithms algorithms;
  return algorithms.Fetch() == Status::kOk;
}

}  // namespace fernet
