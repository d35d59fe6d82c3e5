// The implementations of Fernet that are measured side by side.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "core/crypto.hpp"

namespace fernet::bench {

using View = std::span<const std::uint8_t>;
using Text = std::span<const char>;
using Iv = std::span<const std::uint8_t, kIvSize>;

// kMaxPlaintext is the largest plaintext that a Codec must be able to seal.
inline constexpr std::size_t kMaxPlaintext = std::size_t{1} << 20;

// Codec is one way of making and opening tokens with one key. What it needs for
// the key, it has prepared: only the work for a token is measured.
class Codec {
 public:
  Codec() = default;
  Codec(const Codec &) = delete;
  Codec &operator=(const Codec &) = delete;
  virtual ~Codec() = default;

  // Seal writes the token of `plaintext`, with a random IV, to `out`, which is
  // TokenSize(plaintext.size()) characters large. It returns false when that
  // fails, as do the others.
  virtual bool Seal(View plaintext, std::uint64_t timestamp,
                    std::span<char> out) = 0;
  virtual bool SealWithIv(View plaintext, std::uint64_t timestamp, Iv iv,
                          std::span<char> out) = 0;

  // Open decrypts `token`, as Seal has written it, to `out`, which has room for
  // the ciphertext, and stores the size of the plaintext. It returns false for
  // a token of another key, or with any bit changed.
  virtual bool Open(Text token, std::span<std::uint8_t> out,
                    std::size_t *out_size) = 0;
};

// MakeNaive is OpenSSL as it is mostly used: everything is fetched, allocated
// and freed for each token. See naive.cpp.
std::unique_ptr<Codec> MakeNaive(View key);

// MakeSupportedLoop is the least that can be done with OpenSSL's supported
// functions, with base64 from a table or that of the core. See
// supported_loop.cpp.
enum class Base64 : std::uint8_t { kTable, kOurs };
std::unique_ptr<Codec> MakeSupportedLoop(View key, Base64 base64);

// MakeIntrinsics is the least that can be done without OpenSSL, or null where
// the processor lacks instructions for AES or SHA-256. See intrinsics.cpp.
std::unique_ptr<Codec> MakeIntrinsics(View key);

}  // namespace fernet::bench
