// What is measured, and under which names: report.py makes the table of them.
#include <benchmark/benchmark.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <cstdio>
#include <exception>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bare.hpp"
#include "check.hpp"
#include "our_codec.hpp"
#include "support/reference.hpp"
#include "unit/support.hpp"

namespace fernet::bench {
namespace {

using benchmark::State;
using test::Bytes;
using test::kTestIv;
using test::TestKeyBytes;

constexpr std::uint64_t kTimestamp = 1'795'478'400;
constexpr std::size_t kSizes[] = {16,   40,        64,           256,
                                  1024, 16 * 1024, kMaxPlaintext};
constexpr std::size_t kLargeSizes[] = {16 * 1024, kMaxPlaintext};

// TokenCount is how many tokens of a size are treated in turn: as many as the
// second-level cache takes easily. Even, for two keys have a half each.
constexpr std::size_t TokenCount(std::size_t size) {
  return size <= 1024 ? 64 : size <= 16 * 1024 ? 8 : 2;
}

// Values are plaintexts of one size, and their tokens, under the keys `keys` in
// turn.
struct Values {
  Values(std::size_t plaintext_size, std::initializer_list<int> keys)
      : size(plaintext_size) {
    for (std::size_t i = 0; i < TokenCount(size); ++i) {
      const int key = keys.begin()[i % keys.size()];
      plaintexts.push_back(
          test::SomeBytes(size, static_cast<std::uint32_t>(i)));
      tokens.push_back(test::reference::Seal(TestKeyBytes(key), kTimestamp,
                                             kTestIv, plaintexts.back()));
    }
  }

  std::size_t size;
  std::vector<Bytes> plaintexts;
  std::vector<std::string> tokens;
};
using SharedValues = std::shared_ptr<const Values>;

// Repeat calls `once` with the index of one value after the other. It is not to
// be inlined into by the compiler's knowledge of earlier rounds.
template <typename Function>
void Repeat(State &state, std::size_t count, std::size_t size, Function once) {
  std::size_t i = 0;
  for (auto _ : state) {
    if (!once(i)) {
      state.SkipWithError("failed");
      break;
    }
    benchmark::ClobberMemory();
    i = i + 1 == count ? 0 : i + 1;
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) *
                          static_cast<std::int64_t>(size));
}

void Register(const char *what, const std::string &variant, std::size_t size,
              std::function<void(State &)> run) {
  const std::string name =
      std::string(what) + '/' + variant + '/' + std::to_string(size);
  benchmark::RegisterBenchmark(name.c_str(), std::move(run));
}

void RegisterSeal(const std::string &variant, std::shared_ptr<Codec> codec,
                  const SharedValues &values) {
  Register("seal", variant, values->size, [=](State &state) {
    std::string out(TokenSize(values->size), '\0');
    Repeat(state, values->plaintexts.size(), values->size, [&](std::size_t i) {
      return codec->Seal(values->plaintexts[i], kTimestamp, out);
    });
  });
}

void RegisterOpen(const std::string &variant, std::shared_ptr<Codec> codec,
                  const SharedValues &values) {
  Register("open", variant, values->size, [=](State &state) {
    Bytes out(CiphertextSize(values->size));
    Repeat(state, values->tokens.size(), values->size, [&](std::size_t i) {
      std::size_t size = 0;
      return codec->Open(values->tokens[i], out, &size) && size == values->size;
    });
  });
}

std::shared_ptr<OurCodec> Ring(std::initializer_list<int> keys) {
  return std::make_shared<OurCodec>(keys);
}

void RegisterImplementations(const SharedValues &values) {
  const Bytes key = TestKeyBytes(1);
  const auto both = [&](const char *variant, std::shared_ptr<Codec> codec) {
    RegisterSeal(variant, codec, values);
    RegisterOpen(variant, codec, values);
  };
  both("ours", Ring({1}));
  both("loop", MakeSupportedLoop(key, Base64::kTable));
  both("loop, our base64", MakeSupportedLoop(key, Base64::kOurs));
  if (std::shared_ptr<Codec> intrinsics = MakeIntrinsics(key)) {
    both("intrinsics", intrinsics);
  }
  both("naive", MakeNaive(key));
}

void RegisterKeyrings(std::size_t size) {
  const auto of = [&](std::initializer_list<int> keys) {
    return std::make_shared<const Values>(size, keys);
  };
  const auto second = of({2});
  RegisterOpen("2nd of 2 keys, again", Ring({1, 2}), second);
  RegisterOpen("5th of 5 keys, again", Ring({1, 2, 3, 4, 5}), of({5}));
  // One key's token after the other's: the key that opened the last token never
  // opens the next. Of two keys, one wrong one is tried for each token; of
  // five, all four.
  RegisterOpen("2 keys in turn", Ring({1, 2}), of({2, 1}));
  RegisterOpen("5th and 4th of 5 keys in turn", Ring({1, 2, 3, 4, 5}),
               of({5, 4}));

  Register("verify", "ours", size, [=, ring = Ring({1, 2})](State &state) {
    Repeat(state, second->tokens.size(), size,
           [&](std::size_t i) { return ring->Verify(second->tokens[i]); });
  });
  Register("rotate", "ours", size, [=, ring = Ring({1, 2})](State &state) {
    std::string out(TokenSize(size), '\0');
    Repeat(state, second->tokens.size(), size, [&](std::size_t i) {
      std::size_t written = 0;
      return ring->Rotate(second->tokens[i], out, &written);
    });
  });
}

//
// The stages of a token, each alone
//

// PreparedTestKey is what the core prepares for a key.
struct PreparedTestKey {
  PreparedTestKey() {
    Key key;
    test::LoadKey(TestKeyBytes(1), &key);
    if (algorithms.Fetch() != Status::kOk ||
        prepared.Prepare(algorithms, key) != Status::kOk) {
      throw std::runtime_error("a key cannot be prepared");
    }
  }

