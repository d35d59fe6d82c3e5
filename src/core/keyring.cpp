#include "core/keyring.hpp"

#include <algorithm>
#include <cstring>

#include "core/reveal.hpp"
#include "core/sealer.hpp"

namespace fernet {
namespace {

// UnpaddedSize is the size of `last_block` of a plaintext without its PKCS #7
// padding, 0 to 15, or kBlockSize when the padding is wrong. The HMAC was
// genuine, so only a holder of the key can have written this block.
//
// Source: RFC 5652, section 6.3.
std::size_t UnpaddedSize(
    std::span<const std::uint8_t, kBlockSize> last_block) noexcept {
  const std::uint8_t padding = last_block.back();
  // 0 becomes 255.
  std::uint8_t wrong =
      static_cast<std::uint8_t>(padding - 1) >= kBlockSize ? 1 : 0;
  // A loop over bytes alone becomes a few vector instructions.
  for (std::uint8_t from_end = 0; from_end < kBlockSize; ++from_end) {
    const std::uint8_t is_padding = from_end < padding ? 0xff : 0;
    const std::uint8_t byte = last_block[kBlockSize - 1 - from_end];
    wrong = static_cast<std::uint8_t>(wrong | (is_padding & (byte ^ padding)));
  }
  const bool whole = Reveal(Revealed::kPlaintextSize, wrong == 0);
  return whole ? kBlockSize - Reveal(Revealed::kPlaintextSize, padding)
               : kBlockSize;
}

Status DecryptAll(PreparedKey *key, TokenReader *token,
                  std::uint8_t *out) noexcept {
  if (!key->BeginDecryption(token->iv())) {
    return Status::kCryptoFailed;
  }
  for (std::size_t i = 0; i < token->chunk_count(); ++i) {
    std::span<const std::uint8_t> chunk;
    const Outcome read = token->ReadCiphertext(i, &chunk);
    if (!read.ok()) {
      return read.status;
    }
    if (!key->DecryptBlocks(chunk, out)) {
      return Status::kCryptoFailed;
    }
    out += chunk.size();
  }
  return Status::kOk;
}

// IsSameHmac compares in constant time. On x86-64, OpenSSL compares 16 bytes as
// two words and any other number byte by byte: to open a small token would take
// 8 % more.
bool IsSameHmac(const Hmac &a,
                std::span<const std::uint8_t, kHmacSize> b) noexcept {
  constexpr std::size_t kHalf = kHmacSize / 2;
  const int first = CRYPTO_memcmp(a.data(), b.data(), kHalf);
  const int second = CRYPTO_memcmp(a.data() + kHalf, b.data() + kHalf, kHalf);
  return Reveal(Revealed::kIsGenuine, first | second) == 0;
}

// ShareSigningHalf says whether any two of `keys` have the same signing half.
// Random keys never have, but keys made from words may.
bool ShareSigningHalf(std::span<const Key> keys) noexcept {
  for (std::size_t i = 1; i < keys.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (Reveal(Revealed::kKeysAreEqual,
                 CRYPTO_memcmp(keys[i].signing_half().data(),
                               keys[j].signing_half().data(),
                               keys[i].signing_half().size())) == 0) {
        return true;
      }
    }
  }
  return false;
}

}  // namespace

Status Keyring::Prepare(std::span<const Key> keys) noexcept {
  Clear();
  Status status = algorithms_.Fetch();
  for (std::size_t i = 0; i < keys.size() && status == Status::kOk; ++i) {
    status = keys_[i].Prepare(algorithms_, keys[i]);
  }
  if (status != Status::kOk) {
    Clear();
    return status;
  }
  size_ = static_cast<std::uint32_t>(keys.size());
  some_share_signing_half_ = ShareSigningHalf(keys);
  last_found_ = 0;
  return Status::kOk;
}

void Keyring::Clear() noexcept {
  size_ = 0;
  for (PreparedKey &key : keys_) {
    key.Clear();
  }
}

Status Keyring::Seal(std::span<const std::uint8_t> plaintext,
                     std::uint64_t timestamp, RandomBuffer *ivs,
                     std::span<char> out, GoOn go_on) noexcept {
  std::array<std::uint8_t, kIvSize> iv;
  return ivs->Take(iv) ? SealWithIv(plaintext, timestamp, iv, out, go_on)
                       : Status::kRandomFailed;
}

Status Keyring::SealWithIv(std::span<const std::uint8_t> plaintext,
                           std::uint64_t timestamp,
                           std::span<const std::uint8_t, kIvSize> iv,
                           std::span<char> out, GoOn go_on) noexcept {
  Sealer sealer(&keys_.front(), algorithms_.mac_scratch.get(), out, go_on);
  Status status = sealer.Start(timestamp, iv);
  if (status == Status::kOk) {
    status = sealer.Append(plaintext);
  }
  return status == Status::kOk ? sealer.Finish() : status;
}

