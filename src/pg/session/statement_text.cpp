#include "pg/session/statement_text.hpp"

#include <cstring>

#include "pg/server/boundary.hpp"

namespace fernet::pg {
namespace {

constexpr const char *kNoMemoryForText = "<statement with a key>";

// When the statement started in which the text of a function was seen to hold
// keys; and the text, ours to write, that was looked at last, and when.
constinit TimestampTz keys_in_function_at = 0;
constinit const char *looked_at = nullptr;
constinit TimestampTz looked_at_time = 0;

std::span<const char> View(const char *text) { return {text, strlen(text)}; }

// Writable is `text` where it belongs to the server's own copy of what a client
// has sent, which nothing executes any more once it was parsed.
std::span<char> Writable(const char *text) {
  return {const_cast<char *>(text), strlen(text)};
}

// ServesClient says whether the texts of this process come from a client. Those
// of a background worker may be constants of its program.
bool ServesClient() {
  return MyBackendType == B_BACKEND || MyBackendType == B_WAL_SENDER;
}

// ReplaceStatementText gives the log a copy in which the keys are overwritten.
void ReplaceStatementText(const KeyTraces &traces) {
  static constinit char *last = nullptr;
  const std::size_t size = strlen(debug_query_string) + 1;
  auto *const copy = static_cast<char *>(
      MemoryContextAllocExtended(TopMemoryContext, size, MCXT_ALLOC_NO_OOM));
  if (copy == nullptr) {
    debug_query_string = kNoMemoryForText;
    return;
  }
  memcpy(copy, debug_query_string, size);
  traces.Overwrite({copy, size - 1});
  if (last != nullptr && last != debug_query_string) {
    pfree(last);
  }
  last = copy;
  debug_query_string = copy;
}

bool OverwriteStatementText(const KeyTraces &traces) {
  if (debug_query_string == nullptr ||
      !traces.OccurIn(View(debug_query_string))) {
    return false;
  }
  if (ServesClient()) {
    return traces.Overwrite(Writable(debug_query_string));
  }
  ReplaceStatementText(traces);
  return true;
}

// OverwritePortal is for a cursor, and for EXECUTE: their text is not that of
// the statement which runs them.
bool OverwritePortal(const KeyTraces &traces) {
  return ServesClient() && ActivePortal != nullptr &&
         ActivePortal->sourceText != nullptr &&
         ActivePortal->sourceText != debug_query_string &&
         traces.Overwrite(Writable(ActivePortal->sourceText));
}

// NextContext goes through the tree of memory contexts, parents first.
MemoryContext NextContext(MemoryContext context) {
  if (context->firstchild != nullptr) {
    return context->firstchild;
  }
  while (context != nullptr && context->nextchild == nullptr) {
    context = context->parent;
  }
  return context == nullptr ? nullptr : context->nextchild;
}

// OverwritePlans finds the texts of prepared statements, which nothing lists,
// by what plancache.c calls their memory: it names it by the text that it has
// copied there.
void OverwritePlans(const KeyTraces &traces) {
  for (MemoryContext context = TopMemoryContext; context != nullptr;
       context = NextContext(context)) {
    if (context->ident != nullptr &&
        (strcmp(context->name, "CachedPlanSource") == 0 ||
         strcmp(context->name, "CachedPlan") == 0)) {
      traces.Overwrite(Writable(context->ident));
    }
  }
}

// BeginWriteActivity and EndWriteActivity are the server's macros
// PGSTAT_BEGIN_WRITE_ACTIVITY and PGSTAT_END_WRITE_ACTIVITY, in words that
// C++20 does not deprecate.
void BeginWriteActivity(PgBackendStatus *entry) {
  CritSectionCount = CritSectionCount + 1;
  entry->st_changecount = entry->st_changecount + 1;
  pg_write_barrier();
}

void EndWriteActivity(PgBackendStatus *entry) {
  pg_write_barrier();
  entry->st_changecount = entry->st_changecount + 1;
  CritSectionCount = CritSectionCount - 1;
}

// Activity is this backend's text in pg_stat_activity.
class Activity {
 public:
  Activity() {
    if (pgstat_track_activities && MyBEEntry != nullptr) {
      text_ = MyBEEntry->st_activity_raw;
      room_ = static_cast<std::size_t>(pgstat_track_activity_query_size);
      size_ = strnlen(text_, room_ - 1);
    }
  }

  bool IsBeginningOf(const char *text) const {
    return text != nullptr && strncmp(text, text_, size_) == 0;
  }

  // Write overwrites the keys. Where the text is the beginning of `whole`, in
  // which that is done already, it may end inside of a key. What an earlier,
  // longer text has left behind it goes as well.
  void Write(const KeyTraces &traces, const char *whole) {
    BeginWriteActivity(MyBEEntry);
    if (whole != nullptr) {
      memcpy(text_, whole, size_);
    }
    traces.Overwrite({text_, size_});
    memset(text_ + size_, 0, room_ - size_);
    EndWriteActivity(MyBEEntry);
  }

  bool exists() const { return text_ != nullptr; }

 private:
  char *text_ = nullptr;
  std::size_t room_ = 0;
  std::size_t size_ = 0;
};

// OverwriteShown is OverwriteKeys but for plans. Returns whether a text had any
// of the keys.
bool OverwriteShown(const KeyTraces &traces) {
  Activity activity;
  const bool is_beginning =
      activity.exists() && activity.IsBeginningOf(debug_query_string);
  const bool in_statement = OverwriteStatementText(traces);
  const bool in_portal = OverwritePortal(traces);
  if (activity.exists()) {
    const bool is_copy = is_beginning && debug_query_string != kNoMemoryForText;
    activity.Write(traces, is_copy ? debug_query_string : nullptr);
  }
  return in_statement || in_portal;
}

}  // namespace

void OverwriteKeys(const KeyTraces &traces) {
  if (!traces.empty() && OverwriteShown(traces)) {
    OverwritePlans(traces);
  }
}

void OverwriteKeysOf(const char *value) {
  KeyTraces traces;
  traces.AddValue(View(value));
  OverwriteKeys(traces);
}

void OverwriteKeysIn(const char *text) {
  const TimestampTz now = GetCurrentStatementStartTimestamp();
  if (text == debug_query_string) {
    // Once for all statements of a string.
    if (text == looked_at && now == looked_at_time) {
      return;
    }
    looked_at = text;
    looked_at_time = now;
  }
  KeyTraces traces;
  traces.AddStatement(View(text));
  if (traces.empty()) {
    return;
  }
  OverwriteShown(traces);
  OverwritePlans(traces);
  if (traces.OccurIn(View(text))) {
    keys_in_function_at = now;
  }
}

const char *HandOn(const char *text) {
  if (text == nullptr ||
      keys_in_function_at != GetCurrentStatementStartTimestamp()) {
    return text;
  }
  KeyTraces traces;
  traces.AddStatement(View(text));
  if (traces.empty()) {
    return text;
  }
  char *const copy = pstrdup(text);
  traces.Overwrite({copy, strlen(copy)});
  return copy;
}

}  // namespace fernet::pg
