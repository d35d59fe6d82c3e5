#include "evp_contexts.hpp"

#include <openssl/core_names.h>
#include <openssl/params.h>

#include <array>
#include <stdexcept>

namespace fernet::bench {
namespace {

bool AbsorbPad(EVP_MD_CTX *context, const EVP_MD *sha256, View key,
               std::uint8_t pad) {
  std::array<std::uint8_t, 64> block;
  block.fill(pad);
  for (std::size_t i = 0; i < key.size(); ++i) {
    block[i] ^= key[i];
  }
  return EVP_DigestInit_ex2(context, sha256, nullptr) == 1 &&
         EVP_DigestUpdate(context, block.data(), block.size()) == 1;
}

}  // namespace

EvpContexts::EvpContexts(View key)
    : inner(EVP_MD_CTX_new()),
      outer(EVP_MD_CTX_new()),
      mac(EVP_MD_CTX_new()),
      encryption(EVP_CIPHER_CTX_new()),
      decryption(EVP_CIPHER_CTX_new()) {
  // As a parameter of the provider's. EVP_CIPHER_CTX_set_padding would cost
  // something again for every token.
  unsigned int padding = 0;
  const OSSL_PARAM no_padding[] = {
      OSSL_PARAM_construct_uint(OSSL_CIPHER_PARAM_PADDING, &padding),
      OSSL_PARAM_construct_end()};
  const Cipher aes(EVP_CIPHER_fetch(nullptr, "AES-128-CBC", nullptr));
  const Digest sha256(EVP_MD_fetch(nullptr, "SHA256", nullptr));
  const unsigned char *const aes_key = key.last(16).data();
  if (!aes || !sha256 ||
      !AbsorbPad(inner.get(), sha256.get(), key.first(16), 0x36) ||
      !AbsorbPad(outer.get(), sha256.get(), key.first(16), 0x5c) ||
      EVP_EncryptInit_ex2(encryption.get(), aes.get(), aes_key, nullptr,
                          no_padding) != 1 ||
      EVP_DecryptInit_ex2(decryption.get(), aes.get(), aes_key, nullptr,
                          no_padding) != 1) {
    throw std::runtime_error("OpenSSL cannot prepare a key");
  }
}

}  // namespace fernet::bench
