// The primitives of the core against vectors that others have published, and
// against those that Python's `cryptography` computes at the edges. Sources:
// test/vectors/SOURCES.md.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "core/crypto.hpp"
#include "core/derivation.hpp"
#include "support/reference.hpp"
#include "unit/support.hpp"

namespace fernet {
namespace {

using nlohmann::json;
using test::Bytes;

json ReadJson(const std::string &path) {
  std::ifstream file(path);
  return json::parse(file);
}

// ReadBytes reads hexadecimal, or "0b*20": that often the same byte.
Bytes ReadBytes(const std::string &text) {
  const std::size_t star = text.find('*');
  const std::string digits = text.substr(0, star);
  Bytes bytes;
  for (std::size_t i = 0; i < digits.size(); i += 2) {
    bytes.push_back(static_cast<std::uint8_t>(
        std::stoul(digits.substr(i, 2), nullptr, 16)));
  }
  return star == std::string::npos
             ? bytes
             : Bytes(std::stoul(text.substr(star + 1)), bytes.at(0));
}

Bytes Field(const json &vector, const char *name) {
  return ReadBytes(vector.at(name).get<std::string>());
}

Bytes ComputeHmac(const Bytes &key, const Bytes &data) {
  Algorithms algorithms;
  PreparedMac mac;
  Hmac out{};
  EXPECT_EQ(algorithms.Fetch(), Status::kOk);
  EVP_MD_CTX *const scratch = algorithms.mac_scratch.get();
  EXPECT_TRUE(mac.Prepare(algorithms.sha256.get(), key) && mac.Begin(scratch) &&
              PreparedMac::Add(scratch, data) && mac.Finish(scratch, out));
  return {out.begin(), out.end()};
}

// FernetKeyOf is a key with `aes_key` as its second half, and a first half that
// no vector knows of.
Bytes FernetKeyOf(const Bytes &aes_key) {
  Bytes bytes(test::kTestIv.begin(), test::kTestIv.end());
  bytes.insert(bytes.end(), aes_key.begin(), aes_key.end());
  return bytes;
}

Bytes ComputeBlocks(const Bytes &aes_key, const Bytes &iv, const Bytes &in,
                    bool encrypt) {
  Algorithms algorithms;
  PreparedKey prepared;
  Key key;
  test::LoadKey(FernetKeyOf(aes_key), &key);
  EXPECT_EQ(algorithms.Fetch(), Status::kOk);
  EXPECT_EQ(prepared.Prepare(algorithms, key), Status::kOk);
  Bytes out = in;
  const auto start = std::span(iv).first<kIvSize>();
  EXPECT_TRUE(encrypt ? prepared.BeginEncryption(start) &&
                            prepared.EncryptBlocks(out)
                      : prepared.BeginDecryption(start) &&
                            prepared.DecryptBlocks(in, out.data()));
  return out;
}

std::unique_ptr<Keyring> RingOfAes(const Bytes &aes_key) {
  return test::RingOfText(test::reference::Encode(FernetKeyOf(aes_key)));
}

// TokenOf is a genuine token of `ciphertext`, whatever its size and padding.
std::string TokenOf(const Bytes &aes_key, const Bytes &iv,
                    const Bytes &ciphertext) {
  Bytes bytes = {0x80, 0, 0, 0, 0, 0, 0, 0, 0};
  bytes.insert(bytes.end(), iv.begin(), iv.end());
  bytes.insert(bytes.end(), ciphertext.begin(), ciphertext.end());
  return test::reference::Sign(FernetKeyOf(aes_key), bytes);
}

// SealedCiphertext is the ciphertext of the token that the core makes.
Bytes SealedCiphertext(const Bytes &aes_key, const Bytes &iv,
                       const Bytes &plaintext) {
  const auto ring = RingOfAes(aes_key);
  std::string text(TokenSize(plaintext.size()), '?');
  EXPECT_EQ(
      ring->SealWithIv(plaintext, 0, std::span(iv).first<kIvSize>(), text),
      Status::kOk);
  const Bytes token = test::reference::Decode(text);
  return {token.begin() + kHeaderSize, token.end() - kHmacSize};
}

// KeyOf is the bytes of a key that one of the derivations has written.
Bytes KeyOf(Status status, const std::array<char, kEncodedKeySize> &text) {
  EXPECT_EQ(status, Status::kOk);
  return test::reference::Decode({text.data(), text.size()});
}

Bytes Hkdf(const Bytes &secret, const Bytes &salt, const Bytes &info) {
  std::array<char, kEncodedKeySize> text;
  return KeyOf(DeriveByHkdf(secret, salt, info, text), text);
}

Bytes Pbkdf2(const Bytes &secret, const Bytes &salt, std::uint32_t iterations) {
  std::array<char, kEncodedKeySize> text;
  return KeyOf(DeriveByPbkdf2(secret, salt, iterations, Always, text), text);
}

// ExpectStart compares as much as both have: our keys have 32 bytes, which are
// the first ones of a longer output, and a vector may be shorter.
void ExpectStart(Bytes computed, Bytes expected) {
  const std::size_t size = std::min(computed.size(), expected.size());
  ASSERT_GT(size, 0u);
  computed.resize(size);
  expected.resize(size);
  EXPECT_EQ(computed, expected);
}

// ExpectField compares with a field of the vector, or with its hash.
void ExpectField(const json &vector, const std::string &name,
                 const Bytes &computed) {
  if (vector.contains(name)) {
    ExpectStart(computed, Field(vector, name.c_str()));
  } else {
    EXPECT_EQ(
        test::reference::Sha256(
            {reinterpret_cast<const char *>(computed.data()), computed.size()}),
        Field(vector, (name + "_sha256").c_str()));
  }
}

void CheckHmac(const json &vector) {
  ExpectField(vector, "mac",
              ComputeHmac(Field(vector, "key"), Field(vector, "data")));
}

void CheckHkdf(const json &vector) {
  ExpectField(vector, "key",
              Hkdf(Field(vector, "secret"), Field(vector, "salt"),
                   Field(vector, "info")));
}

void CheckPbkdf2(const json &vector) {
  ExpectField(vector, "key",
              Pbkdf2(Field(vector, "secret"), Field(vector, "salt"),
                     vector.at("iterations").get<std::uint32_t>()));
}

void CheckCbc(const json &vector) {
  const Bytes key = Field(vector, "key");
  const Bytes iv = Field(vector, "iv");
  const Bytes plaintext = Field(vector, "plaintext");
  const Bytes ciphertext = Field(vector, "ciphertext");
  EXPECT_EQ(ComputeBlocks(key, iv, plaintext, true), ciphertext);
  EXPECT_EQ(ComputeBlocks(key, iv, ciphertext, false), plaintext);
}

// CheckSealed checks a whole token: CBC and the padding.
void CheckSealed(const json &vector) {
  const Bytes key = Field(vector, "key");
  const Bytes iv = Field(vector, "iv");
  const Bytes plaintext = Field(vector, "plaintext");
  const Bytes ciphertext = SealedCiphertext(key, iv, plaintext);
  ExpectField(vector, "ciphertext", ciphertext);
  const auto ring = RingOfAes(key);
  EXPECT_EQ(test::OpenText(ring.get(), TokenOf(key, iv, ciphertext)).plaintext,
            plaintext);
}

// CheckAll checks the vectors of a file, and returns how many of each kind
// there are.
std::map<std::string, int> CheckAll(const std::string &name) {
  const std::map<std::string, void (*)(const json &)> checks = {
      {"hmac", CheckHmac}, {"hkdf", CheckHkdf},        {"pbkdf2", CheckPbkdf2},
      {"cbc", CheckCbc},   {"cbc-pkcs7", CheckSealed},
  };
  std::map<std::string, int> counts;
  for (const json &vector :
       ReadJson(std::string(FERNET_TEST_VECTORS) + "/" + name)) {
    SCOPED_TRACE(vector.dump());
    const std::string kind = vector.at("kind");
    checks.at(kind)(vector);
    ++counts[kind];
  }
  return counts;
}

TEST(PublishedVectors, AreWhatTheCoreComputes) {
  const std::map<std::string, int> expected = {
      {"cbc", 1}, {"hkdf", 3}, {"hmac", 7}, {"pbkdf2", 2}};
  EXPECT_EQ(CheckAll("published.json"), expected);
  EXPECT_TRUE(test::ErrorQueueIsEmpty());
}

TEST(EdgeVectors, AreWhatTheCoreComputes) {
  for (const auto &[kind, count] : CheckAll("edges.json")) {
    EXPECT_GE(count, 20) << kind;
  }
  EXPECT_TRUE(test::ErrorQueueIsEmpty());
}

// The vectors of Project Wycheproof are not part of this repository:
// FERNET_WYCHEPROOF names the folder that has them. Without it, the tests are
// skipped.
class Wycheproof : public testing::Test {
 protected:
  void SetUp() override {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread.
    const char *const folder = std::getenv("FERNET_WYCHEPROOF");
    folder_ = folder == nullptr ? "" : folder;
    if (!std::ifstream(folder_ + "/hkdf_sha256.json")) {
      GTEST_SKIP() << "FERNET_WYCHEPROOF names no folder with the vectors";
    }
  }

