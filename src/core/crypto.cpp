#include "core/crypto.hpp"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>

#include <algorithm>

namespace fernet {
namespace {

// SHA-256's block, to which HMAC pads its key.
constexpr std::size_t kDigestBlockSize = 64;

// Succeeded turns OpenSSL's 1 into true, and leaves nothing in its error queue
// for the server's TLS code to trip over.
bool Succeeded(int result) noexcept {
  if (result != 1) {
    ERR_clear_error();
    return false;
  }
  return true;
}

// CopyState makes `to` continue where `from` is. Where that fails, it leaves
// `to` empty: OpenSSL leaves it without the memory for a state but with the
// digest, from which 3.5 concludes, at the next copy, that the memory is there,
// and crashes.
bool CopyState(EVP_MD_CTX *to, const EVP_MD_CTX *from) noexcept {
  if (Succeeded(EVP_MD_CTX_copy_ex(to, from))) {
    return true;
  }
  EVP_MD_CTX_reset(to);
  return false;
}

// AbsorbPad starts `context` with the HMAC key, every byte xored with `pad`.
//
// Source: RFC 2104, section 2, steps 1, 2 and 5; section 4 on keeping the
// intermediate results.
bool AbsorbPad(EVP_MD_CTX *context, const EVP_MD *sha256,
               std::span<const std::uint8_t, 16> key,
               std::uint8_t pad) noexcept {
  SecretBytes<kDigestBlockSize> block;
  std::ranges::fill(block.mutable_bytes(), pad);
  for (std::size_t i = 0; i < key.size(); ++i) {
    block.mutable_bytes()[i] ^= key[i];
  }
  return Succeeded(EVP_DigestInit_ex2(context, sha256, nullptr)) &&
         Succeeded(
             EVP_DigestUpdate(context, block.bytes().data(), kDigestBlockSize));
}

// NoPadding tells the provider directly. EVP_CIPHER_CTX_set_padding would do
// so again at the start of every token, for a quarter of the time of one.
class NoPadding {
 public:
  const OSSL_PARAM *params() const noexcept { return params_; }

 private:
  unsigned int padding_ = 0;
  OSSL_PARAM params_[2] = {
      OSSL_PARAM_construct_uint(OSSL_CIPHER_PARAM_PADDING, &padding_),
      OSSL_PARAM_construct_end()};
};

}  // namespace

Status Algorithms::Fetch() noexcept {
  if (!aes_128_cbc) {
    aes_128_cbc = Cipher(EVP_CIPHER_fetch(nullptr, "AES-128-CBC", nullptr));
  }
  if (!sha256) {
    sha256 = Digest(EVP_MD_fetch(nullptr, "SHA256", nullptr));
  }
  if (!mac_scratch) {
    mac_scratch = DigestContext(EVP_MD_CTX_new());
  }
  // Even a success may leave errors behind, of what was tried on the way.
  ERR_clear_error();
  return aes_128_cbc && sha256 && mac_scratch ? Status::kOk
                                              : Status::kCryptoFailed;
}

Status PreparedKey::Prepare(const Algorithms &algorithms,
                            const Key &key) noexcept {
  inner_ = DigestContext(EVP_MD_CTX_new());
  outer_ = DigestContext(EVP_MD_CTX_new());
  encryption_ = CipherContext(EVP_CIPHER_CTX_new());
  decryption_ = CipherContext(EVP_CIPHER_CTX_new());
  const EVP_MD *const sha256 = algorithms.sha256.get();
  const EVP_CIPHER *const aes = algorithms.aes_128_cbc.get();
  const unsigned char *const aes_key = key.encryption_half().data();
  const NoPadding no_padding;
  // Some IV there has to be, though no token is chained to it.
  constexpr std::array<std::uint8_t, kIvSize> kNoIv{};
  const bool prepared =
      inner_ && outer_ && encryption_ && decryption_ &&
      AbsorbPad(inner_.get(), sha256, key.signing_half(), 0x36) &&
      AbsorbPad(outer_.get(), sha256, key.signing_half(), 0x5c) &&
      Succeeded(EVP_EncryptInit_ex2(encryption_.get(), aes, aes_key,
                                    kNoIv.data(), no_padding.params())) &&
      Succeeded(EVP_DecryptInit_ex2(decryption_.get(), aes, aes_key,
                                    kNoIv.data(), no_padding.params()));
  ERR_clear_error();
  return prepared ? Status::kOk : Status::kCryptoFailed;
}

bool PreparedKey::BeginMac(EVP_MD_CTX *scratch) const noexcept {
  return CopyState(scratch, inner_.get());
}

bool PreparedKey::AddToMac(EVP_MD_CTX *scratch,
                           std::span<const std::uint8_t> data) noexcept {
  return Succeeded(EVP_DigestUpdate(scratch, data.data(), data.size()));
}

bool PreparedKey::FinishMac(EVP_MD_CTX *scratch, Hmac *out) const noexcept {
  return Succeeded(EVP_DigestFinal_ex(scratch, out->data(), nullptr)) &&
         CopyState(scratch, outer_.get()) &&
         Succeeded(EVP_DigestUpdate(scratch, out->data(), out->size())) &&
         Succeeded(EVP_DigestFinal_ex(scratch, out->data(), nullptr));
}

bool PreparedKey::BeginEncryptionWith(
    std::span<const std::uint8_t, kIvSize> iv) const noexcept {
  return Succeeded(EVP_EncryptInit_ex2(encryption_.get(), nullptr, nullptr,
                                       iv.data(), nullptr));
}

bool PreparedKey::EncryptBlocks(std::span<const std::uint8_t> in,
                                std::uint8_t *out) const noexcept {
  int written = 0;
  return Succeeded(EVP_EncryptUpdate(encryption_.get(), out, &written,
                                     in.data(), static_cast<int>(in.size())));
}

bool PreparedKey::BeginDecryption(
    std::span<const std::uint8_t, kIvSize> iv) const noexcept {
  SecretBytes<kIvSize> forgotten;
  return DecryptBlocks(iv, forgotten.mutable_bytes().data());
}

bool PreparedKey::DecryptBlocks(std::span<const std::uint8_t> in,
                                std::uint8_t *out) const noexcept {
  int written = 0;
  return Succeeded(EVP_DecryptUpdate(decryption_.get(), out, &written,
                                     in.data(), static_cast<int>(in.size())));
}

}  // namespace fernet
