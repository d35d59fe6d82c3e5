// The least that can be done for a correct token with the functions that
// OpenSSL supports, stage after stage over the whole token, without the core's
// structure: no streaming, no wiping, no telling one error from another.
#include <openssl/crypto.h>

#include <vector>

#include "core/base64url.hpp"
#include "evp_contexts.hpp"
#include "layout.hpp"

namespace fernet::bench {
namespace {

struct TableBase64 {
  static void Encode(View in, std::span<char> out) {
    table_base64::Encode(in.data(), in.size(), out.data());
  }
  static bool Decode(Text digits, std::span<std::uint8_t> out) {
    return table_base64::Decode(digits.data(), digits.size(), out.data());
  }
};

struct OurBase64 {
  static void Encode(View in, std::span<char> out) {
    base64url::Encode(in, out);
  }
  static bool Decode(Text digits, std::span<std::uint8_t> out) {
    return base64url::Decode(digits, out) == base64url::kNoOffset;
  }
};

template <typename AnyBase64>
class SupportedLoop final : public Codec {
 public:
  explicit SupportedLoop(View key) : evp_(key), binary_(kRoom) {}

  bool Seal(View plaintext, std::uint64_t timestamp,
            std::span<char> out) override {
    return SealWithIv(plaintext, timestamp, ivs_.Next(), out);
  }

  bool SealWithIv(View plaintext, std::uint64_t timestamp, Iv iv,
                  std::span<char> out) override {
    std::uint8_t *const binary = binary_.data();
    std::uint8_t *const body = binary + kHeaderSize;
    const std::size_t size = WritePadded(plaintext, timestamp, iv, binary);
    int written = 0;
    if (EVP_EncryptInit_ex2(evp_.encryption.get(), nullptr, nullptr, iv.data(),
                            nullptr) != 1 ||
        EVP_EncryptUpdate(evp_.encryption.get(), body, &written, body,
                          static_cast<int>(size)) != 1 ||
        !Mac(kHeaderSize + size, body + size)) {
      return false;
    }
    AnyBase64::Encode(View(binary, kHeaderSize + size + kHmacSize), out);
    return true;
  }

  bool Open(Text token, std::span<std::uint8_t> out,
            std::size_t *out_size) override {
    const Text digits = Digits(token);
    std::uint8_t *const binary = binary_.data();
    const std::size_t size = base64url::DecodedSize(digits.size());
    if (!AnyBase64::Decode(digits, std::span(binary, size))) {
      return false;
    }
    const std::size_t signed_size = size - kHmacSize;
    const std::size_t body_size = signed_size - kHeaderSize;
    std::array<std::uint8_t, kHmacSize> hmac;
    int written = 0;
    if (!Mac(signed_size, hmac.data()) ||
        CRYPTO_memcmp(hmac.data(), binary + signed_size, kHmacSize) != 0 ||
        EVP_DecryptInit_ex2(evp_.decryption.get(), nullptr, nullptr,
                            binary + 1 + kTimestampSize, nullptr) != 1 ||
        EVP_DecryptUpdate(evp_.decryption.get(), out.data(), &written,
                          binary + kHeaderSize,
                          static_cast<int>(body_size)) != 1) {
      return false;
    }
    *out_size = body_size - out[body_size - 1];
    return true;
  }

 private:
  // Mac computes the HMAC of the first `size` bytes of the token.
  bool Mac(std::size_t size, std::uint8_t *out) {
    return evp_.BeginMac() &&
           EVP_DigestUpdate(evp_.mac.get(), binary_.data(), size) == 1 &&
           evp_.FinishMac(out);
  }

  EvpContexts evp_;
  IvBuffer ivs_;
  std::vector<std::uint8_t> binary_;
};

}  // namespace

std::unique_ptr<Codec> MakeSupportedLoop(View key, Base64 base64) {
  if (base64 == Base64::kOurs) {
    return std::make_unique<SupportedLoop<OurBase64>>(key);
  }
  return std::make_unique<SupportedLoop<TableBase64>>(key);
}

}  // namespace fernet::bench