Outcome Keyring::FindKey(TokenReader *token,
                         std::uint32_t *out_index) noexcept {
  // If the padding decides between keys, the first in the list must win.
  const std::uint32_t first = some_share_signing_half_ ? 0 : last_found_;
  if (size_ == 0) {
    return {Status::kNoKeyOpens};
  }
  Outcome outcome = TryKey(token, first);
  *out_index = first;
  for (std::uint32_t i = 0; i < size_ && outcome.status == Status::kNoKeyOpens;
       ++i) {
    if (i != first) {
      outcome = TryKey(token, i);
      *out_index = i;
    }
  }
  if (outcome.ok()) {
    last_found_ = *out_index;
  }
  return outcome;
}

Outcome Keyring::TryKey(TokenReader *token, std::uint32_t index) noexcept {
  Hmac hmac;
  const Outcome outcome = ComputeHmac(token, index, &hmac);
  if (!outcome.ok()) {
    return outcome;
  }
  if (!IsSameHmac(hmac, token->hmac())) {
    return {Status::kNoKeyOpens};
  }
  return {some_share_signing_half_ ? CheckPadding(*token, index) : Status::kOk};
}

Outcome Keyring::ComputeHmac(TokenReader *token, std::uint32_t index,
                             Hmac *out) noexcept {
  EVP_MD_CTX *const scratch = algorithms_.mac_scratch.get();
  bool done = keys_[index].BeginMac(scratch);
  for (std::size_t i = 0; i < token->chunk_count() && done; ++i) {
    std::span<const std::uint8_t> chunk;
    const Outcome read = token->ReadSigned(i, &chunk);
    if (!read.ok()) {
      return read;
    }
    done = PreparedKey::AddToMac(scratch, chunk);
  }
  done = done && keys_[index].FinishMac(scratch, *out);
  return {done ? Status::kOk : Status::kCryptoFailed};
}

Status Keyring::CheckPadding(const TokenReader &token,
                             std::uint32_t index) noexcept {
  TokenReader::Block previous;
  TokenReader::Block last;
  token.LastBlock(&previous, &last);
  SecretBytes<kBlockSize> plaintext;
  if (!keys_[index].BeginDecryption(previous) ||
      !keys_[index].DecryptBlocks(last, plaintext.mutable_bytes().data())) {
    return Status::kCryptoFailed;
  }
  return UnpaddedSize(plaintext.bytes()) == kBlockSize ? Status::kNoKeyOpens
                                                       : Status::kOk;
}

Status Keyring::Open(TokenReader *token, std::uint32_t index,
                     std::span<std::uint8_t> out,
                     std::size_t *out_size) noexcept {
  const auto padded = out.first(token->ciphertext_size());
  Status status = DecryptAll(&keys_[index], token, padded.data());
  const std::size_t rest = status == Status::kOk
                               ? UnpaddedSize(padded.last<kBlockSize>())
                               : kBlockSize;
  if (rest == kBlockSize) {
    OPENSSL_cleanse(out.data(), out.size());
    *out_size = 0;
    return status == Status::kOk ? Status::kNoKeyOpens : status;
  }
  *out_size = padded.size() - kBlockSize + rest;
  return Status::kOk;
}

Status Keyring::Rotate(TokenReader *token, std::uint32_t index,
                       RandomBuffer *ivs, std::span<char> out,
                       std::size_t *out_size) noexcept {
  *out_size = 0;
  // The padding is checked before anything is written. A small token is
  // decrypted at once, which shows its padding; of a large token, the end is
  // decrypted first.
  if (token->chunk_count() > 1) {
    const Status padding = CheckPadding(*token, index);
    if (padding != Status::kOk) {
      return padding;
    }
  }
  std::array<std::uint8_t, kIvSize> iv;
  if (!ivs->Take(iv)) {
    return Status::kRandomFailed;
  }
  PreparedKey &from = keys_[index];
  Sealer sealer(&keys_.front(), algorithms_.mac_scratch.get(), out);
  Status status = sealer.Start(token->timestamp(), iv);
  if (status != Status::kOk || !from.BeginDecryption(token->iv())) {
    return Status::kCryptoFailed;
  }
  SecretScratch<kChunkSize> scratch;
  std::size_t left = token->ciphertext_size();
  std::size_t plaintext_size = 0;
  for (std::size_t i = 0; i < token->chunk_count(); ++i) {
    std::span<const std::uint8_t> chunk;
    const Outcome read = token->ReadCiphertext(i, &chunk);
    if (!read.ok()) {
      return read.status;
    }
    auto plaintext = scratch.First(chunk.size());
    if (!from.DecryptBlocks(chunk, plaintext.data())) {
      return Status::kCryptoFailed;
    }
    left -= chunk.size();
    if (left == 0) {
      const std::size_t rest = UnpaddedSize(plaintext.last<kBlockSize>());
      if (rest == kBlockSize) {
        return Status::kNoKeyOpens;
      }
      plaintext = plaintext.first(plaintext.size() - kBlockSize + rest);
    }
    plaintext_size += plaintext.size();
    status = sealer.Append(plaintext);
    if (status != Status::kOk) {
      return status;
    }
  }
  status = sealer.Finish();
  if (status == Status::kOk) {
    *out_size = TokenSize(plaintext_size);
  }
  return status;
}

}  // namespace fernet
