// OpenSSL as its manual pages show it, and as most programs use it: for each
// token, algorithms are fetched by name, contexts made and freed, and base64 is
// OpenSSL's with the two characters exchanged.
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <algorithm>
#include <string>
#include <vector>

#include "layout.hpp"

namespace fernet::bench {
namespace {

bool Crypt(View key, const std::uint8_t *iv, View in, bool encrypt,
           std::uint8_t *out, std::size_t *out_size) {
  EVP_CIPHER *const cipher = EVP_CIPHER_fetch(nullptr, "AES-128-CBC", nullptr);
  EVP_CIPHER_CTX *const context = EVP_CIPHER_CTX_new();
  int size = 0;
  int last_size = 0;
  const bool done = EVP_CipherInit_ex2(context, cipher, key.data(), iv,
                                       encrypt ? 1 : 0, nullptr) == 1 &&
                    EVP_CipherUpdate(context, out, &size, in.data(),
                                     static_cast<int>(in.size())) == 1 &&
                    EVP_CipherFinal_ex(context, out + size, &last_size) == 1;
  *out_size = static_cast<std::size_t>(size + last_size);
  EVP_CIPHER_CTX_free(context);
  EVP_CIPHER_free(cipher);
  return done;
}

bool ComputeHmac(View key, View data, std::uint8_t *out) {
  EVP_MAC *const hmac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  EVP_MAC_CTX *const context = EVP_MAC_CTX_new(hmac);
  char digest[] = "SHA256";
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_end()};
  std::size_t size = 0;
  const bool done =
      EVP_MAC_init(context, key.data(), key.size(), params) == 1 &&
      EVP_MAC_update(context, data.data(), data.size()) == 1 &&
      EVP_MAC_final(context, out, &size, kHmacSize) == 1;
  EVP_MAC_CTX_free(context);
  EVP_MAC_free(hmac);
  return done;
}

class Naive final : public Codec {
 public:
  explicit Naive(View key) : key_(key.begin(), key.end()) {}

  bool Seal(View plaintext, std::uint64_t timestamp,
            std::span<char> out) override {
    std::array<std::uint8_t, kIvSize> iv;
    return RAND_bytes(iv.data(), static_cast<int>(iv.size())) == 1 &&
           SealWithIv(plaintext, timestamp, iv, out);
  }

  bool SealWithIv(View plaintext, std::uint64_t timestamp, Iv iv,
                  std::span<char> out) override {
    std::vector<std::uint8_t> binary(
        kHeaderSize + CiphertextSize(plaintext.size()) + kHmacSize);
    WriteHeader(timestamp, iv, binary.data());
    std::size_t size = 0;
    if (!Crypt(View(key_).last(16), iv.data(), plaintext, true,
               binary.data() + kHeaderSize, &size)) {
      return false;
    }
    const auto signed_part = View(binary).first(kHeaderSize + size);
    if (!ComputeHmac(View(key_).first(16), signed_part,
                     binary.data() + signed_part.size())) {
      return false;
    }
    // EVP_EncodeBlock ends its output with a NUL.
    std::vector<unsigned char> text(out.size() + 1);
    EVP_EncodeBlock(text.data(), binary.data(),
                    static_cast<int>(binary.size()));
    std::replace(text.begin(), text.end(), '+', '-');
    std::replace(text.begin(), text.end(), '/', '_');
    std::copy_n(text.begin(), out.size(), out.begin());
    return true;
  }

  bool Open(Text token, std::span<std::uint8_t> out,
            std::size_t *out_size) override {
    std::string text(token.begin(), token.end());
    std::replace(text.begin(), text.end(), '-', '+');
    std::replace(text.begin(), text.end(), '_', '/');
    std::vector<std::uint8_t> binary(text.size() / 4 * 3);
    const int decoded = EVP_DecodeBlock(
        binary.data(), reinterpret_cast<const unsigned char *>(text.data()),
        static_cast<int>(text.size()));
    if (decoded < 0) {
      return false;
    }
    // EVP_DecodeBlock counts the zeros that the '=' stand for.
    binary.resize(static_cast<std::size_t>(decoded) -
                  (token.size() - Digits(token).size()));
    const auto signed_part = View(binary).first(binary.size() - kHmacSize);
    std::array<std::uint8_t, kHmacSize> hmac;
    if (binary[0] != kVersion ||
        !ComputeHmac(View(key_).first(16), signed_part, hmac.data()) ||
        CRYPTO_memcmp(hmac.data(), View(binary).last(kHmacSize).data(),
                      kHmacSize) != 0) {
      return false;
    }
    return Crypt(View(key_).last(16), binary.data() + 1 + kTimestampSize,
                 signed_part.subspan(kHeaderSize), false, out.data(), out_size);
  }

 private:
  std::vector<std::uint8_t> key_;
};

}  // namespace

std::unique_ptr<Codec> MakeNaive(View key) {
  return std::make_unique<Naive>(key);
}

}  // namespace fernet::bench
