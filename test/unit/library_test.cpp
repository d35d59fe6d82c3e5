#include "core/library.hpp"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

#include <string_view>

#include "unit/support.hpp"

namespace fernet {
namespace {

TEST(Library, NamesTheVersionThatIsLoaded) {
  EXPECT_TRUE(std::string_view(CryptoLibraryVersion()).starts_with("OpenSSL "));
}

TEST(Library, SaysWhetherFipsIsRequired) {
  if (EVP_default_properties_is_fips_enabled(nullptr) == 1) {
    GTEST_SKIP() << "it is, on this machine";
  }
  EXPECT_FALSE(IsFipsRequired());
  EXPECT_TRUE(HasAlgorithms());
  // Without a FIPS provider, as on most machines, nothing is left to fetch.
  ASSERT_EQ(EVP_default_properties_enable_fips(nullptr, 1), 1);
  const bool is_required = IsFipsRequired();
  const bool has_algorithms = HasAlgorithms();
  const bool is_available = OSSL_PROVIDER_available(nullptr, "fips") == 1;
  ASSERT_EQ(EVP_default_properties_enable_fips(nullptr, 0), 1);
  EXPECT_TRUE(is_required);
  EXPECT_EQ(has_algorithms, is_available);
  EXPECT_FALSE(IsFipsRequired());
  EXPECT_TRUE(HasAlgorithms());
  EXPECT_TRUE(test::ErrorQueueIsEmpty());
}

}  // namespace
}  // namespace fernet
