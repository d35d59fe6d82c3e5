#include "check.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "bare.hpp"
#include "our_codec.hpp"
#include "support/reference.hpp"
#include "unit/support.hpp"

namespace fernet::bench {
namespace {

using test::Bytes;
using test::kTestIv;
using test::SomeBytes;
using test::TestKeyBytes;

constexpr std::uint64_t kTimestamp = 1'795'478'400;

// Those that are measured, and around the ends of blocks, of vector registers
// and of chunks.
constexpr std::size_t kSizes[] = {0,
                                  1,
                                  15,
                                  16,
                                  17,
                                  31,
                                  32,
                                  33,
                                  40,
                                  64,
                                  79,
                                  128,
                                  256,
                                  1024,
                                  16 * 1024,
                                  kChunkSize - 1,
                                  kChunkSize * 2,
                                  kMaxPlaintext};

struct Named {
  std::string name;
  std::unique_ptr<Codec> codec;
};

void Require(bool holds, const std::string &who, const char *what,
             std::size_t size) {
  if (!holds) {
    throw std::runtime_error(who + ' ' + what + " at " + std::to_string(size) +
                             " bytes");
  }
}

std::vector<Named> MakeAll() {
  const Bytes key = TestKeyBytes(1);
  std::vector<Named> all;
  all.push_back(
      {"the core", std::make_unique<OurCodec>(std::initializer_list<int>{1})});
  all.push_back({"naive", MakeNaive(key)});
  all.push_back({"supported loop", MakeSupportedLoop(key, Base64::kTable)});
  all.push_back(
      {"supported loop, our base64", MakeSupportedLoop(key, Base64::kOurs)});
  if (auto intrinsics = MakeIntrinsics(key)) {
    all.push_back({"intrinsics", std::move(intrinsics)});
  }
  return all;
}

// OpensAs says whether `codec` finds `plaintext` in `token`.
bool OpensAs(Codec *codec, Text token, const Bytes &plaintext) {
  Bytes out(CiphertextSize(plaintext.size()));
  std::size_t size = 0;
  return codec->Open(token, out, &size) && size == plaintext.size() &&
         std::equal(plaintext.begin(), plaintext.end(), out.begin());
}

void CheckAgreement(std::span<const Named> all, std::size_t size) {
  const Bytes plaintext = SomeBytes(size);
  const std::string expected =
      test::reference::Seal(TestKeyBytes(1), kTimestamp, kTestIv, plaintext);
  std::string text(expected.size(), '?');
  for (const Named &sealer : all) {
    std::ranges::fill(text, '?');
    Require(sealer.codec->SealWithIv(plaintext, kTimestamp, kTestIv, text) &&
                text == expected,
            sealer.name, "does not seal as the reference does", size);
    std::ranges::fill(text, '?');
    Require(sealer.codec->Seal(plaintext, kTimestamp, text) && text != expected,
            sealer.name, "does not seal with an IV of its own", size);
    for (const Named &opener : all) {
      Require(OpensAs(opener.codec.get(), text, plaintext), opener.name,
              ("does not open a token of " + sealer.name).c_str(), size);
    }
  }
}

// CheckRefusal damages every byte of a small token, and some of a large one.
void CheckRefusal(std::span<const Named> all, OurCodec *ring,
                  std::size_t size) {
  const Bytes plaintext = SomeBytes(size);
  Bytes binary = test::reference::Decode(
      test::reference::Seal(TestKeyBytes(1), kTimestamp, kTestIv, plaintext));
  const std::size_t step = std::max<std::size_t>(1, binary.size() / 200);
  for (std::size_t i = 0; i < binary.size(); i += step) {
    binary[i] ^= static_cast<std::uint8_t>(1u << i % 8);
    const std::string text = test::reference::Encode(binary);
    for (const Named &opener : all) {
      Bytes out(CiphertextSize(size));
      std::size_t out_size = 0;
      Require(!opener.codec->Open(text, out, &out_size), opener.name,
              "opens a damaged token", size);
    }
    Require(!ring->Verify(text), "the core", "verifies a damaged token", size);
    binary[i] ^= static_cast<std::uint8_t>(1u << i % 8);
  }
  std::string text = test::reference::Encode(binary);
  text[text.size() / 2] = '.';
  for (const Named &opener : all) {
    Bytes out(CiphertextSize(size));
    std::size_t out_size = 0;
    Require(!opener.codec->Open(text, out, &out_size), opener.name,
            "opens a token with a character outside the alphabet", size);
  }
}

// CheckKeyrings is for what only the core has: several keys, verification and
// rotation.
void CheckKeyrings(std::size_t size) {
  const Bytes plaintext = SomeBytes(size);
  OurCodec ring({1, 2, 3, 4, 5});
  const auto first = MakeNaive(TestKeyBytes(1));
  for (const int key : {1, 5, 4, 5, 2, 2}) {
    const std::string text = test::reference::Seal(
        TestKeyBytes(key), kTimestamp, kTestIv, plaintext);
    Require(OpensAs(&ring, text, plaintext), "the core",
            "does not open a token of another key of its ring", size);
    Require(ring.Verify(text), "the core", "does not verify", size);
    std::string rotated(text.size(), '?');
    std::size_t rotated_size = 0;
    Require(ring.Rotate(text, rotated, &rotated_size) &&
                rotated_size == text.size() && rotated != text &&
                OpensAs(first.get(), rotated, plaintext),
            "the core", "does not rotate", size);
  }
  const std::string stranger =
      test::reference::Seal(TestKeyBytes(6), kTimestamp, kTestIv, plaintext);
  Require(!ring.Verify(stranger), "the core", "verifies a stranger's token",
          size);
}

// CheckBare compares with the reference what is no token.
void CheckBare(std::size_t size) {
  const Bytes key = TestKeyBytes(1);
  const Bytes plaintext = SomeBytes(size);
  const Bytes ciphertext =
      test::reference::EncryptBlocks(View(key).last(16), kTestIv, plaintext);
  const Bytes expected =
      test::reference::HmacSha256(View(key).first(16), ciphertext);
  const std::string text = test::reference::Encode(ciphertext);
  const Text digits = Text(text).first(text.find_last_not_of('=') + 1);

  Bare bare(key);
  Bytes hmac(kHmacSize);
  std::string encoded(text.size(), '?');
  Require(bare.Seal(plaintext, kTestIv, encoded, hmac.data()) &&
              hmac == expected && encoded == text,
          "bare", "does not seal", size);
  Bytes opened(size);
  hmac.assign(kHmacSize, 0);
  Require(bare.Open(ciphertext, kTestIv, opened.data(), hmac.data()) &&
              hmac == expected && opened == plaintext,
          "bare", "does not open", size);
  opened.assign(size, 0);
  hmac.assign(kHmacSize, 0);
  Require(bare.OpenText(digits, kTestIv, opened.data(), hmac.data()) &&
              hmac == expected && opened == plaintext,
          "bare", "does not open text", size);
}

}  // namespace

void CheckAll() {
  const std::vector<Named> all = MakeAll();
  OurCodec ring({1});
  for (const std::size_t size : kSizes) {
    CheckAgreement(all, size);
    CheckKeyrings(size);
  }
  for (const std::size_t size : {0, 16, 40, 1024, 16 * 1024}) {
    CheckRefusal(all, &ring, size);
  }
  for (const std::size_t size : {16 * 1024, 1024 * 1024}) {
    CheckBare(size);
  }
}

}  // namespace fernet::bench
