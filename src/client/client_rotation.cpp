#include "client/client_rotation.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>

#include "client/batch.hpp"
#include "client/cancel.hpp"
#include "client/jobs.hpp"
#include "client/standbys.hpp"
#include "client/text.hpp"

namespace fernet::client {
namespace {

// A table with more than this is worth several sessions.
constexpr std::int64_t kSmallestShared = std::int64_t{16} << 20;
constexpr double kFewRows = 50000;

// Pages, and rows by their key, are read in windows that grow to what a batch
// has. Values out of line make a page much larger than it is: no window is
// larger than what has so many bytes on average.
constexpr std::int64_t kFirstPages = 16;
constexpr std::int64_t kMostPages = 4096;
constexpr std::int64_t kFirstRows = 64;
constexpr std::int64_t kMaxBytesRead = std::int64_t{1} << 20;
constexpr std::int64_t kMostBytesOnAverage = std::int64_t{16} << 20;

// PagesWith is how many of the `pages` of a table have no more bytes than may
// be read, on average.
std::int64_t PagesWith(std::int64_t pages, std::int64_t bytes) {
  return std::clamp<std::int64_t>(
      pages * kMostBytesOnAverage / std::max<std::int64_t>(1, bytes), 1,
      kMostPages);
}

// NextWindow is how many pages or rows to read after `window` of them, which
// had `rows`.
std::int64_t NextWindow(const Result &rows, std::int64_t window,
                        int batch_rows) {
  const std::int64_t by_rows = window * batch_rows / std::max(1, rows.rows());
  const std::int64_t by_bytes =
      window * kMaxBytesRead / std::max<std::int64_t>(1, rows.Bytes());
  return std::max<std::int64_t>(1, std::min({by_rows, by_bytes, 4 * window}));
}

// A table that somebody has locked is waited for about a minute.
constexpr int kTimesToRead = 100;
constexpr int kMaxPasses = 20;
constexpr std::size_t kMaxFailures = 20;

// What sessions that write begin with, besides. A plan must find rows by their
// address, and not by a scan of the table, whatever the statistics say; whoever
// waits for a lock too long is us, not the application.
constexpr const char *kPrepare =
    "SELECT set_config(s.name, s.value, false) FROM (VALUES"
    " ('client_min_messages', 'error'), ('jit', 'off'),"
    " ('enable_seqscan', 'off'), ('enable_mergejoin', 'off'),"
    " ('max_parallel_workers_per_gather', '0'),"
    " ('lock_timeout', coalesce($1, (SELECT greatest(setting::int / 2, 1)::text"
    "   FROM pg_settings WHERE name = 'deadlock_timeout'))))"
    " AS s(name, value)";

// And for a unit. A heap is read page by page beside the rows of a batch, by a
// plan that has no copy of them; but not where triggers have plans of their
// own, which that would spoil. What has a key is looked up in its index.
constexpr const char *kPrepareUnit =
    "SELECT set_config('plan_cache_mode', CASE WHEN $1::boolean"
    "  THEN 'force_generic_plan' ELSE 'auto' END, false),"
    " set_config('enable_nestloop', (NOT $1::boolean)::text, false),"
    " set_config('enable_hashjoin', $2, false)";

// RequireRights throws what the first UPDATE would.
void RequireRights(Connection *connection, const Piece &piece,
                   const Unit &unit) {
  if (!connection
           ->Query("SELECT bool_and(has_column_privilege($1::oid, c, 'SELECT')"
                   " AND has_column_privilege($1::oid, c, 'UPDATE'))"
                   " FROM unnest($2::text[]) AS c",
                   {unit.oid, ArrayLiteral(piece.columns)})
           .Truth(0, 0)) {
    throw ServerError({"ERROR", "42501",
                       "this role may not SELECT and UPDATE each of the "
                       "columns of " +
                           unit.label,
                       "", ""});
  }
}

// WithoutDetail is an error without what may hold a value.
ServerMessage WithoutDetail(ServerMessage message) {
  if (!message.sqlstate.starts_with("550") &&
      !message.sqlstate.starts_with("580")) {
    message.detail.clear();
  }
  return message;
}

}  // namespace

// Work is a unit, and how far a pass over it is. Several jobs share it.
class ClientRotation::Work {
 public:
  Work(Unit unit, Piece *piece) : unit_(std::move(unit)), piece_(piece) {}

  const Unit &unit() const { return unit_; }
  Piece *piece() const { return piece_; }

