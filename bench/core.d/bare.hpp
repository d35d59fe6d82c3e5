// What a large token costs at the least: OpenSSL's cipher and MAC over all of
// its bytes, chunk by chunk, and nothing that makes a token of them.
#pragma once

#include <array>

#include "core/token.hpp"
#include "evp_contexts.hpp"

namespace fernet::bench {

class Bare {
 public:
  explicit Bare(View key) : evp_(key) {}

  // Seal encrypts `plaintext`, whole blocks, and computes the HMAC of the
  // ciphertext. It writes that in base64 to `text`, unless `text` is empty.
  bool Seal(View plaintext, Iv iv, std::span<char> text, std::uint8_t *hmac);

  // Open computes the HMAC of `ciphertext` and decrypts it. OpenText decodes
  // the ciphertext before that; its `digits` have no '='.
  bool Open(View ciphertext, Iv iv, std::uint8_t *out, std::uint8_t *hmac);
  bool OpenText(Text digits, Iv iv, std::uint8_t *out, std::uint8_t *hmac);

 private:
  bool BeginOpening(Iv iv);
  bool OpenChunk(View ciphertext, std::uint8_t *out);

  EvpContexts evp_;
  std::array<std::uint8_t, kChunkSize> chunk_;
};

}  // namespace fernet::bench
