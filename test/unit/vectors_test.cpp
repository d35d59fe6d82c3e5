// The vectors in test/vectors; test/vectors/SOURCES.md says where they come
// from.
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "support/reference.hpp"
#include "unit/support.hpp"

namespace fernet {
namespace {

using nlohmann::json;
using test::Bytes;

json ReadVectors(const std::string &name) {
  std::ifstream file(std::string(FERNET_TEST_VECTORS) + "/" + name);
  return json::parse(file);
}

Bytes FromHex(const std::string &hex) {
  Bytes bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    bytes.push_back(
        static_cast<std::uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

// ParseTime turns "1985-10-26T01:20:00-07:00" into seconds since 1970.
std::int64_t ParseTime(const std::string &text) {
  int year = 0;
  unsigned month = 0;
  unsigned day = 0;
  int hour = 0;
  int minute = 0;
  int second = 0;
  char sign = '+';
  int zone_hour = 0;
  int zone_minute = 0;
  // The times of the vectors are small numbers, which cannot overflow.
  // NOLINTNEXTLINE(cert-err34-c): strtol for each number would say no more.
  if (std::sscanf(text.c_str(), "%d-%u-%uT%d:%d:%d%c%d:%d", &year, &month, &day,
                  &hour, &minute, &second, &sign, &zone_hour,
                  &zone_minute) != 9) {
    throw std::invalid_argument("no time: " + text);
  }
  const std::chrono::sys_days date =
      std::chrono::year(year) / static_cast<int>(month) / static_cast<int>(day);
  const int zone = (sign == '-' ? -60 : 60) * (60 * zone_hour + zone_minute);
  return std::chrono::sys_seconds(date).time_since_epoch().count() +
         3600 * hour + 60 * minute + second - zone;
}

// Verify checks what fernet_decrypt checks with a ttl: the HMAC, then the age,
// then the padding.
Outcome Verify(const json &vector, Bytes *out) {
  const auto ring = test::RingOfText(vector.at("secret").get<std::string>());
  const std::string text = vector.at("token");
  TokenReader reader;
  const Outcome loaded = reader.Load(text);
  if (!loaded.ok()) {
    return loaded;
  }
  std::uint32_t index = 0;
  Status status = ring->FindKey(&reader, &index).status;
  if (status == Status::kOk) {
    status =
        JudgeAge(reader.timestamp(), vector.at("ttl_sec").get<std::uint64_t>(),
                 ParseTime(vector.at("now")));
  }
  if (status == Status::kOk) {
    out->resize(reader.ciphertext_size());
    std::size_t size = 0;
    status = ring->Open(&reader, index, *out, &size);
    out->resize(size);
  }
  return {status};
}

TEST(SpecVectors, GenerateGivesExactlyTheToken) {
  const json vectors = ReadVectors("generate.json");
  ASSERT_FALSE(vectors.empty());
  for (const json &vector : vectors) {
    const auto ring = test::RingOfText(vector.at("secret").get<std::string>());
    const std::string src = vector.at("src");
    const auto iv = vector.at("iv").get<std::array<std::uint8_t, kIvSize>>();
    std::string text(TokenSize(src.size()), '?');
    ASSERT_EQ(
        ring->SealWithIv(
            test::ToBytes(src),
            static_cast<std::uint64_t>(ParseTime(vector.at("now"))), iv, text),
        Status::kOk);
    EXPECT_EQ(text, vector.at("token").get<std::string>());
  }
}

TEST(SpecVectors, VerifyOpens) {
  const json vectors = ReadVectors("verify.json");
  ASSERT_FALSE(vectors.empty());
  for (const json &vector : vectors) {
    Bytes plaintext;
    EXPECT_EQ(Verify(vector, &plaintext).status, Status::kOk);
    EXPECT_EQ(plaintext, test::ToBytes(vector.at("src").get<std::string>()));
  }
}

TEST(SpecVectors, InvalidIsRefusedForTheReasonGiven) {
  const std::map<std::string, Status> reasons = {
      {"incorrect mac", Status::kNoKeyOpens},
      {"too short", Status::kTokenTooShort},
      {"invalid base64", Status::kTokenBadCharacter},
      // 15 bytes of payload: less than one block.
      {"payload size not multiple of block size", Status::kTokenTooShort},
      {"payload padding error", Status::kNoKeyOpens},
      {"far-future TS (unacceptable clock skew)", Status::kTokenFromFuture},
      {"expired TTL", Status::kTokenExpired},
      {"incorrect IV (causes padding error)", Status::kNoKeyOpens},
  };
  const json vectors = ReadVectors("invalid.json");
  EXPECT_EQ(vectors.size(), reasons.size());
  for (const json &vector : vectors) {
    const std::string desc = vector.at("desc");
    Bytes plaintext;
    EXPECT_EQ(Verify(vector, &plaintext).status, reasons.at(desc)) << desc;
    EXPECT_TRUE(test::AllZero(plaintext)) << desc;
    EXPECT_TRUE(test::ErrorQueueIsEmpty()) << desc;
  }
}

TEST(SpecVectors, ExpiryIsSaidOfGenuineTokensOnly) {
  for (json vector : ReadVectors("invalid.json")) {
    if (vector.at("desc") == "incorrect mac") {
      vector["now"] = "2000-01-01T00:00:00+00:00";  // long expired
      Bytes plaintext;
      EXPECT_EQ(Verify(vector, &plaintext).status, Status::kNoKeyOpens);
      return;
    }
  }
  FAIL() << "no vector with an incorrect mac";
}

// Plaintext of a vector: src_hex, repeated src_repeat times if there is one.
Bytes PlaintextOf(const json &vector) {
  const Bytes once = FromHex(vector.at("src_hex"));
  Bytes bytes;
  for (int i = vector.value("src_repeat", 1); i > 0; --i) {
    bytes.insert(bytes.end(), once.begin(), once.end());
  }
  return bytes;
}

// SealVector seals the plaintext of a vector with a given IV.
std::string SealVector(Keyring *ring, const json &vector, const Bytes &iv) {
  const Bytes plaintext = PlaintextOf(vector);
  std::string text(TokenSize(plaintext.size()), '?');
  EXPECT_EQ(
      ring->SealWithIv(plaintext, vector.at("timestamp").get<std::uint64_t>(),
                       std::span(iv).first<kIvSize>(), text),
      Status::kOk);
  return text;
}

TEST(PycaVectors, OpenAndAreMadeAgainByteForByte) {
  const json vectors = ReadVectors("pyca.json");
  ASSERT_GE(vectors.size(), 12u);
  for (const json &vector : vectors) {
    SCOPED_TRACE(vector.at("desc").get<std::string>());
    const auto ring = test::RingOfText(vector.at("secret").get<std::string>());
    std::string text;
    if (vector.contains("token")) {
      text = vector.at("token");
      TokenReader reader;
      ASSERT_TRUE(reader.Load(text).ok());
      EXPECT_EQ(SealVector(ring.get(), vector,
                           {reader.iv().begin(), reader.iv().end()}),
                text);
    } else {
      text = SealVector(ring.get(), vector, FromHex(vector.at("iv_hex")));
      ASSERT_EQ(text.size(), vector.at("token_size").get<std::size_t>());
      EXPECT_EQ(test::reference::Sha256(text),
                FromHex(vector.at("token_sha256")));
    }
    const test::Opened opened = test::OpenText(ring.get(), text);
    EXPECT_EQ(opened.status, Status::kOk);
    EXPECT_EQ(opened.timestamp, vector.at("timestamp").get<std::uint64_t>());
    EXPECT_EQ(opened.plaintext, PlaintextOf(vector));
  }
}

}  // namespace
}  // namespace fernet
