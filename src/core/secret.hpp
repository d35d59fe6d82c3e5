#pragma once

#include <openssl/crypto.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace fernet {

// SecretBytes is `N` bytes of key material or plaintext. Its destructor wipes
// it. It cannot be copied, compared or printed. It must not be alive across a
// call that may ereport: longjmp would skip the wipe. Its bytes are not
// initialized.
template <std::size_t N>
class SecretBytes {
 public:
  SecretBytes() noexcept {}  // NOLINT: bytes_ stays uninitialized on purpose
  SecretBytes(const SecretBytes &) = delete;
  SecretBytes &operator=(const SecretBytes &) = delete;
  ~SecretBytes() { Wipe(); }

  void Wipe() noexcept { OPENSSL_cleanse(bytes_.data(), N); }
  std::span<std::uint8_t, N> mutable_bytes() noexcept { return bytes_; }
  std::span<const std::uint8_t, N> bytes() const noexcept { return bytes_; }

 private:
  std::array<std::uint8_t, N> bytes_;
};

// SecretScratch is room for up to `N` bytes of plaintext on the stack. Its
// destructor wipes only the bytes that were handed out, so a small value costs
// little.
template <std::size_t N>
class SecretScratch {
 public:
  SecretScratch() noexcept {}  // NOLINT: bytes_ stays uninitialized on purpose
  SecretScratch(const SecretScratch &) = delete;
  SecretScratch &operator=(const SecretScratch &) = delete;
  ~SecretScratch() { OPENSSL_cleanse(bytes_.data(), used_); }

  // First hands out the first `size` bytes, at most `N`.
  std::span<std::uint8_t> First(std::size_t size) noexcept {
    used_ = used_ < size ? size : used_;
    return std::span(bytes_).first(size);
  }

 private:
  std::size_t used_ = 0;
  std::array<std::uint8_t, N> bytes_;
};

}  // namespace fernet