  void Begin(Connection *connection) {
    const std::lock_guard lock(mutex_);
    pages_ = left_ =
        unit_.address == Unit::Address::kKey ? 0 : Blocks(connection, unit_);
    most_pages_ = PagesWith(pages_, unit_.bytes);
    window_ = unit_.address == Unit::Address::kKey
                  ? kFirstRows
                  : std::min(kFirstPages, most_pages_);
    key_.clear();
    is_at_end_ = false;
    counts_ = {};
  }

  // Read takes the next rows, which no other job gets. False: there are none.
  bool Read(Connection *connection, int batch_rows, Result *out) {
    return unit_.address == Unit::Address::kKey
               ? ReadByKey(connection, batch_rows, out)
               : ReadPages(connection, batch_rows, out);
  }

  void Add(const BatchCounts &counts) {
    const std::lock_guard lock(mutex_);
    counts_.seen += counts.seen;
    counts_.changed += counts.changed;
    counts_.failed += counts.failed;
    counts_.left += counts.left;
    for (const RowFailure &failure : counts.failures) {
      if (counts_.failures.size() < kMaxFailures) {
        counts_.failures.push_back(failure);
      }
    }
    changed_ += counts.changed;
    seen_ = std::max(seen_, counts_.seen);
  }

  // AddLost counts a batch of which nobody knows whether it was written.
  void AddLost() {
    const std::lock_guard lock(mutex_);
    ++counts_.left;
  }

  void SetError(const ServerMessage &error) {
    const std::lock_guard lock(mutex_);
    if (error.sqlstate == "42P01") {
      is_dropped_ = true;
    } else if (!error_) {
      error_ = WithoutDetail(error);
    }
  }

  bool IsOver() {
    const std::lock_guard lock(mutex_);
    return is_dropped_ || error_.has_value();
  }

  double Share() {
    const std::lock_guard lock(mutex_);
    if (unit_.address == Unit::Address::kKey) {
      const double seen = static_cast<double>(counts_.seen) /
                          static_cast<double>(unit_.columns.size());
      return std::min(1.0, seen / std::max(unit_.rows, seen + 1));
    }
    return pages_ == 0
               ? 1
               : 1 - static_cast<double>(left_) / static_cast<double>(pages_);
  }

  // What the last pass has counted, and all of them.
  const BatchCounts &counts() const { return counts_; }
  std::int64_t changed() const { return changed_; }
  std::int64_t seen() const { return seen_; }
  bool is_dropped() const { return is_dropped_; }
  const std::optional<ServerMessage> &error() const { return error_; }

 private:
  // The last pages come first: what is written goes behind them, and is not
  // read again.
  bool ReadPages(Connection *connection, int batch_rows, Result *out) {
    std::int64_t first = 0;
    std::int64_t end = 0;
    {
      const std::lock_guard lock(mutex_);
      if (left_ == 0) {
        return false;
      }
      end = left_;
      first = left_ = std::max<std::int64_t>(0, left_ - window_);
    }
    try {
      *out = connection->QueryBinary(unit_.PagesQuery({first, end}));
    } catch (...) {
      AddLost();
      throw;
    }
    const std::lock_guard lock(mutex_);
    window_ = std::min(NextWindow(*out, end - first, batch_rows), most_pages_);
    return true;
  }

  bool ReadByKey(Connection *connection, int batch_rows, Result *out) {
    // The next batch begins where this one ends.
    const std::lock_guard lock(mutex_);
    if (is_at_end_) {
      return false;
    }
    std::vector<Argument> after;
    for (const std::string &value : key_) {
      after.push_back({.type = 25, .bytes = value});
    }
    const int limit =
        static_cast<int>(std::min<std::int64_t>(window_, batch_rows));
    *out = connection->QueryBinary(unit_.KeyQuery(after.empty(), limit), after);
    const int rows = out->rows();
    is_at_end_ = rows < limit;
    window_ = NextWindow(*out, limit, batch_rows);
    if (rows > 0) {
      key_.clear();
      for (std::size_t i = 0; i < unit_.key.size(); ++i) {
        key_.push_back(out->Text(rows - 1, static_cast<int>(i)));
      }
    }
    return rows > 0;
  }

