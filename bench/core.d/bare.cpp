#include "bare.hpp"

#include <algorithm>

#include "core/base64url.hpp"

namespace fernet::bench {
namespace {

constexpr std::size_t kChunkDigits = base64url::EncodedSize(kChunkSize);

}  // namespace

bool Bare::Seal(View plaintext, Iv iv, std::span<char> text,
                std::uint8_t *hmac) {
  if (!evp_.BeginMac() ||
      EVP_EncryptInit_ex2(evp_.encryption.get(), nullptr, nullptr, iv.data(),
                          nullptr) != 1) {
    return false;
  }
  const bool encode = !text.empty();
  while (!plaintext.empty()) {
    const std::size_t size = std::min(kChunkSize, plaintext.size());
    int written = 0;
    if (EVP_EncryptUpdate(evp_.encryption.get(), chunk_.data(), &written,
                          plaintext.data(), static_cast<int>(size)) != 1 ||
        EVP_DigestUpdate(evp_.mac.get(), chunk_.data(), size) != 1) {
      return false;
    }
    if (encode) {
      base64url::Encode(std::span(chunk_).first(size), text);
      text = text.subspan(base64url::EncodedSize(size));
    }
    plaintext = plaintext.subspan(size);
  }
  return evp_.FinishMac(hmac);
}

bool Bare::Open(View ciphertext, Iv iv, std::uint8_t *out, std::uint8_t *hmac) {
  bool done = BeginOpening(iv);
  while (done && !ciphertext.empty()) {
    const std::size_t size = std::min(kChunkSize, ciphertext.size());
    done = OpenChunk(ciphertext.first(size), out);
    ciphertext = ciphertext.subspan(size);
    out += size;
  }
  return done && evp_.FinishMac(hmac);
}

bool Bare::OpenText(Text digits, Iv iv, std::uint8_t *out, std::uint8_t *hmac) {
  bool done = BeginOpening(iv);
  while (done && !digits.empty()) {
    const Text part = digits.first(std::min(kChunkDigits, digits.size()));
    const auto chunk =
        std::span(chunk_).first(base64url::DecodedSize(part.size()));
    done = base64url::Decode(part, chunk) == base64url::kNoOffset &&
           OpenChunk(chunk, out);
    digits = digits.subspan(part.size());
    out += chunk.size();
  }
  return done && evp_.FinishMac(hmac);
}

bool Bare::BeginOpening(Iv iv) {
  return evp_.BeginMac() &&
         EVP_DecryptInit_ex2(evp_.decryption.get(), nullptr, nullptr, iv.data(),
                             nullptr) == 1;
}

bool Bare::OpenChunk(View ciphertext, std::uint8_t *out) {
  int written = 0;
  return EVP_DigestUpdate(evp_.mac.get(), ciphertext.data(),
                          ciphertext.size()) == 1 &&
         EVP_DecryptUpdate(evp_.decryption.get(), out, &written,
                           ciphertext.data(),
                           static_cast<int>(ciphertext.size())) == 1;
}

}  // namespace fernet::bench
