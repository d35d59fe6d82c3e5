#include "pg/session/statement_text.hpp"

#include <cstring>

#include "core/ascii.hpp"
#include "core/key.hpp"
#include "pg/server/boundary.hpp"

namespace fernet::pg {
namespace {

// Shorter parts would often be found by chance; a part of a key that is this
// short reveals nothing.
constexpr std::size_t kShortestPart = 8;

bool Contains(const char *text, std::span<const char> part) {
  return part.size() >= kShortestPart &&
         memmem(text, strlen(text), part.data(), part.size()) != nullptr;
}

// HoldsAnyPart looks for each key of the list separately, because the statement
// may have concatenated the list.
bool HoldsAnyPart(const char *text, std::span<const char> value) {
  while (!value.empty()) {
    std::size_t length = 0;
    while (length < value.size() && value[length] != ',') {
      ++length;
    }
    if (Contains(text, TrimSpace(value.first(length)))) {
      return true;
    }
    value = value.subspan(length < value.size() ? length + 1 : length);
  }
  return false;
}

// OverwriteActivity puts kWithheldText into this backend's slot of
// pg_stat_activity, after blanks over the whole slot: a shorter text alone
// would leave the tail of the old one in shared memory.
void OverwriteActivity() {
  const auto size = static_cast<std::size_t>(pgstat_track_activity_query_size);
  auto *const blanks =
      static_cast<char *>(palloc_extended(size, MCXT_ALLOC_NO_OOM));
  if (blanks != nullptr) {
    memset(blanks, ' ', size - 1);
    blanks[size - 1] = '\0';
    pgstat_report_activity(STATE_RUNNING, blanks);
    pfree(blanks);
  }
  pgstat_report_activity(STATE_RUNNING, kWithheldText);
}

}  // namespace

void WithholdStatementText() {
  // Null outside of a statement, for example while the startup packet is read.
  if (debug_query_string == nullptr) {
    return;
  }
  debug_query_string = kWithheldText;
  OverwriteActivity();
}

void WithholdStatementTextWith(const char *value) {
  if (debug_query_string != nullptr &&
      HoldsAnyPart(debug_query_string,
                   std::span<const char>(value, strlen(value)))) {
    WithholdStatementText();
  }
}

}  // namespace fernet::pg
