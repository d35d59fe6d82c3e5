#include "core/crypto.hpp"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>

#include <algorithm>

namespace fernet {
namespace {

// SHA-256's block, to which HMAC pads its key.
constexpr std::size_t kDigestBlockSize = 64;

// DigestOf is SHA-256 of `data`, computed in `context`.
bool DigestOf(EVP_MD_CTX *context, const EVP_MD *sha256,
              std::span<const std::uint8_t> data, std::uint8_t *out) noexcept {
  return Succeeded(EVP_DigestInit_ex2(context, sha256, nullptr)) &&
         Succeeded(EVP_DigestUpdate(context, data.data(), data.size())) &&
         Succeeded(EVP_DigestFinal_ex(context, out, nullptr));
}

// AbsorbPad starts `context` with the HMAC key, at most one block, every byte
// of the block xored with `pad`.
//
// Source: RFC 2104, section 2, steps 1, 2 and 5; section 4 on keeping the
// intermediate results.
bool AbsorbPad(EVP_MD_CTX *context, const EVP_MD *sha256,
               std::span<const std::uint8_t> key, std::uint8_t pad) noexcept {
  SecretBytes<kDigestBlockSize> block;
  std::ranges::fill(block.mutable_bytes(), pad);
  for (std::size_t i = 0; i < key.size(); ++i) {
    block.mutable_bytes()[i] ^= key[i];
  }
  return Succeeded(EVP_DigestInit_ex2(context, sha256, nullptr)) &&
         Succeeded(
             EVP_DigestUpdate(context, block.bytes().data(), kDigestBlockSize));
}

// NoPadding tells the provider once. EVP_CIPHER_CTX_set_padding would tell it
// again at the start of every token, which costs a quarter of the time of a
// token.
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
  // Even a success may leave errors of earlier attempts in the queue.
  ERR_clear_error();
  return aes_128_cbc && sha256 && mac_scratch ? Status::kOk
                                              : Status::kCryptoFailed;
}

bool PreparedMac::Prepare(const EVP_MD *sha256,
                          std::span<const std::uint8_t> key) noexcept {
  inner_ = DigestContext(EVP_MD_CTX_new());
  outer_ = DigestContext(EVP_MD_CTX_new());
  SecretBytes<kHmacSize> short_key;
  bool prepared = inner_ && outer_;
  if (prepared && key.size() > kDigestBlockSize) {
    prepared =
        DigestOf(inner_.get(), sha256, key, short_key.mutable_bytes().data());
    key = short_key.bytes();
  }
  prepared = prepared && AbsorbPad(inner_.get(), sha256, key, 0x36) &&
             AbsorbPad(outer_.get(), sha256, key, 0x5c);
  ERR_clear_error();
  return prepared;
}

void PreparedKey::Clear() noexcept {
  mac_ = PreparedMac();
  encryption_.Reset();
  decryption_.Reset();
  encrypted_ = CbcChain();
  decrypted_ = CbcChain();
}

Status PreparedKey::Prepare(const Algorithms &algorithms,
                            const Key &key) noexcept {
  Clear();
  encryption_ = CipherContext(EVP_CIPHER_CTX_new());
  decryption_ = CipherContext(EVP_CIPHER_CTX_new());
  const EVP_CIPHER *const aes = algorithms.aes_128_cbc.get();
  const unsigned char *const aes_key = key.encryption_half().data();
  const NoPadding no_padding;
  const bool prepared =
      encryption_ && decryption_ &&
      mac_.Prepare(algorithms.sha256.get(), key.signing_half()) &&
      Succeeded(EVP_EncryptInit_ex2(encryption_.get(), aes, aes_key, nullptr,
                                    no_padding.params())) &&
      Succeeded(EVP_DecryptInit_ex2(decryption_.get(), aes, aes_key, nullptr,
                                    no_padding.params()));
  ERR_clear_error();
  return prepared ? Status::kOk : Status::kCryptoFailed;
}

bool CbcChain::SetIv(EVP_CIPHER_CTX *context, Block iv) noexcept {
  constexpr int kSameDirection = -1;
  // A key that is not prepared has no context.
  if (context == nullptr ||
      !Succeeded(EVP_CipherInit_ex2(context, nullptr, nullptr, iv.data(),
                                    kSameDirection, nullptr))) {
    return false;
  }
  SetLast(iv);
  last_is_known_ = true;
  return true;
}

}  // namespace fernet
