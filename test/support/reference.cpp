#include "support/reference.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <memory>
#include <stdexcept>

namespace fernet::test::reference {
namespace {

void Require(bool succeeded) {
  if (!succeeded) {
    throw std::runtime_error("OpenSSL failed in the reference");
  }
}

Bytes Crypt(View key, View iv, View in, bool encrypt, bool pad) {
  const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context(
      EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  Require(EVP_CipherInit(context.get(), EVP_aes_128_cbc(), key.data(),
                         iv.data(), encrypt ? 1 : 0) == 1);
  Require(EVP_CIPHER_CTX_set_padding(context.get(), pad ? 1 : 0) == 1);
  Bytes out(in.size() + 16);
  int size = 0;
  int last_size = 0;
  Require(EVP_CipherUpdate(context.get(), out.data(), &size, in.data(),
                           static_cast<int>(in.size())) == 1);
  Require(EVP_CipherFinal(context.get(), out.data() + size, &last_size) == 1);
  out.resize(static_cast<std::size_t>(size) +
             static_cast<std::size_t>(last_size));
  return out;
}

Bytes SignedPart(std::uint64_t timestamp, View iv, View ciphertext) {
  Bytes bytes = {0x80};
  for (int shift = 56; shift >= 0; shift -= 8) {
    bytes.push_back(static_cast<std::uint8_t>(timestamp >> shift));
  }
  bytes.insert(bytes.end(), iv.begin(), iv.end());
  bytes.insert(bytes.end(), ciphertext.begin(), ciphertext.end());
  return bytes;
}

}  // namespace

Bytes Sha256(std::string_view text) {
  Bytes digest(32);
  Require(EVP_Q_digest(nullptr, "SHA256", nullptr, text.data(), text.size(),
                       digest.data(), nullptr) == 1);
  return digest;
}

Bytes HmacSha256(View key, View data) {
  Bytes mac(32);
  Require(EVP_Q_mac(nullptr, "HMAC", nullptr, "SHA256", nullptr, key.data(),
                    key.size(), data.data(), data.size(), mac.data(),
                    mac.size(), nullptr) != nullptr);
  return mac;
}

std::string Encode(View bytes) {
  // EVP_EncodeBlock ends its output with a NUL.
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char *>(text.data()),
                      bytes.data(), static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(size));
  std::ranges::replace(text, '+', '-');
  std::ranges::replace(text, '/', '_');
  return text;
}

Bytes Decode(std::string_view text) {
  std::string standard(text);
  std::ranges::replace(standard, '-', '+');
  std::ranges::replace(standard, '_', '/');
  Bytes bytes(standard.size() / 4 * 3);
  const int size = EVP_DecodeBlock(
      bytes.data(), reinterpret_cast<const unsigned char *>(standard.data()),
      static_cast<int>(standard.size()));
  Require(size >= 0);
  bytes.resize(static_cast<std::size_t>(size) -
               static_cast<std::size_t>(std::ranges::count(text, '=')));
  Require(Encode(bytes) == text);
  return bytes;
}

Bytes Encrypt(View key, View iv, View plaintext) {
  return Crypt(key, iv, plaintext, true, true);
}

Bytes EncryptBlocks(View key, View iv, View blocks) {
  return Crypt(key, iv, blocks, true, false);
}

Bytes DecryptBlocks(View key, View iv, View blocks) {
  return Crypt(key, iv, blocks, false, false);
}

std::string Sign(View key, View signed_part) {
  Bytes token(signed_part.begin(), signed_part.end());
  const Bytes mac = HmacSha256(key.first(16), signed_part);
  token.insert(token.end(), mac.begin(), mac.end());
  return Encode(token);
}

std::string Seal(View key, std::uint64_t timestamp, View iv, View plaintext) {
  return Sign(key,
              SignedPart(timestamp, iv, Encrypt(key.last(16), iv, plaintext)));
}

std::string SealPadded(View key, std::uint64_t timestamp, View iv,
                       View padded) {
  return Sign(
      key, SignedPart(timestamp, iv, EncryptBlocks(key.last(16), iv, padded)));
}

std::optional<Bytes> Open(View key, View token) {
  const View signed_part = token.first(token.size() - 32);
  if (!std::ranges::equal(HmacSha256(key.first(16), signed_part),
                          token.last(32))) {
    return std::nullopt;
  }
  Bytes plaintext = DecryptBlocks(key.last(16), signed_part.subspan(9, 16),
                                  signed_part.subspan(25));
  const std::size_t padding = plaintext.back();
  if (padding < 1 || padding > 16 ||
      std::count(plaintext.end() - static_cast<std::ptrdiff_t>(padding),
                 plaintext.end(),
                 plaintext.back()) != static_cast<std::ptrdiff_t>(padding)) {
    return std::nullopt;
  }
  plaintext.resize(plaintext.size() - padding);
  return plaintext;
}

}  // namespace fernet::test::reference
