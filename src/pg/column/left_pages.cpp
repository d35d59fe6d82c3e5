#include "pg/column/left_pages.hpp"

#include <algorithm>
#include <utility>

namespace fernet::pg {
namespace {

constexpr int kFirstRoom = 64;
constexpr int kMostRoom = 65536;  // ranges: a megabyte

}  // namespace

void LeftPages::Add(Oid table, BlockNumber page) {
  Range *const last = count_ > 0 ? &ranges_[count_ - 1] : nullptr;
  const bool is_near =
      last != nullptr && last->table == table && page >= last->pages.from;
  if (is_near && (page <= last->pages.end || count_ >= kMostRoom)) {
    last->pages.end = std::max(last->pages.end, page + 1);
    return;
  }
  if (ranges_ == nullptr || count_ == room_) {
    room_ = std::max(2 * room_, kFirstRoom);
    const auto size = static_cast<Size>(room_) * sizeof(Range);
    ranges_ = static_cast<Range *>(ranges_ == nullptr
                                       ? MemoryContextAlloc(memory_, size)
                                       : repalloc(ranges_, size));
  }
  ranges_[count_++] = {table, {page, page + 1}};
}

void LeftPages::Sort() {
  std::sort(ranges_, ranges_ + count_, [](const Range &a, const Range &b) {
    return a.table != b.table ? a.table < b.table : a.pages.from < b.pages.from;
  });
  int kept = 0;
  for (int i = 1; i < count_; ++i) {
    Range *const last = &ranges_[kept];
    const Range &next = ranges_[i];
    if (next.table == last->table && next.pages.from <= last->pages.end) {
      last->pages.end = std::max(last->pages.end, next.pages.end);
    } else {
      ranges_[++kept] = next;
    }
  }
  count_ = std::min(count_, kept + 1);
}

std::int64_t LeftPages::pages() const {
  std::int64_t pages = 0;
  for (const Range &range : ranges()) {
    pages += range.pages.end - range.pages.from;
  }
  return pages;
}

LeftPages::Position LeftPages::Mark() const {
  return {count_, count_ > 0 ? ranges_[count_ - 1].pages.end : 0};
}

void LeftPages::ReturnTo(Position position) {
  count_ = position.count;
  if (count_ > 0) {
    ranges_[count_ - 1].pages.end = position.end;
  }
}

void LeftPages::Take(LeftPages *other) {
  Clear();
  ranges_ = std::exchange(other->ranges_, nullptr);
  count_ = std::exchange(other->count_, 0);
  room_ = std::exchange(other->room_, 0);
}

void LeftPages::Clear() {
  if (ranges_ != nullptr) {
    pfree(ranges_);
  }
  ranges_ = nullptr;
  count_ = 0;
  room_ = 0;
}

}  // namespace fernet::pg
