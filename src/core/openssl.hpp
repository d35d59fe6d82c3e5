// Owners of the OpenSSL objects that the core keeps, and how their functions
// are called. Private to src/core.
#pragma once

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/opensslv.h>

#include <utility>

#if OPENSSL_VERSION_NUMBER < 0x30000000L
#error "pg_fernet needs OpenSSL 3.0 or newer"
#endif

namespace fernet {

// Handle owns one OpenSSL object of type `T` and frees it with `Free`. The
// EVP context types wipe their key material when they are freed.
template <typename T, void (*Free)(T *)>
class Handle {
 public:
  constexpr Handle() noexcept = default;
  explicit Handle(T *object) noexcept : object_(object) {}
  Handle(const Handle &) = delete;
  Handle &operator=(const Handle &) = delete;
  Handle(Handle &&other) noexcept
      : object_(std::exchange(other.object_, nullptr)) {}
  Handle &operator=(Handle &&other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Handle() { Reset(); }

  void Reset() noexcept {
    if (object_ != nullptr) {
      Free(std::exchange(object_, nullptr));
    }
  }
  T *get() const noexcept { return object_; }
  explicit operator bool() const noexcept { return object_ != nullptr; }

 private:
  T *object_ = nullptr;
};

// Succeeded turns OpenSSL's 1 into true. On failure it clears OpenSSL's error
// queue, in which the server's TLS code would find the error.
inline bool Succeeded(int result) noexcept {
  if (result != 1) {
    ERR_clear_error();
    return false;
  }
  return true;
}

using Cipher = Handle<EVP_CIPHER, EVP_CIPHER_free>;
using CipherContext = Handle<EVP_CIPHER_CTX, EVP_CIPHER_CTX_free>;
using Digest = Handle<EVP_MD, EVP_MD_free>;
using DigestContext = Handle<EVP_MD_CTX, EVP_MD_CTX_free>;
using KeyDerivation = Handle<EVP_KDF, EVP_KDF_free>;
using KeyDerivationContext = Handle<EVP_KDF_CTX, EVP_KDF_CTX_free>;

}  // namespace fernet