  Algorithms algorithms;
  PreparedKey prepared;
};

void RegisterStages(std::size_t size) {
  const auto key = std::make_shared<PreparedTestKey>();
  const std::size_t body_size = CiphertextSize(size);
  Register("stage", "AES encrypt", size, [=](State &state) {
    Bytes body = test::SomeBytes(body_size);
    Repeat(state, 1, size, [&](std::size_t) {
      return key->prepared.BeginEncryption(kTestIv) &&
             key->prepared.EncryptBlocks(body);
    });
  });
  Register("stage", "AES decrypt", size, [=](State &state) {
    const Bytes body = test::SomeBytes(body_size);
    Bytes out(body_size);
    Repeat(state, 1, size, [&](std::size_t) {
      return key->prepared.BeginDecryption(kTestIv) &&
             key->prepared.DecryptBlocks(body, out.data());
    });
  });
  Register("stage", "HMAC", size, [=](State &state) {
    const Bytes signed_part = test::SomeBytes(kHeaderSize + body_size);
    EVP_MD_CTX *const scratch = key->algorithms.mac_scratch.get();
    Hmac hmac;
    Repeat(state, 1, size, [&](std::size_t) {
      return key->prepared.BeginMac(scratch) &&
             PreparedKey::AddToMac(scratch, signed_part) &&
             key->prepared.FinishMac(scratch, hmac);
    });
  });
  const Bytes binary = test::SomeBytes(kHeaderSize + body_size + kHmacSize);
  const std::string text = test::reference::Encode(binary);
  Register("stage", "base64 encode", size, [=](State &state) {
    std::string out(text.size(), '\0');
    Repeat(state, 1, size, [&](std::size_t) {
      base64url::Encode(binary, out);
      return true;
    });
  });
  Register("stage", "base64 decode", size, [=](State &state) {
    Bytes out(binary.size());
    const Text digits = Text(text).first(text.find_last_not_of('=') + 1);
    Repeat(state, 1, size, [&](std::size_t) {
      return base64url::Decode(digits, out) == base64url::kNoOffset;
    });
  });
}

void RegisterIvs() {
  Register("iv", "RandomBuffer", kIvSize, [](State &state) {
    auto ivs = std::make_unique<RandomBuffer>();
    std::array<std::uint8_t, kIvSize> iv;
    Repeat(state, 1, kIvSize, [&](std::size_t) { return ivs->Take(iv); });
  });
  Register("iv", "RAND_bytes", kIvSize, [](State &state) {
    std::array<std::uint8_t, kIvSize> iv;
    Repeat(state, 1, kIvSize, [&](std::size_t) {
      return RAND_bytes(iv.data(), static_cast<int>(iv.size())) == 1;
    });
  });
}

void RegisterBare(std::size_t size) {
  const auto bare = std::make_shared<Bare>(TestKeyBytes(1));
  const auto values =
      std::make_shared<const Values>(size, std::initializer_list<int>{1});
  const auto seal = [=](State &state, std::size_t text_size) {
    std::string text(text_size, '\0');
    Hmac hmac;
    Repeat(state, values->plaintexts.size(), size, [&](std::size_t i) {
      return bare->Seal(values->plaintexts[i], kTestIv, text, hmac.data());
    });
  };
  Register("seal", "bare", size, [=](State &state) { seal(state, 0); });
  Register("seal", "bare, our base64", size,
           [=](State &state) { seal(state, base64url::EncodedSize(size)); });
  // Any bytes will do for a ciphertext: nothing judges what they decrypt to.
  Register("open", "bare", size, [=](State &state) {
    Bytes out(size);
    Hmac hmac;
    Repeat(state, values->plaintexts.size(), size, [&](std::size_t i) {
      return bare->Open(values->plaintexts[i], kTestIv, out.data(),
                        hmac.data());
    });
  });
  Register("open", "bare, our base64", size, [=](State &state) {
    Bytes out(size);
    Hmac hmac;
    Repeat(state, values->tokens.size(), size, [&](std::size_t i) {
      const Text digits = Text(values->tokens[i])
                              .first(base64url::EncodedSize(size) -
                                     (size % 3 == 0 ? 0 : 3 - size % 3));
      return bare->OpenText(digits, kTestIv, out.data(), hmac.data());
    });
  });
}

void RegisterAll() {
  for (const std::size_t size : kSizes) {
    RegisterImplementations(
        std::make_shared<const Values>(size, std::initializer_list<int>{1}));
    RegisterKeyrings(size);
    RegisterStages(size);
  }
  for (const std::size_t size : kLargeSizes) {
    RegisterBare(size);
  }
  RegisterIvs();
}

}  // namespace
}  // namespace fernet::bench

int main(int argc, char **argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 1;
  }
  benchmark::AddCustomContext("openssl", OpenSSL_version(OPENSSL_VERSION));
  benchmark::AddCustomContext("compiler", __VERSION__);
  try {
    fernet::bench::CheckAll();
    fernet::bench::RegisterAll();
  } catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
