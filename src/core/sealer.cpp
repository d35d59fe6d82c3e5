#include "core/sealer.hpp"

#include <algorithm>
#include <cstring>

#include "core/reveal.hpp"

namespace fernet {

Sealer::~Sealer() {
  if (filled_ != encrypted_) {
    OPENSSL_cleanse(stage_.data(), stage_.size());
  }
}

Status Sealer::Start(std::uint64_t timestamp,
                     std::span<const std::uint8_t, kIvSize> iv) noexcept {
  stage_[0] = kVersion;
  for (std::size_t i = 0; i < kTimestampSize; ++i) {
    stage_[1 + i] =
        static_cast<std::uint8_t>(timestamp >> (8 * (kTimestampSize - 1 - i)));
  }
  std::memcpy(stage_.data() + 1 + kTimestampSize, iv.data(), kIvSize);
  encrypted_ = kHeaderSize;
  filled_ = kHeaderSize;
  return key_->BeginEncryption(iv) ? Status::kOk : Status::kCryptoFailed;
}

Status Sealer::Append(std::span<const std::uint8_t> plaintext) noexcept {
  while (!plaintext.empty()) {
    const std::size_t part = std::min(kStageSize - filled_, plaintext.size());
    std::memcpy(stage_.data() + filled_, plaintext.data(), part);
    filled_ += part;
    plaintext = plaintext.subspan(part);
    if (filled_ == kStageSize) {
      if (!EncryptStaged()) {
        return Status::kCryptoFailed;
      }
      EmitStaged();
      if (!go_on_()) {
        return Status::kStopped;
      }
    }
  }
  return Status::kOk;
}

// EncryptStaged encrypts all whole blocks of the stage in place.
bool Sealer::EncryptStaged() noexcept {
  const std::size_t size = (filled_ - encrypted_) / kBlockSize * kBlockSize;
  if (!key_->EncryptBlocks(std::span(stage_).subspan(encrypted_, size))) {
    return false;
  }
  encrypted_ += size;
  // The MAC begins after the first encryption: to read at once what the cipher
  // has just written would stall the processor.
  if (!mac_has_begun_ && !key_->BeginMac(scratch_)) {
    return false;
  }
  mac_has_begun_ = true;
  const auto unsigned_part =
      std::span(stage_).subspan(maced_, encrypted_ - maced_);
  maced_ = encrypted_;
  return PreparedKey::AddToMac(scratch_, unsigned_part);
}

// EmitStaged writes all whole groups of three encrypted bytes and moves the
// rest to the front of the stage.
void Sealer::EmitStaged() noexcept {
  const std::size_t size = encrypted_ / 3 * 3;
  base64url::Encode(
      RevealBytes(Revealed::kToken, std::span(stage_).first(size)), out_);
  out_ = out_.subspan(base64url::EncodedSize(size));
  const std::size_t rest = filled_ - size;
  std::memmove(stage_.data(), stage_.data() + size, rest);
  OPENSSL_cleanse(stage_.data() + size, rest);
  encrypted_ -= size;
  maced_ -= size;
  filled_ = rest;
}

Status Sealer::Finish() noexcept {
  // After Append the stage is not full, so there is room for the padding.
  const std::size_t padding = kBlockSize - (filled_ - encrypted_) % kBlockSize;
  std::memset(stage_.data() + filled_, static_cast<int>(padding), padding);
  filled_ += padding;
  if (!EncryptStaged() ||
      !key_->FinishMac(scratch_,
                       std::span(stage_).subspan(filled_).first<kHmacSize>())) {
    return Status::kCryptoFailed;
  }
  base64url::Encode(RevealBytes(Revealed::kToken,
                                std::span(stage_).first(filled_ + kHmacSize)),
                    out_);
  return Status::kOk;
}

}  // namespace fernet
