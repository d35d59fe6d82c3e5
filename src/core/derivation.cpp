#include "core/derivation.hpp"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/params.h>

#include <algorithm>

#include "core/crypto.hpp"
#include "core/key_digits.hpp"
#include "core/openssl.hpp"
#include "core/secret.hpp"

namespace fernet {
namespace {

constexpr char kDigest[] = "SHA256";

// Bytes and Text make parameters for OpenSSL. It only reads them, but declares
// them as writable.
OSSL_PARAM Bytes(const char *name, std::span<const std::uint8_t> bytes) {
  // A null pointer would mean no parameter, which is not the same as no bytes.
  static constexpr std::uint8_t kNothing = 0;
  const std::uint8_t *const data = bytes.empty() ? &kNothing : bytes.data();
  return OSSL_PARAM_construct_octet_string(
      name, const_cast<std::uint8_t *>(data), bytes.size());
}

OSSL_PARAM Text(const char *name, const char *text) {
  return OSSL_PARAM_construct_utf8_string(name, const_cast<char *>(text), 0);
}

// Finish ends each of the functions below: it writes the key, if `derived` is
// kOk.
Status Finish(Status derived, const Key &key,
              std::span<char, kEncodedKeySize> out) noexcept {
  ERR_clear_error();
  if (derived == Status::kOk) {
    EncodeKey(key.bytes(), out);
  } else {
    OPENSSL_cleanse(out.data(), out.size());
  }
  return derived;
}

Status OkIf(bool derived) noexcept {
  return derived ? Status::kOk : Status::kCryptoFailed;
}

// Rounds is the state of PBKDF2: the MAC with the secret, and the last round.
class Rounds {
 public:
  // Start computes the first round, of the salt and the number of the block.
  bool Start(std::span<const std::uint8_t> secret,
             std::span<const std::uint8_t> salt) noexcept {
    constexpr std::uint8_t kFirstBlock[] = {0, 0, 0, 1};
    sha256_ = Digest(EVP_MD_fetch(nullptr, kDigest, nullptr));
    scratch_ = DigestContext(EVP_MD_CTX_new());
    return sha256_ && scratch_ && mac_.Prepare(sha256_.get(), secret) &&
           mac_.Begin(scratch_.get()) &&
           PreparedMac::Add(scratch_.get(), salt) &&
           PreparedMac::Add(scratch_.get(), kFirstBlock) &&
           mac_.Finish(scratch_.get(), last_.mutable_bytes());
  }

  // Next computes a round from the one before.
  bool Next() noexcept {
    return mac_.Begin(scratch_.get()) &&
           PreparedMac::Add(scratch_.get(), last_.bytes()) &&
           mac_.Finish(scratch_.get(), last_.mutable_bytes());
  }

  // AddTo xors the last round into `sum`.
  void AddTo(std::span<std::uint8_t, kHmacSize> sum) const noexcept {
    for (std::size_t i = 0; i < sum.size(); ++i) {
      sum[i] ^= last_.bytes()[i];
    }
  }

 private:
  Digest sha256_;
  DigestContext scratch_;
  PreparedMac mac_;
  SecretBytes<kHmacSize> last_;
};

Status RunRounds(Rounds *rounds, std::uint32_t count, GoOn go_on,
                 std::span<std::uint8_t, kHmacSize> sum) noexcept {
  constexpr std::uint32_t kRoundsBetweenQuestions = 4096;
  for (std::uint32_t round = 1; round < count; ++round) {
    if (round % kRoundsBetweenQuestions == 0 && !go_on()) {
      return Status::kStopped;
    }
    if (!rounds->Next()) {
      return Status::kCryptoFailed;
    }
    rounds->AddTo(sum);
  }
  return Status::kOk;
}

}  // namespace

Status DeriveByHkdf(std::span<const std::uint8_t> secret,
                    std::span<const std::uint8_t> salt,
                    std::span<const std::uint8_t> info,
                    std::span<char, kEncodedKeySize> out) noexcept {
  const OSSL_PARAM params[] = {
      Text(OSSL_KDF_PARAM_DIGEST, kDigest), Bytes(OSSL_KDF_PARAM_KEY, secret),
      Bytes(OSSL_KDF_PARAM_SALT, salt),     Bytes(OSSL_KDF_PARAM_INFO, info),
      OSSL_PARAM_construct_end(),
  };
  const KeyDerivation hkdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr));
  const KeyDerivationContext context(EVP_KDF_CTX_new(hkdf.get()));
  Key key;
  const bool derived = hkdf && context &&
                       EVP_KDF_derive(context.get(), key.mutable_bytes().data(),
                                      kKeySize, params) == 1;
  return Finish(OkIf(derived), key, out);
}

Status DeriveByPbkdf2(std::span<const std::uint8_t> secret,
                      std::span<const std::uint8_t> salt,
                      std::uint32_t iterations, GoOn go_on,
                      std::span<char, kEncodedKeySize> out) noexcept {
  static_assert(kKeySize == kHmacSize);
  Rounds rounds;
  Key key;
  std::ranges::fill(key.mutable_bytes(), std::uint8_t{0});
  Status derived = OkIf(iterations > 0 && rounds.Start(secret, salt));
  if (derived == Status::kOk) {
    rounds.AddTo(key.mutable_bytes());
    derived = RunRounds(&rounds, iterations, go_on, key.mutable_bytes());
  }
  return Finish(derived, key, out);
}

Status DeriveBySha256(std::span<const std::uint8_t> secret,
                      std::span<char, kEncodedKeySize> out) noexcept {
  Key key;
  const bool derived =
      EVP_Q_digest(nullptr, kDigest, nullptr, secret.data(), secret.size(),
                   key.mutable_bytes().data(), nullptr) == 1;
  return Finish(OkIf(derived), key, out);
}

}  // namespace fernet
