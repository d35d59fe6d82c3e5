#include "pg/statement_text.hpp"

#include <cstring>

#include "core/ascii.hpp"
#include "core/key.hpp"
#include "pg/boundary.hpp"

namespace fernet::pg {
namespace {

constexpr const char *kWithheld = "<statement with a Fernet key withheld>";

// Shorter parts are too likely to be found by chance; a part of a key that is
// this short gives nothing away.
constexpr std::size_t kShortestPart = 8;

bool Contains(const char *text, std::span<const char> part) {
  return part.size() >= kShortestPart &&
         memmem(text, strlen(text), part.data(), part.size()) != nullptr;
}

// HoldsAnyPart looks for each key of the list apart, for the statement may have
// put the list together.
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

// OverwriteActivity writes blanks over the whole of this backend's slot in
// pg_stat_activity first: a shorter text alone would leave the tail of the old
// one in shared memory.
void OverwriteActivity() {
  static char blanks[1024];
  memset(blanks, ' ', sizeof blanks - 1);
  blanks[sizeof blanks - 1] = '\0';
  pgstat_report_activity(STATE_RUNNING, blanks);
  pgstat_report_activity(STATE_RUNNING, kWithheld);
}

}  // namespace

void HideStatementText(const char *value) {
  if (debug_query_string == nullptr ||
      !HoldsAnyPart(debug_query_string,
                    std::span<const char>(value, strlen(value)))) {
    return;
  }
  debug_query_string = kWithheld;
  OverwriteActivity();
}

}  // namespace fernet::pg
