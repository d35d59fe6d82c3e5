#include "core/blind_index.hpp"

#include <openssl/err.h>

#include <algorithm>
#include <string_view>

namespace fernet {
namespace {

constexpr std::string_view kPurpose = "pg_fernet blind index v1";

// How much of a value is hashed before the next look whether to go on.
constexpr std::size_t kStep = 1024 * 1024;

// Prefix is the fixed text, a zero byte and the size of the context.
using Prefix = std::array<std::uint8_t, kPurpose.size() + 1 + 8>;

Prefix PrefixFor(std::uint64_t context_size) noexcept {
  Prefix prefix{};
  std::ranges::copy(kPurpose, prefix.begin());
  for (std::size_t i = 0; i < 8; ++i) {
    prefix[prefix.size() - 1 - i] =
        static_cast<std::uint8_t>(context_size >> (8 * i));
  }
  return prefix;
}

}  // namespace

Status BlindIndexer::Prepare(std::span<const Key> keys) noexcept {
  Clear();
  if (!sha256_) {
    sha256_ = Digest(EVP_MD_fetch(nullptr, "SHA256", nullptr));
  }
  if (!scratch_) {
    scratch_ = DigestContext(EVP_MD_CTX_new());
  }
  bool prepared = sha256_ && scratch_;
  for (std::size_t i = 0; i < keys.size() && prepared; ++i) {
    prepared = macs_[i].Prepare(sha256_.get(), keys[i].bytes());
  }
  ERR_clear_error();
  if (!prepared) {
    Clear();
    return Status::kCryptoFailed;
  }
  size_ = static_cast<std::uint32_t>(keys.size());
  return Status::kOk;
}

void BlindIndexer::Clear() noexcept {
  size_ = 0;
  for (PreparedMac &mac : macs_) {
    mac = PreparedMac();
  }
}

bool BlindIndexer::AddContext(std::span<const std::uint8_t> context) noexcept {
  return PreparedMac::Add(scratch_.get(), PrefixFor(context.size())) &&
         PreparedMac::Add(scratch_.get(), context);
}

Status BlindIndexer::Compute(std::uint32_t key_index,
                             std::span<const std::uint8_t> context,
                             std::span<const std::uint8_t> value,
                             std::span<std::uint8_t> out, GoOn go_on) noexcept {
  const PreparedMac &mac = macs_[key_index];
  bool done = mac.Begin(scratch_.get()) && AddContext(context);
  while (done && !value.empty()) {
    const auto step = value.first(std::min(value.size(), kStep));
    done = PreparedMac::Add(scratch_.get(), step);
    value = value.subspan(step.size());
    if (!value.empty() && !go_on()) {
      return Status::kStopped;
    }
  }
  Hmac whole;
  if (!done || !mac.Finish(scratch_.get(), whole)) {
    return Status::kCryptoFailed;
  }
  std::ranges::copy(std::span(whole).first(out.size()), out.begin());
  return Status::kOk;
}

}  // namespace fernet
