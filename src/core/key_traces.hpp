// Keys in a text: how to find what is one, or nearly one, and how to overwrite
// it without changing the length of the text or the rest of it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/key.hpp"
#include "core/key_spelling.hpp"

namespace fernet {

// KeyTraces is what is to be overwritten: up to kMaxKeys runs, each of 32 to
// 2816 characters of base64 (either alphabet) or hexadecimal, and the '=' after
// them. A key that was mistyped or encoded otherwise is such a run too, and as
// secret; so are keys without a comma between them. Of a run only a hash of its
// first 32 characters is kept. Each member takes time in proportion to the
// text, whatever is in it.
class KeyTraces {
 public:
  bool empty() const noexcept { return size_ == 0; }

  // AddValue takes every run of `value`, which was given for a setting. It
  // looks at the first 64 KiB.
  void AddValue(std::span<const char> value) noexcept;

  // AddStatement takes what the text of a statement gives away before the
  // statement has run: if `text` speaks of a setting of ours, each run that is
  // a key, and those in the literal after SET fernet.x or set_config('fernet.x'
  // whether they are keys or not.
  void AddStatement(std::span<const char> text) noexcept;

  // Overwrite puts asterisks in place of the runs wherever they occur in
  // `text`, inside of longer runs too, as they are and as SQL can spell them
  // (see key_spelling.hpp). Returns whether there were any.
  bool Overwrite(std::span<char> text) const noexcept;

  // OccurIn says whether Overwrite would find something.
  bool OccurIn(std::span<const char> text) const noexcept;

 private:
  void Add(std::span<const char> run) noexcept;
  // Find is the index of `hash`, or size_.
  std::uint32_t Find(std::uint64_t hash) const noexcept;
  std::span<const char> FirstIn(std::span<const char> text,
                                Spelling spelling) const noexcept;
  bool Overwrite(std::span<char> text, Spelling spelling) const noexcept;

  std::uint32_t size_ = 0;
  std::array<std::uint64_t, kMaxKeys> hashes_{};
  // How many characters each run had.
  std::array<std::uint16_t, kMaxKeys> sizes_{};
  // One bit for each hash, by its first bits: most of a text needs no more.
  std::array<std::uint64_t, 64> filter_{};
};

}  // namespace fernet
