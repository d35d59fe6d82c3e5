#include "core/secret_pages.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <span>
#include <string>

#include "unit/support.hpp"

namespace fernet {
namespace {

std::span<std::uint8_t> BytesOf(const SecretPages &pages, std::size_t size) {
  return {static_cast<std::uint8_t *>(pages.address), size};
}

// KernelFlags is the kernel's VmFlags of the mapping at `address`, such as
// " rd wr mr mw me ac lo dd wf ", or nothing if the kernel does not show them.
std::string KernelFlags(const void *address) {
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  std::ifstream smaps("/proc/self/smaps");
  std::string line;
  bool inside = false;
  while (std::getline(smaps, line)) {
    std::uintptr_t start = 0;
    std::uintptr_t end = 0;
    const char *const stop = line.data() + line.size();
    const auto dash = std::from_chars(line.data(), stop, start, 16);
    if (dash.ptr != stop && *dash.ptr == '-' &&
        std::from_chars(dash.ptr + 1, stop, end, 16).ec == std::errc()) {
      inside = start <= wanted && wanted < end;
    }
    if (inside && line.starts_with("VmFlags:")) {
      return line.substr(std::strlen("VmFlags:")) + " ";
    }
  }
  return "";
}

TEST(SecretPages, AreZeroAndWritable) {
  const SecretPages pages = SecretPages::Map(10'000);
  ASSERT_NE(pages.address, nullptr);
  EXPECT_TRUE(test::AllZero(BytesOf(pages, 10'000)));
  std::ranges::fill(BytesOf(pages, 10'000), 0xee);
  EXPECT_EQ(BytesOf(pages, 10'000).back(), 0xee);
}

TEST(SecretPages, AreWholePages) {
  const SecretPages pages = SecretPages::Map(1);
  ASSERT_NE(pages.address, nullptr);
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(pages.address) % page, 0u);
}

TEST(SecretPages, ReportTheProtectionsTheKernelHasSet) {
  const SecretPages pages = SecretPages::Map(4096);
  ASSERT_NE(pages.address, nullptr);
  const std::string flags = KernelFlags(pages.address);
  if (flags.empty() || !test::ForkWipesPages()) {
    GTEST_SKIP() << "this platform does not tell the flags of a mapping";
  }
  const auto has = [&flags](const char *flag) {
    return flags.find(flag) != std::string::npos;
  };
  EXPECT_EQ(pages.left_out_of_dumps, has(" dd ")) << flags;
  EXPECT_EQ(pages.locked, has(" lo ")) << flags;
  EXPECT_EQ(pages.wiped_on_fork, has(" wf ")) << flags;
}

#ifdef __linux__
TEST(SecretPages, AreLeftOutOfDumpsAndWipedOnForkOnLinux) {
  const SecretPages pages = SecretPages::Map(4096);
  EXPECT_TRUE(pages.left_out_of_dumps);
  EXPECT_TRUE(pages.wiped_on_fork);
}
#endif

TEST(SecretPages, AreZeroInAForkedChildAndStayInTheParent) {
  constexpr std::size_t kSize = 3 * 4096;
  const SecretPages pages = SecretPages::Map(kSize);
  ASSERT_NE(pages.address, nullptr);
  if (!pages.wiped_on_fork || !test::ForkWipesPages()) {
    GTEST_SKIP() << "this platform does not wipe pages on fork";
  }
  std::ranges::fill(BytesOf(pages, kSize), 0xee);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    _exit(test::AllZero(BytesOf(pages, kSize)) ? 0 : 1);
  }
  int child_status = -1;
  ASSERT_EQ(waitpid(child, &child_status, 0), child);
  EXPECT_EQ(child_status, 0);
  EXPECT_EQ(BytesOf(pages, kSize).front(), 0xee);
  EXPECT_EQ(BytesOf(pages, kSize).back(), 0xee);
}

TEST(SecretPages, ReportThatTheyCouldNotBeLocked) {
  // In a child, so that only the child gives up the right to lock memory.
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    constexpr rlimit kNothing = {0, 0};
    if (setrlimit(RLIMIT_MEMLOCK, &kNothing) != 0 ||
        (geteuid() == 0 && setuid(65534) != 0)) {
      _exit(2);
    }
    const SecretPages pages = SecretPages::Map(4096);
    _exit(pages.address != nullptr && !pages.locked ? 0 : 1);
  }
  int child_status = -1;
  ASSERT_EQ(waitpid(child, &child_status, 0), child);
  EXPECT_EQ(child_status, 0);
}

TEST(SecretPages, AreNullWhenThereIsNoMemory) {
  const SecretPages pages = SecretPages::Map(SIZE_MAX / 2);
  EXPECT_EQ(pages.address, nullptr);
  EXPECT_FALSE(pages.left_out_of_dumps);
  EXPECT_FALSE(pages.locked);
  EXPECT_FALSE(pages.wiped_on_fork);
}

}  // namespace
}  // namespace fernet
