#include "core/key.hpp"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <string_view>

#include "core/ascii.hpp"
#include "core/base64url.hpp"
#include "core/key_digits.hpp"
#include "core/reveal.hpp"

namespace fernet {
namespace {

constexpr std::string_view kFingerprintLabel = "pg_fernet key fingerprint v1";
constexpr std::size_t kLongestLineEnd = 2;  // CR LF

bool IsHex(std::span<const char> text) noexcept {
  return std::ranges::all_of(text, IsHexDigit);
}

// IsEncodedKeyText says whether `text` is base64, in either alphabet, of the
// text of a key, as in a Kubernetes Secret that was encoded by hand.
bool IsEncodedKeyText(std::span<const char> text) noexcept {
  const auto digits = WithoutPadding(text);
  SecretBytes<kEncodedKeySize + kLongestLineEnd> decoded;
  const std::size_t size = base64url::DecodedSize(digits.size());
  // 43 or 44 characters, perhaps with the line end that `echo` adds.
  if (size < kKeyDigits || size > kEncodedKeySize + kLongestLineEnd ||
      base64url::Decode(digits, decoded.mutable_bytes()) !=
          base64url::kNoOffset) {
    return false;
  }
  const auto inner = TrimSpace(std::span<const char>(
      reinterpret_cast<const char *>(decoded.bytes().data()), size));
  Key key;
  return (inner.size() == kKeyDigits || inner.size() == kEncodedKeySize) &&
         ParseKey(inner, &key).ok();
}

// IsQuoted says whether `text` has a quotation mark at either end. One is
// enough: in a quoted list, the first key has one at its start and the last at
// its end.
bool IsQuoted(std::span<const char> text) noexcept {
  const auto is_quote = [](char c) { return c == '"' || c == '\''; };
  return !text.empty() && (is_quote(text.front()) || is_quote(text.back()));
}

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

// White space outside of ASCII, in UTF-8, and what else is not to be seen:
// no-break, thin, ideographic, zero-width, and the byte order mark once more.
constexpr std::string_view kUnusualSpaces[] = {
    "\xc2\xa0",     "\xe2\x80\xaf", "\xe2\x80\x89", "\xe2\x80\xa8",
    "\xe3\x80\x80", "\xe2\x80\x8b", "\xe2\x81\xa0", kByteOrderMark,
};

bool HasUnusualSpace(std::string_view text) noexcept {
  return std::ranges::any_of(kUnusualSpaces, [text](std::string_view space) {
    return text.starts_with(space) || text.ends_with(space);
  });
}

bool IsBytesLiteral(std::string_view text) noexcept {
  return text.size() > 1 && (text[0] == 'b' || text[0] == 'B') &&
         (text[1] == '\'' || text[1] == '"');
}

// IsAssignment says whether `text` is NAME=key or NAME: key, where the key may
// be in quotes.
bool IsAssignment(std::string_view text) noexcept {
  const std::size_t sign = text.find_first_of("=:");
  // A name is shorter than a key, of which the '=' may be the sign.
  if (sign >= kKeyDigits) {
    return false;
  }
  const auto is_quote_or_space = [](char c) {
    return c == '\'' || c == '"' || IsSpace(c);
  };
  std::string_view value = text;
  value.remove_prefix(sign + 1);
  while (!value.empty() && is_quote_or_space(value.front())) {
    value.remove_prefix(1);
  }
  while (!value.empty() && is_quote_or_space(value.back())) {
    value.remove_suffix(1);
  }
  return value.size() >= kKeyDigits && value.size() <= kEncodedKeySize;
}

// NameTheMistake turns "this is not 43 or 44 characters" into a reason that the
// user can act on.
Status NameTheMistake(std::span<const char> text) noexcept {
  if (text.size() == 2 * kKeySize && IsHex(text)) {
    return Status::kKeyHex;
  }
  if (IsEncodedKeyText(text)) {
    return Status::kKeyBase64Twice;
  }
  const std::string_view characters(text.data(), text.size());
  if (characters.starts_with(kByteOrderMark)) {
    return Status::kKeyByteOrderMark;
  }
  if (HasUnusualSpace(characters)) {
    return Status::kKeyUnusualSpace;
  }
  if (IsBytesLiteral(characters)) {
    return Status::kKeyBytesLiteral;
  }
  if (IsAssignment(characters)) {
    return Status::kKeyAssignment;
  }
  if (IsQuoted(text)) {
    return Status::kKeyQuoted;
  }
  return Status::kKeyBadLength;
}

// BadDigits says what is wrong with 43 characters that are no key.
Outcome BadDigits(std::span<const char, kKeyDigits> digits) noexcept {
  SecretBytes<kKeySize> decoded;
  const std::size_t at = base64url::Decode(digits, decoded.mutable_bytes());
  if (at == base64url::kNoOffset) {
    return {.status = Status::kKeyTrailingBits, .offset = kKeyDigits - 1};
  }
  const bool standard = digits[at] == '+' || digits[at] == '/';
  return {.status = standard ? Status::kKeyStandardAlphabet
                             : Status::kKeyBadCharacter,
          .offset = at};
}

// Is says whether `c` is `expected`, a character of the list's format.
bool Is(char c, char expected) noexcept {
  return Reveal(Revealed::kListFormat, c == expected);
}

// TrimSpaceOfKey is TrimSpace for the text of a key.
std::span<const char> TrimSpaceOfKey(std::span<const char> text) noexcept {
  return TrimIf(text, [](char c) {
    const auto from_tab = static_cast<unsigned char>(c - '\t');
    return Is(c, ' ') || Reveal(Revealed::kListFormat, from_tab <= '\r' - '\t');
  });
}

}  // namespace

Outcome ParseKey(std::span<const char> text, Key *out) noexcept {
  const auto digits = text.size() == kEncodedKeySize && Is(text.back(), '=')
                          ? text.first(kKeyDigits)
                          : text;
  if (digits.size() != kKeyDigits) {
    out->Wipe();
    return {.status = NameTheMistake(text), .offset = text.size()};
  }
  const auto key_digits = digits.first<kKeyDigits>();
  if (!DecodeKey(key_digits, out->mutable_bytes())) {
    out->Wipe();
    return BadDigits(key_digits);
  }
  return {};
}

Outcome KeyList::Parse(std::span<const char> text) noexcept {
  Wipe();
  while (true) {
    const auto comma =
        std::ranges::find_if(text, [](char c) { return Is(c, ','); });
    const auto length = static_cast<std::size_t>(comma - text.begin());
    Outcome outcome = ParseNext(TrimSpaceOfKey(text.first(length)));
    if (!outcome.ok()) {
      outcome.key_position = size_ + 1;
      Wipe();
      return outcome;
    }
    if (comma == text.end()) {
      return {};
    }
    text = text.subspan(length + 1);
  }
}

Outcome KeyList::ParseNext(std::span<const char> text) noexcept {
  if (text.empty()) {
    return {Status::kKeyMissing};
  }
  if (size_ == kMaxKeys) {
    return {Status::kTooManyKeys};
  }
  Key *const key = &keys_[size_];
  const Outcome outcome = ParseKey(text, key);
  if (!outcome.ok()) {
    return outcome;
  }
  for (const Key &earlier : keys()) {
    if (Reveal(Revealed::kKeysAreEqual,
               CRYPTO_memcmp(earlier.bytes().data(), key->bytes().data(),
                             kKeySize)) == 0) {
      return {Status::kKeyDuplicate};
    }
  }
  ++size_;
  return {};
}

void KeyList::Wipe() noexcept {
  size_ = 0;
  OPENSSL_cleanse(keys_.data(), sizeof keys_);
}

Status GenerateKey(std::span<char, kEncodedKeySize> out) noexcept {
  Key key;
  const bool drawn = RAND_priv_bytes(key.mutable_bytes().data(), kKeySize) == 1;
  ERR_clear_error();
  if (!drawn) {
    OPENSSL_cleanse(out.data(), out.size());
    return Status::kRandomFailed;
  }
  EncodeKey(key.bytes(), out);
  return Status::kOk;
}

Status Fingerprint(const Key &key, FingerprintText *out) noexcept {
  constexpr std::string_view kHexDigits = "0123456789abcdef";
  out->fill('\0');
  std::array<std::uint8_t, 32> mac{};
  std::size_t mac_size = 0;
  const bool computed =
      EVP_Q_mac(
          nullptr, "HMAC", nullptr, "SHA256", nullptr, key.bytes().data(),
          kKeySize,
          reinterpret_cast<const unsigned char *>(kFingerprintLabel.data()),
          kFingerprintLabel.size(), mac.data(), mac.size(),
          &mac_size) != nullptr;
  ERR_clear_error();
  if (!computed) {
    return Status::kCryptoFailed;
  }
  RevealBytes(Revealed::kFingerprint, mac);
  for (std::size_t i = 0; i < 8; ++i) {
    (*out)[2 * i] = kHexDigits[mac[i] >> 4];
    (*out)[2 * i + 1] = kHexDigits[mac[i] & 0x0f];
  }
  return Status::kOk;
}

}  // namespace fernet