  // ForEach calls `check` with each test of a file and its group, and returns
  // how many of them `check` took.
  template <typename Check>
  int ForEach(const std::string &name, Check check) const {
    int taken = 0;
    const json file = ReadJson(folder_ + "/" + name);
    for (const json &group : file.at("testGroups")) {
      for (const json &vector : group.at("tests")) {
        SCOPED_TRACE(vector.at("tcId").get<int>());
        taken += check(group, vector) ? 1 : 0;
      }
    }
    EXPECT_TRUE(test::ErrorQueueIsEmpty());
    return taken;
  }

 private:
  std::string folder_;
};

bool IsValid(const json &vector) { return vector.at("result") == "valid"; }

TEST_F(Wycheproof, Hkdf) {
  const int taken =
      ForEach("hkdf_sha256.json", [](const json &, const json &vector) {
        // The others ask for more than HKDF can give; ours gives 32 bytes.
        if (!IsValid(vector)) {
          return false;
        }
        ExpectStart(Hkdf(Field(vector, "ikm"), Field(vector, "salt"),
                         Field(vector, "info")),
                    Field(vector, "okm"));
        return true;
      });
  EXPECT_GE(taken, 80);
}

TEST_F(Wycheproof, Pbkdf2) {
  const int taken =
      ForEach("pbkdf2_hmacsha256.json", [](const json &, const json &vector) {
        ExpectStart(Pbkdf2(Field(vector, "password"), Field(vector, "salt"),
                           vector.at("iterationCount").get<std::uint32_t>()),
                    Field(vector, "dk"));
        return true;
      });
  EXPECT_GE(taken, 60);
}

TEST_F(Wycheproof, HmacSha256) {
  const int taken =
      ForEach("hmac_sha256.json", [](const json &group, const json &vector) {
        Bytes computed =
            ComputeHmac(Field(vector, "key"), Field(vector, "msg"));
        computed.resize(group.at("tagSize").get<std::size_t>() / 8);
        EXPECT_EQ(computed == Field(vector, "tag"), IsValid(vector));
        return true;
      });
  EXPECT_GE(taken, 174);
}

// A vector of AES-CBC is the ciphertext of a genuine token: with a bad padding
// no key opens it, and one that is no whole number of blocks is no token.
TEST_F(Wycheproof, Aes128CbcPkcs5) {
  const int taken =
      ForEach("aes_cbc_pkcs5.json", [](const json &group, const json &vector) {
        if (group.at("keySize") != 128) {
          return false;
        }
        const Bytes key = Field(vector, "key");
        const Bytes iv = Field(vector, "iv");
        const Bytes ciphertext = Field(vector, "ct");
        const Bytes plaintext = Field(vector, "msg");
        const auto ring = RingOfAes(key);
        const std::string token = TokenOf(key, iv, ciphertext);
        if (IsValid(vector)) {
          EXPECT_EQ(SealedCiphertext(key, iv, plaintext), ciphertext);
          const test::Opened opened = test::OpenText(ring.get(), token);
          EXPECT_TRUE(opened.ok());
          EXPECT_EQ(opened.plaintext, plaintext);
        } else {
          EXPECT_TRUE(test::OpensNever(ring.get(), token));
        }
        return true;
      });
  EXPECT_GE(taken, 72);
}

}  // namespace
}  // namespace fernet
