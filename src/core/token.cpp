#include "core/token.hpp"

#include <algorithm>
#include <cstring>

#include "core/ascii.hpp"

namespace fernet {
namespace {

constexpr std::size_t kSmallestToken =
    kHeaderSize + CiphertextSize(0) + kHmacSize;

static_assert(kChunkSize % 3 == 0 && kChunkSize % kBlockSize == 0);
static_assert(kChunkSize > kSmallestToken);

}  // namespace

Outcome TokenReader::Load(std::span<const char> text) noexcept {
  const auto trimmed = TrimSpace(text);
  digits_ = WithoutPadding(trimmed);
  size_ = base64url::DecodedSize(digits_.size());
  const auto start = static_cast<std::size_t>(trimmed.data() - text.data());

  Outcome outcome = CheckCharacters();
  if (!outcome.ok()) {
    outcome.offset += start;
    return outcome;
  }
  if (digits_.size() % 4 == 1) {
    return {Status::kTokenBadLength};
  }
  if (trimmed.size() != digits_.size() && trimmed.size() % 4 != 0) {
    return {Status::kTokenBadPadding, start + digits_.size()};
  }
  if (base64url::HasTrailingBits(digits_)) {
    return {Status::kTokenTrailingBits, start + digits_.size() - 1};
  }
  if (size_ == 0) {
    return {Status::kTokenTooShort};
  }
  std::array<std::uint8_t, 1> version;
  CopyAt(0, version);
  if (version[0] != kVersion) {
    return {Status::kTokenBadVersion};
  }
  if (size_ < kSmallestToken) {
    return {Status::kTokenTooShort};
  }
  signed_size_ = size_ - kHmacSize;
  if (ciphertext_size() % kBlockSize != 0) {
    return {Status::kTokenPartialBlock};
  }
  CopyAt(0, header_);
  CopyAt(signed_size_, hmac_);
  return {};
}

Outcome TokenReader::CheckCharacters() noexcept {
  for (std::size_t from = 0; from < size_ || from == 0; from += kChunkSize) {
    const std::size_t size = std::min(kChunkSize, size_ - from);
    const std::size_t bad = DecodeAt(from, std::span(chunk_).first(size));
    if (bad != base64url::kNoOffset) {
      return {Status::kTokenBadCharacter, bad};
    }
    loaded_ = from / kChunkSize;
  }
  return {};
}

std::size_t TokenReader::DecodeAt(std::size_t from,
                                  std::span<std::uint8_t> out) const noexcept {
  const std::size_t first = from / 3 * 4;
  // The last chunk takes every digit there is, so that a stray one is seen.
  const std::size_t count = from + out.size() == size_
                                ? digits_.size() - first
                                : base64url::EncodedSize(out.size());
  const std::size_t bad = base64url::Decode(digits_.subspan(first, count), out);
  return bad == base64url::kNoOffset ? bad : first + bad;
}

void TokenReader::CopyAt(std::size_t from,
                         std::span<std::uint8_t> out) const noexcept {
  const std::size_t chunk_start = loaded_ * kChunkSize;
  const std::size_t end = from + out.size();
  if (from >= chunk_start && end <= chunk_start + kChunkSize) {
    std::memcpy(out.data(), chunk_.data() + (from - chunk_start), out.size());
    return;
  }
  std::array<std::uint8_t, 72> group;
  const std::size_t group_start = from / 3 * 3;
  const std::size_t group_end = std::min(size_, (end + 2) / 3 * 3);
  // Load has seen every character; there is nothing left to refuse.
  static_cast<void>(
      DecodeAt(group_start, std::span(group).first(group_end - group_start)));
  std::memcpy(out.data(), group.data() + (from - group_start), out.size());
}

std::uint64_t TokenReader::timestamp() const noexcept {
  std::uint64_t seconds = 0;
  for (std::size_t i = 1; i <= kTimestampSize; ++i) {
    seconds = seconds << 8 | header_[i];
  }
  return seconds;
}

std::span<const std::uint8_t, kIvSize> TokenReader::iv() const noexcept {
  return std::span<const std::uint8_t, kHeaderSize>(header_).last<kIvSize>();
}

std::span<const std::uint8_t> TokenReader::SignedChunk(
    std::size_t index) noexcept {
  const std::size_t from = index * kChunkSize;
  if (loaded_ != index) {
    static_cast<void>(DecodeAt(
        from, std::span(chunk_).first(std::min(kChunkSize, size_ - from))));
    loaded_ = index;
  }
  return std::span(chunk_).first(std::min(kChunkSize, signed_size_ - from));
}

std::span<const std::uint8_t> TokenReader::CiphertextChunk(
    std::size_t index) noexcept {
  const auto chunk = SignedChunk(index);
  return index == 0 ? chunk.subspan(kHeaderSize) : chunk;
}

void TokenReader::LastBlock(Block *previous, Block *last) const noexcept {
  // With a single block, the one before it is the IV: they lie side by side.
  CopyAt(signed_size_ - 2 * kBlockSize, *previous);
  CopyAt(signed_size_ - kBlockSize, *last);
}

Status JudgeAge(std::uint64_t timestamp, std::uint64_t ttl_seconds,
                std::int64_t now) noexcept {
  // Every comparison is of what is left on one side, never of a sum.
  const bool in_past = now >= 0 && timestamp <= static_cast<std::uint64_t>(now);
  if (in_past) {
    const std::uint64_t age = static_cast<std::uint64_t>(now) - timestamp;
    return age > ttl_seconds ? Status::kTokenExpired : Status::kOk;
  }
  // Modulo 2^64 this is right for a negative `now` too, unless the true
  // difference does not fit: then the timestamp is far in the future.
  const std::uint64_t ahead = timestamp - static_cast<std::uint64_t>(now);
  const bool wrapped = now < 0 && ahead < timestamp;
  return wrapped || ahead > kMaxClockSkew ? Status::kTokenFromFuture
                                          : Status::kOk;
}

}  // namespace fernet
