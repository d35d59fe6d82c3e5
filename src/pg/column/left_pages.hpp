// The pages on which a pass has left rows behind.
#pragma once

#include "pg/column/page_scan.hpp"
#include "pg/server/boundary.hpp"

namespace fernet::pg {

// LeftPages lists ranges of pages. It has a bounded size: when it is full, the
// last range grows over what lies between.
class LeftPages {
 public:
  struct Range {
    Oid table;
    PageRange pages;
  };

  // `memory` outlives the list.
  explicit LeftPages(MemoryContext memory) : memory_(memory) {}

  // Add adds the page, which may be there already. The list stays short if they
  // come in ascending order.
  void Add(Oid table, BlockNumber page);

  // Sort puts the ranges in order, each page once.
  void Sort();

  bool empty() const { return count_ == 0; }
  std::span<const Range> ranges() const {
    return {ranges_, static_cast<std::size_t>(count_)};
  }

  std::int64_t pages() const;

  // Mark and ReturnTo undo what an attempt has added.
  struct Position {
    int count;
    BlockNumber end;  // of the last range
  };
  Position Mark() const;
  void ReturnTo(Position position);

  // Take moves the list out of `other`, which is empty then. Clear forgets it.
  void Take(LeftPages *other);
  void Clear();

 private:
  MemoryContext memory_;
  Range *ranges_ = nullptr;
  int count_ = 0;
  int room_ = 0;
};

}  // namespace fernet::pg
