#include "core/token.hpp"

#include <algorithm>
#include <cstring>

#include "core/ascii.hpp"

namespace fernet {
namespace {

constexpr std::size_t kSmallestToken =
    kHeaderSize + CiphertextSize(0) + kHmacSize;

// CheckCharacters decodes whole groups.
static_assert(kChunkSize % 3 == 0);

// DigitsOf is the number of characters, without '=', of `size` bytes.
constexpr std::size_t DigitsOf(std::size_t size) noexcept {
  return (size * 4 + 2) / 3;
}

}  // namespace

Outcome TokenReader::Load(std::span<const char> text) noexcept {
  const Outcome outcome = LoadToRead(text);
  return outcome.ok() && is_large() ? CheckCharacters() : outcome;
}

Outcome TokenReader::LoadToRead(std::span<const char> text) noexcept {
  const auto trimmed = TrimSpace(text);
  digits_ = WithoutPadding(trimmed);
  start_ = static_cast<std::size_t>(trimmed.data() - text.data());
  size_ = base64url::DecodedSize(digits_.size());
  kept_ = {};
  const bool padding_is_wrong =
      trimmed.size() != digits_.size() && trimmed.size() % 4 != 0;
  return is_large() ? LoadLarge(padding_is_wrong) : LoadSmall(padding_is_wrong);
}

Outcome TokenReader::LoadSmall(bool padding_is_wrong) noexcept {
  const std::size_t bad = base64url::Decode(digits_, buffer_);
  if (bad != base64url::kNoOffset) {
    return {.status = Status::kTokenBadCharacter, .offset = start_ + bad};
  }
  return CheckStructure(padding_is_wrong, size_ == 0 ? 0 : buffer_[0]);
}

Outcome TokenReader::LoadLarge(bool padding_is_wrong) noexcept {
  // The header and the HMAC must be base64 before the rest means anything.
  const bool readable =
      DecodeAt(0, header_) == base64url::kNoOffset &&
      DecodeAt(size_ - kHmacSize, hmac_) == base64url::kNoOffset;
  const Outcome outcome = readable
                              ? CheckStructure(padding_is_wrong, header_[0])
                              : Outcome{Status::kTokenBadCharacter};
  if (outcome.ok()) {
    return outcome;
  }
  // A bad character is reported first, wherever it is.
  const Outcome characters = CheckCharacters();
  return characters.ok() ? outcome : characters;
}

// CheckStructure checks everything but the characters, once they are known.
Outcome TokenReader::CheckStructure(bool padding_is_wrong,
                                    std::uint8_t version) noexcept {
  if (digits_.size() % 4 == 1) {
    return {Status::kTokenBadLength};
  }
  if (padding_is_wrong) {
    return {.status = Status::kTokenBadPadding,
            .offset = start_ + digits_.size()};
  }
  if (base64url::HasTrailingBits(digits_)) {
    return {.status = Status::kTokenTrailingBits,
            .offset = start_ + digits_.size() - 1};
  }
  if (size_ == 0) {
    return {Status::kTokenTooShort};
  }
  if (version != kVersion) {
    return {Status::kTokenBadVersion};
  }
  if (size_ < kSmallestToken) {
    return {Status::kTokenTooShort};
  }
  signed_size_ = size_ - kHmacSize;
  return {ciphertext_size() % kBlockSize == 0 ? Status::kOk
                                              : Status::kTokenPartialBlock};
}

Outcome TokenReader::CheckCharacters() noexcept {
  constexpr std::size_t kDigits = base64url::EncodedSize(kChunkSize);
  for (std::size_t from = 0; from < digits_.size(); from += kDigits) {
    if (from != 0 && !go_on_()) {
      return {Status::kStopped};
    }
    const std::size_t count = std::min(kDigits, digits_.size() - from);
    const std::size_t bad =
        base64url::Decode(digits_.subspan(from, count), buffer_);
    if (bad != base64url::kNoOffset) {
      return {.status = Status::kTokenBadCharacter,
              .offset = start_ + from + bad};
    }
  }
  return {};
}

std::size_t TokenReader::DecodeAt(std::size_t from,
                                  std::span<std::uint8_t> out) const noexcept {
  // The first bytes may share a group with the bytes before them: decode that
  // group on its own.
  std::size_t digit = from / 3 * 4;
  const std::size_t skipped = from % 3;
  if (skipped != 0) {
    std::array<std::uint8_t, 3> group;
    const std::size_t size = std::min<std::size_t>(3, size_ - from + skipped);
    const std::size_t bad = base64url::Decode(
        digits_.subspan(digit, DigitsOf(size)), std::span(group).first(size));
    if (bad != base64url::kNoOffset) {
      return digit + bad;
    }
    const std::size_t head = std::min(size - skipped, out.size());
    std::memcpy(out.data(), group.data() + skipped, head);
    out = out.subspan(head);
    digit += 4;
  }
  const std::size_t bad =
      base64url::Decode(digits_.subspan(digit, DigitsOf(out.size())), out);
  return bad == base64url::kNoOffset ? bad : digit + bad;
}

std::uint64_t TokenReader::timestamp() const noexcept {
  std::uint64_t seconds = 0;
  for (std::size_t i = 1; i <= kTimestampSize; ++i) {
    seconds = seconds << 8 | header()[i];
  }
  return seconds;
}

void TokenReader::KeepCiphertextIn(std::span<std::uint8_t> memory) noexcept {
  if (is_large()) {
    kept_ = memory.first(ciphertext_size());
    kept_size_ = 0;
  }
}

Outcome TokenReader::ReadLarge(
    std::size_t index, std::span<const std::uint8_t> *out_chunk) noexcept {
  if (index == 0) {
    *out_chunk = header_;
    return {};
  }
  if (!go_on_()) {
    return {Status::kStopped};
  }
  const std::size_t from = (index - 1) * kChunkSize;
  const std::size_t size = std::min(kChunkSize, ciphertext_size() - from);
  const auto chunk = kept_.empty() ? std::span(buffer_).first(size)
                                   : kept_.subspan(from, size);
  *out_chunk = chunk;
  if (!kept_.empty() && from < kept_size_) {
    return {};
  }
  const std::size_t bad = DecodeAt(kHeaderSize + from, chunk);
  if (bad != base64url::kNoOffset) {
    return {.status = Status::kTokenBadCharacter, .offset = start_ + bad};
  }
  kept_size_ = from + size;
  return {};
}

void TokenReader::LastBlock(Block *previous, Block *last) const noexcept {
  // If there is only one block, the one before it is the IV: they are adjacent.
  std::array<std::uint8_t, 2 * kBlockSize> blocks;
  const std::size_t from = signed_size_ - blocks.size();
  if (is_large()) {
    // The caller has read the whole token, so this cannot fail.
    static_cast<void>(DecodeAt(from, blocks));
  } else {
    std::memcpy(blocks.data(), buffer_.data() + from, blocks.size());
  }
  std::memcpy(previous->data(), blocks.data(), kBlockSize);
  std::memcpy(last->data(), blocks.data() + kBlockSize, kBlockSize);
}

Status JudgeAge(std::uint64_t timestamp, std::uint64_t ttl_seconds,
                std::int64_t now) noexcept {
  // Compare differences, never sums: a sum could overflow.
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
