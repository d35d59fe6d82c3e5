// A second implementation of Fernet, with which the tests compare the core:
// slow, straight from the specification, on OpenSSL's one-shot calls, and
// without any code of the core. It throws when OpenSSL fails.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fernet::test::reference {

using Bytes = std::vector<std::uint8_t>;
using View = std::span<const std::uint8_t>;

Bytes Sha256(std::string_view text);
Bytes HmacSha256(View key, View data);

// Encode writes base64url with padding; Decode reads only what Encode writes.
std::string Encode(View bytes);
Bytes Decode(std::string_view text);

// AES-128-CBC, with PKCS #7 padding and without.
Bytes Encrypt(View key, View iv, View plaintext);
Bytes EncryptBlocks(View key, View iv, View blocks);
Bytes DecryptBlocks(View key, View iv, View blocks);

// Seal makes a token. `key` is the whole 32 bytes.
std::string Seal(View key, std::uint64_t timestamp, View iv, View plaintext);

// SealPadded makes a token of whole blocks that end in a padding of the caller,
// good or bad.
std::string SealPadded(View key, std::uint64_t timestamp, View iv, View padded);

// Sign makes a token of everything before the HMAC.
std::string Sign(View key, View signed_part);

// Open is the plaintext of a token, given as bytes of the right size, or
// nothing if the HMAC or the padding is wrong.
std::optional<Bytes> Open(View key, View token);

}  // namespace fernet::test::reference
