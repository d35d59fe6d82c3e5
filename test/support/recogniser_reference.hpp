// What core/recogniser.hpp says of a value, worked out the plain way: every
// run, every alignment, every beginning, with copies of everything and without
// a line of the core. It has no bounds but those of depth.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "support/reference.hpp"

namespace fernet::test::reference {

// Found is a place. Its offset is 0 within what was decoded.
struct Found {
  std::string kind;  // "opened", "unknown", "not tried" or "remnant"
  std::size_t key = 0;
  std::uint64_t timestamp = 0;
  std::size_t offset = 0;
  std::size_t size = 0;
  std::size_t nesting = 0;
  std::size_t decodings = 0;

  auto operator<=>(const Found &) const = default;
};

// Recognise is every place in `value`, in the order of Found, each once.
// Without keys, `keys` is empty.
std::vector<Found> Recognise(const std::vector<Bytes> &keys,
                             std::string_view value);

}  // namespace fernet::test::reference
