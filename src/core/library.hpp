#pragma once

namespace fernet {

// CryptoLibraryVersion is the version of the loaded libcrypto, as libcrypto
// describes it: a constant string that libcrypto owns.
const char *CryptoLibraryVersion() noexcept;

// IsFipsRequired says whether libcrypto fetches from FIPS providers only.
bool IsFipsRequired() noexcept;

// HasAlgorithms says whether the providers of libcrypto offer what a token
// needs.
bool HasAlgorithms() noexcept;

}  // namespace fernet
