#pragma once

namespace fernet {

// CryptoLibraryVersion is the version of the libcrypto that is loaded, as it
// describes itself. A constant string of libcrypto's.
const char *CryptoLibraryVersion() noexcept;

// IsFipsRequired says whether libcrypto fetches from FIPS providers only.
bool IsFipsRequired() noexcept;

// HasAlgorithms says whether its providers offer what a token needs.
bool HasAlgorithms() noexcept;

}  // namespace fernet
