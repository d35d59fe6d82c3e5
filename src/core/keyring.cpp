#include "core/keyring.hpp"

#include <algorithm>
#include <cstring>

#include "core/sealer.hpp"

namespace fernet {
namespace {

// UnpaddedSize is the size of `last_block` of a plaintext without its PKCS #7
// padding, 0 to 15, or kBlockSize when the padding is wrong. The HMAC was
// genuine, so only a holder of the key can have written what is looked at.
//
// Source: RFC 5652, section 6.3.
std::size_t UnpaddedSize(
    std::span<const std::uint8_t, kBlockSize> last_block) noexcept {
  const std::size_t padding = last_block.back();
  if (padding == 0 || padding > kBlockSize) {
    return kBlockSize;
  }
  const bool whole = std::ranges::all_of(
      last_block.last(padding),
      [padding](std::uint8_t byte) { return byte == padding; });
  return whole ? kBlockSize - padding : kBlockSize;
}

bool ComputeHmac(const PreparedKey &key, EVP_MD_CTX *scratch,
                 TokenReader *token, Hmac *out) noexcept {
  if (!key.BeginMac(scratch)) {
    return false;
  }
  for (std::size_t i = 0; i < token->chunk_count(); ++i) {
    if (!PreparedKey::AddToMac(scratch, token->SignedChunk(i))) {
      return false;
    }
  }
  return key.FinishMac(scratch, out);
}

bool DecryptAll(const PreparedKey &key, TokenReader *token,
                std::uint8_t *out) noexcept {
  if (!key.BeginDecryption(token->iv())) {
    return false;
  }
  // The header before the first chunk's ciphertext makes every chunk end
  // inside a block. libcrypto keeps such a rest, still encrypted, for the next
  // call, so each call writes the whole blocks it has seen the end of.
  std::size_t seen = 0;
  for (std::size_t i = 0; i < token->chunk_count(); ++i) {
    const auto chunk = token->CiphertextChunk(i);
    if (!key.DecryptBlocks(chunk, out + seen / kBlockSize * kBlockSize)) {
      return false;
    }
    seen += chunk.size();
  }
  return true;
}

// ShareSigningHalf says whether any two of `keys` do, which random ones never
// will, but keys made out of words may.
bool ShareSigningHalf(std::span<const Key> keys) noexcept {
  for (std::size_t i = 1; i < keys.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (CRYPTO_memcmp(keys[i].signing_half().data(),
                        keys[j].signing_half().data(),
                        keys[i].signing_half().size()) == 0) {
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
    key = PreparedKey();
  }
}

Status Keyring::Seal(std::span<const std::uint8_t> plaintext,
                     std::uint64_t timestamp, RandomBuffer *ivs,
                     std::span<char> out) noexcept {
  std::array<std::uint8_t, kIvSize> iv;
  if (!ivs->Take(iv)) {
    return Status::kRandomFailed;
  }
  return SealWithIv(plaintext, timestamp, iv, out);
}

Status Keyring::SealWithIv(std::span<const std::uint8_t> plaintext,
                           std::uint64_t timestamp,
                           std::span<const std::uint8_t, kIvSize> iv,
                           std::span<char> out) noexcept {
  Sealer sealer(keys_[0], algorithms_.mac_scratch.get(), out);
  const bool sealed = sealer.Start(timestamp, iv) && sealer.Append(plaintext) &&
                      sealer.Finish();
  return sealed ? Status::kOk : Status::kCryptoFailed;
}

Status Keyring::FindKey(TokenReader *token, std::uint32_t *out_index) noexcept {
  // Where the padding decides between keys, the first in the list must win.
  const std::uint32_t first = some_share_signing_half_ ? 0 : last_found_;
  if (size_ == 0) {
    return Status::kNoKeyOpens;
  }
  Status status = TryKey(token, first);
  *out_index = first;
  for (std::uint32_t i = 0; i < size_ && status == Status::kNoKeyOpens; ++i) {
    if (i != first) {
      status = TryKey(token, i);
      *out_index = i;
    }
  }
  if (status == Status::kOk) {
    last_found_ = *out_index;
  }
  return status;
}

Status Keyring::TryKey(TokenReader *token, std::uint32_t index) noexcept {
  Hmac hmac;
  if (!ComputeHmac(keys_[index], algorithms_.mac_scratch.get(), token, &hmac)) {
    return Status::kCryptoFailed;
  }
  if (CRYPTO_memcmp(hmac.data(), token->hmac().data(), kHmacSize) != 0) {
    return Status::kNoKeyOpens;
  }
  return some_share_signing_half_ ? CheckPadding(*token, index) : Status::kOk;
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
  *out_size = 0;
  const auto padded = out.first(token->ciphertext_size());
  if (!DecryptAll(keys_[index], token, padded.data())) {
    OPENSSL_cleanse(out.data(), out.size());
    return Status::kCryptoFailed;
  }
  const auto last_block = padded.last<kBlockSize>();
  const std::size_t unpadded = UnpaddedSize(last_block);
  if (unpadded == kBlockSize) {
    OPENSSL_cleanse(out.data(), out.size());
    return Status::kNoKeyOpens;
  }
  *out_size = padded.size() - kBlockSize + unpadded;
  return Status::kOk;
}

Status Keyring::Rotate(TokenReader *token, std::uint32_t index,
                       RandomBuffer *ivs, std::span<char> out,
                       std::size_t *out_size) noexcept {
  *out_size = 0;
  // The padding is judged before anything is written: of a small token when it
  // is decrypted, which is at once, of a large one by its end alone.
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
  const PreparedKey &from = keys_[index];
  Sealer sealer(keys_[0], algorithms_.mac_scratch.get(), out);
  if (!from.BeginDecryption(token->iv()) ||
      !sealer.Start(token->timestamp(), iv)) {
    return Status::kCryptoFailed;
  }
  SecretScratch<kChunkSize> scratch;
  std::size_t plaintext_size = 0;
  std::size_t seen = 0;
  for (std::size_t i = 0; i < token->chunk_count(); ++i) {
    const auto chunk = token->CiphertextChunk(i);
    const std::size_t whole_before = seen / kBlockSize * kBlockSize;
    seen += chunk.size();
    auto plaintext =
        scratch.First(seen / kBlockSize * kBlockSize - whole_before);
    if (!from.DecryptBlocks(chunk, plaintext.data())) {
      return Status::kCryptoFailed;
    }
    if (seen == token->ciphertext_size()) {
      const std::size_t rest = UnpaddedSize(plaintext.last<kBlockSize>());
      if (rest == kBlockSize) {
        return Status::kNoKeyOpens;
      }
      plaintext = plaintext.first(plaintext.size() - kBlockSize + rest);
    }
    plaintext_size += plaintext.size();
    if (!sealer.Append(plaintext)) {
      return Status::kCryptoFailed;
    }
  }
  if (!sealer.Finish()) {
    return Status::kCryptoFailed;
  }
  *out_size = TokenSize(plaintext_size);
  return Status::kOk;
}

}  // namespace fernet