  const Unit unit_;
  Piece *const piece_;
  std::mutex mutex_;
  std::int64_t pages_ = 0;
  std::int64_t left_ = 0;  // of them, to be read
  std::int64_t most_pages_ = 0;
  std::int64_t window_ = 0;  // pages, or rows of those with a key
  std::vector<std::string> key_;
  bool is_at_end_ = false;
  BatchCounts counts_;
  std::int64_t changed_ = 0;
  std::int64_t seen_ = 0;
  bool is_dropped_ = false;
  std::optional<ServerMessage> error_;
};

ClientRotation::ClientRotation(Login *login, const Keys &keys,
                               const Options &options, Display *display,
                               Plan *plan)
    : login_(login),
      keys_(keys),
      options_(options),
      display_(display),
      plan_(plan) {}

ClientRotation::~ClientRotation() = default;

void ClientRotation::Run() {
  const std::vector<std::unique_ptr<Work>> all = Prepare();
  std::vector<Work *> works;
  works.reserve(all.size());
  for (const auto &work : all) {
    works.push_back(work.get());
  }
  Writing writing = options_.dry_run ? Writing::kNone : Writing::kBulk;
  for (int pass = 1; !works.empty(); ++pass) {
    Pass(works, writing);
    std::int64_t changed = 0;
    std::erase_if(works, [&](Work *work) {
      changed += work->counts().changed;
      return work->IsOver() || work->counts().left == 0;
    });
    if (writing == Writing::kNone || writing == Writing::kLast) {
      break;
    }
    if (writing == Writing::kSingly) {
      writing = Writing::kLast;
    } else if (changed == 0 || pass == kMaxPasses) {
      writing = Writing::kSingly;
    }
  }
  Finish(all);
}

std::vector<std::unique_ptr<ClientRotation::Work>> ClientRotation::Prepare() {
  std::vector<std::unique_ptr<Work>> works;
  const std::unique_ptr<Connection> session =
      OpenPatiently(login_, plan_->target.database);
  for (Piece &piece : plan_->pieces) {
    if (piece.way != Way::kClient) {
      continue;
    }
    piece.rotated = piece.unchanged = piece.failed = piece.left = 0;
    piece.error.reset();
    try {
      for (Unit &unit : UnitsOf(session.get(), piece.oid, piece.columns)) {
        if (options_.dry_run) {
          RequireRights(session.get(), piece, unit);
        }
        for (const std::string &trigger : unit.triggers) {
          display_->Tell("notice: " + unit.label + ": its trigger " + trigger +
                         " is called, with the rights of this role");
        }
        works.push_back(std::make_unique<Work>(std::move(unit), &piece));
      }
    } catch (const ServerError &error) {
      if (!error.Is("42P01")) {
        piece.error = error.message();
      }
    }
  }
  return works;
}

// Slot is the work of one job on a unit.
struct ClientRotation::Slot {
  Work *work;
  double weight;
};

void ClientRotation::Pass(const std::vector<Work *> &works, Writing writing) {
  std::vector<Slot> slots;
  double weight = 0;
  const std::unique_ptr<Connection> first =
      OpenPatiently(login_, plan_->target.database);
  for (Work *const work : works) {
    const Unit &unit = work->unit();
    work->Begin(first.get());
    const bool is_large = unit.bytes >= kSmallestShared ||
                          unit.rows >= kFewRows || unit.is_foreign;
    const int jobs = is_large && writing < Writing::kSingly ? options_.jobs : 1;
    for (int i = 0; i < jobs; ++i) {
      slots.push_back({work, static_cast<double>(unit.bytes + 8192) / jobs});
      weight += slots.back().weight;
    }
  }
  const std::size_t jobs =
      std::min(slots.size(), static_cast<std::size_t>(options_.jobs));
  while (readers_.size() < jobs) {
    readers_.push_back(std::make_unique<ValueReader>(keys_));
  }
  display_->Begin(jobs, slots.size(), weight, writing != Writing::kNone);
  Jobs run({.open = [&] { return OpenToWrite(writing); },
            .run =
                [&](Connection *session, std::size_t slot, std::size_t job) {
                  RunSlot(session, slots[slot], job, writing);
                },
            .lost =
                [&](std::size_t slot, const std::string &why) {
                  slots[slot].work->SetError({"FATAL", "08006", why, "", ""});
                },
            .meanwhile = [this] { display_->Draw(); }});
  try {
    run.Run(jobs, slots.size());
  } catch (...) {
    display_->End();
    throw;
  }
  display_->End();
}

std::unique_ptr<Connection> ClientRotation::OpenToWrite(Writing writing) const {
  std::unique_ptr<Connection> session =
      OpenPinned(login_, plan_->target.database);
  session->Query(kPrepare,
                 {writing >= Writing::kSingly ? Value("60s") : std::nullopt});
  return session;
}

void ClientRotation::RunSlot(Connection *session, const Slot &slot,
                             std::size_t job, Writing writing) {
  Work *const work = slot.work;
  const Unit &unit = work->unit();
  display_->Set(job, {.what = unit.label,
                      .state = writing == Writing::kNone ? "reads" : "rotates",
                      .process = session->process(),
                      .weight = slot.weight});
  const bool by_pages =
      unit.address == Unit::Address::kPages && unit.triggers.empty();
  const bool is_abroad = unit.address == Unit::Address::kForeignPages;
  session->Query(kPrepareUnit, {by_pages ? "on" : "off",
                                by_pages || is_abroad ? "on" : "off"});
  std::int64_t rotated = 0;
  try {
    const double pause = std::strtod(
        session
            ->Query("SELECT extract(epoch FROM $1::interval)", {options_.pause})
            .Text(0, 0)
            .c_str(),
        nullptr);
    Standbys standbys(session, options_.max_lag);
    Result rows(nullptr);
    while (!work->IsOver() && Read(session, work, writing, &rows)) {
      const BatchCounts counts = RunBatch(session, work, rows, job, writing);
      rotated += counts.changed;
      display_->Update(session->process(), work->Share(),
                       writing == Writing::kNone ? "reads" : "rotates",
                       rotated);
      if (counts.changed > 0 && writing != Writing::kNone) {
        standbys.Wait();
        if (pause > 0) {
          cancel::Sleep(pause);
        }
      }
    }
  } catch (const ServerError &error) {
    work->SetError(error.message());
  }
  display_->Done(job, rotated);
}

bool ClientRotation::Read(Connection *session, Work *work, Writing writing,
                          Result *out) const {
  // Whoever writes singly waits for a minute each time.
  const int times = writing >= Writing::kSingly ? 1 : kTimesToRead;
  for (int time = 1;; ++time) {
    try {
      return work->Read(session, options_.batch_rows, out);
    } catch (const ServerError &error) {
      if (!error.Is("55P03") || time == times) {
        throw;
      }
    }
  }
}

BatchCounts ClientRotation::RunBatch(Connection *session, Work *work,
                                     const Result &rows, std::size_t job,
                                     Writing writing) {
  try {
    BatchCounts counts =
        Batch(session, work->unit(), readers_[job].get(),
              OnUnknownOf(options_.on_unknown), writing, options_.batch_rows)
            .Rotate(rows);
    work->Add(counts);
    return counts;
  } catch (const ConnectionError &) {
    work->AddLost();
    throw;
  }
}

void ClientRotation::Finish(const std::vector<std::unique_ptr<Work>> &works) {
  const std::unique_ptr<Connection> session =
      OpenPatiently(login_, plan_->target.database);
  for (const auto &work : works) {
    Piece *const piece = work->piece();
    piece->rotated += work->changed();
    piece->failed += work->counts().failed + work->counts().left;
    piece->left += work->counts().left;
    piece->unchanged += work->seen();
    if (work->error() && !piece->error) {
      piece->error = work->error();
    }
    TellFailures(session.get(), *work);
  }
  for (Piece &piece : plan_->pieces) {
    if (piece.way != Way::kClient) {
      continue;
    }
    piece.unchanged = std::max<std::int64_t>(
        0, piece.unchanged - piece.rotated - piece.failed);
    piece.is_done = !piece.error && piece.failed == 0;
    if (piece.error) {
      display_->TellMessage(piece.table, *piece.error);
    } else if (!options_.quiet) {
      display_->Print(piece.table + ": " + std::to_string(piece.rotated) +
                      (options_.dry_run ? " to rotate, " : " rotated, ") +
                      std::to_string(piece.unchanged) + " unchanged, " +
                      std::to_string(piece.failed) +
                      " failed, by this program");
    }
  }
}

void ClientRotation::TellFailures(Connection *session, const Work &work) const {
  const BatchCounts &counts = work.counts();
  for (const RowFailure &failure : counts.failures) {
    display_->Tell("warning: " + work.unit().label + ": value at " +
                   NameRow(session, work.unit(), failure.address) + ": " +
                   failure.cause);
  }
  const auto named = static_cast<std::int64_t>(counts.failures.size());
  if (counts.failed > named) {
    display_->Tell("warning: " + work.unit().label + ": " +
                   std::to_string(counts.failed - named) +
                   " more values could not be rotated");
  }
  if (counts.left > 0) {
    display_->Tell("warning: " + work.unit().label + ": " +
                   std::to_string(counts.left) +
                   " rows were changed by others all the time");
  }
}

}  // namespace fernet::client
