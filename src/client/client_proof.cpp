#include "client/client_proof.hpp"

#include <algorithm>
#include <mutex>

#include "client/columns.hpp"
#include "client/jobs.hpp"
#include "client/read_here.hpp"
#include "client/text.hpp"
#include "client/writers.hpp"

namespace fernet::client {
namespace {

constexpr int kMostStarts = 5;
constexpr std::size_t kTablesPerLock = 50;
constexpr std::int64_t kSmallestShared = std::int64_t{16} << 20;

// Everything that is read, with the partitions.
constexpr const char *kTree =
    "SELECT coalesce(string_agg(t.oid::text, ',' ORDER BY t.oid), '') FROM ("
    " SELECT r.oid FROM unnest($1::oid[]) AS r(oid) UNION SELECT p.relid"
    "  FROM unnest($1::oid[]) AS r(oid), pg_partition_tree(r.oid) AS p) AS t";

// Those that LOCK takes.
constexpr const char *kLockable =
    "SELECT string_agg(t.name, ', ') FROM (SELECT format('%I.%I', n.nspname,"
    "  c.relname), row_number() OVER (ORDER BY c.oid) / $2::int"
    "  FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    "  WHERE c.oid = ANY ($1::oid[]) AND c.relkind IN ('r', 'p')"
    "  AND has_table_privilege(c.oid, 'SELECT')) AS t(name, share)"
    " GROUP BY t.share";

// Whoever waits to alter a table stands before our other sessions, and behind
// the lock of the first: without a limit, all would wait for each other.
constexpr const char *kShortWait = "SET LOCAL lock_timeout = '5s'";

// Moved is thrown when tables come or go while the proof begins.
struct Moved {};

class Proof {
 public:
  Proof(Login *login, const Keys &keys, const Options &options,
        Display *display, const std::string &database, bool elsewhere_only)
      : login_(login),
        keys_(keys),
        options_(options),
        display_(display),
        database_(database),
        elsewhere_only_(elsewhere_only) {}

  ClientProof Prove() {
    for (int start = 1;; ++start) {
      out_ = {};
      try {
        Wait();
        Lock();
        ReadAll();
        AddUnseen();
        return std::move(out_);
      } catch (const Moved &) {
        if (start == kMostStarts) {
          return Failed({"ERROR", "55006",
                         "tables come and go, or are locked, all the time", "",
                         "Run this again."});
        }
      } catch (const ConnectionError &error) {
        if (start == kMostStarts) {
          return Failed({"FATAL", "08006", error.what(), "", ""});
        }
      } catch (const ServerError &error) {
        // The snapshot ends with the session that has taken it.
        if (!IsLost() || start == kMostStarts) {
          return Failed(error.message());
        }
      }
    }
  }

 private:
  static ClientProof Failed(const ServerMessage &message) {
    return {.found = {}, .not_proved = {message}};
  }

  bool IsLost() const {
    try {
      session_->Query("ROLLBACK");
      return false;
    } catch (const ConnectionError &) {
      return true;
    }
  }

  Catalog ListTables() const {
    Catalog catalog = ReadCatalog(session_.get(), options_);
    if (elsewhere_only_) {
      std::erase_if(catalog.tables,
                    [](const Table &table) { return !IsElsewhere(table); });
    }
    return catalog;
  }

  static std::vector<std::string> Oids(const Catalog &catalog) {
    std::vector<std::string> oids;
    for (const Table &table : catalog.tables) {
      oids.push_back(table.oid);
    }
    return oids;
  }

  std::string Tree(const Catalog &catalog) const {
    return session_->Query(kTree, {ArrayLiteral(Oids(catalog))}).Text(0, 0);
  }

  void Wait() {
    session_ = OpenPatiently(login_, database_);
    catalog_ = ListTables();
    tree_ = Tree(catalog_);
    WaitForWriters(session_.get(), Oids(catalog_), !options_.limits_tables());
  }

  // Lock keeps the tables as they are, then takes the snapshot, and throws
  // Moved if they are others now.
  void Lock() {
    session_->Query("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY");
    const Result lists = session_->Query(
        kLockable,
        {ArrayLiteral(Oids(catalog_)), std::to_string(kTablesPerLock)});
    session_->Query("COMMIT");
    session_->Query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    // SET takes no snapshot, as SELECT would.
    session_->Query(kShortWait);
    for (int row = 0; row < lists.rows(); ++row) {
      try {
        session_->Query("LOCK TABLE " + lists.Text(row, 0) +
                        " IN ACCESS SHARE MODE");
      } catch (const ServerError &error) {
        if (error.Is("42P01") || error.Is("55P03")) {
          throw Moved();
        }
        throw;
      }
    }
    snapshot_ = session_->Query("SELECT pg_export_snapshot()").Text(0, 0);
    const Catalog now = ListTables();
    if (Tree(now) != tree_) {
      throw Moved();
    }
    catalog_ = now;
    out_.has_temporary = HasOthersTemporary(session_.get());
  }

  // Part is a table, or pages of one.
  struct Part {
    const Table *table;
    std::string where;  // SQL, or empty
    double weight;
  };

  // Parts cuts heaps that would keep one job busy after the others.
  std::vector<Part> Parts() const {
    std::vector<Part> parts;
    for (const Table &table : catalog_.tables) {
      const bool is_large = table.kind == 'r' && !IsElsewhere(table) &&
                            table.bytes >= kSmallestShared;
      const int slices = is_large ? options_.jobs : 1;
      const std::int64_t pages =
          slices == 1 ? 0
                      : session_
                            ->Query(
                                "SELECT pg_relation_size($1::oid)"
                                " / current_setting('block_size')::bigint",
                                {table.oid})
                            .Number(0, 0);
      for (int slice = 0; slice < slices; ++slice) {
        std::string where;
        if (slice > 0) {
          where = " WHERE ctid >= '(" + std::to_string(pages * slice / slices) +
                  ",0)'";
        }
        if (slice + 1 < slices) {
          where +=
              (slice == 0 ? " WHERE" : " AND") +
              (" ctid < '(" + std::to_string(pages * (slice + 1) / slices)) +
              ",0)'";
        }
        parts.push_back(
            {&table, where, static_cast<double>(table.bytes + 8192) / slices});
      }
    }
    return parts;
  }

  void ReadAll() {
    std::vector<std::unique_ptr<ValueReader>> readers;
    const std::vector<Part> parts = Parts();
    const std::size_t pieces = parts.size();
    const std::size_t jobs =
        std::min(pieces, static_cast<std::size_t>(options_.jobs));
    double weight = 0;
    for (const Part &part : parts) {
      weight += part.weight;
    }
    for (std::size_t job = 0; job < jobs; ++job) {
      readers.push_back(std::make_unique<ValueReader>(keys_));
    }
    display_->Begin(jobs, pieces, weight, false);
    Jobs work(
        {.open = [this] { return OpenReader(); },
         .run =
             [&](Connection *session, std::size_t piece, std::size_t job) {
               Read(session, parts[piece], job, readers[job].get());
             },
         .lost =
             [&](std::size_t piece, const std::string &why) {
               throw ServerError({"FATAL", "08006",
                                  parts[piece].table->name + ": " + why, "",
                                  ""});
             },
         .meanwhile = [this] { display_->Draw(); }});
    try {
      work.Run(jobs, pieces);
    } catch (...) {
      display_->End();
      throw;
    }
    display_->End();
  }

  std::unique_ptr<Connection> OpenReader() const {
    std::unique_ptr<Connection> session = OpenPinned(login_, database_);
    session->Query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    session->Query("SET TRANSACTION SNAPSHOT '" + snapshot_ + '\'');
    session->Query(kShortWait);
    return session;
  }

  void Read(Connection *session, const Part &part, std::size_t job,
            ValueReader *reader) {
    display_->Set(job, {.what = part.table->name,
                        .state = "reads again",
                        .process = session->process(),
                        .weight = part.weight});
    std::vector<Found> found =
        ReadTable(session, reader, keys_, *part.table, part.where);
    display_->Done(job, 0);
    const std::lock_guard lock(mutex_);
    out_.found.insert(out_.found.end(), std::make_move_iterator(found.begin()),
                      std::make_move_iterator(found.end()));
  }

  void AddUnseen() {
    const bool can_see = CanSeeWriters(session_.get());
    if (options_.accept_unseen_writers) {
      if (!can_see) {
        display_->Tell(
            "warning: this role cannot see all transactions: it is "
            "taken on your word that none may still write an old "
            "value");
      }
      return;
    }
    if (!can_see) {
      out_.not_proved.push_back(
          {"ERROR", "42501", "this role cannot see all transactions",
           "Its tables were read, but somebody may still write an old value.",
           "GRANT pg_read_all_stats to the role. Or make sure that no "
           "transaction from before the rotation is open, then say "
           "--accept-unseen-writers."});
    }
    std::string names;
    for (const Table &table : catalog_.tables) {
      const bool is_left_out =
          std::find(options_.except.begin(), options_.except.end(),
                    table.name) != options_.except.end();
      if (table.elsewhere.hides_writers && !is_left_out) {
        names += (names.empty() ? "" : ", ") + table.name;
      }
    }
    if (!names.empty()) {
      out_.not_proved.push_back(
          {"ERROR", "55000",
           "some tables were read, but it cannot be seen from here who may "
           "still write an old value to them",
           "Foreign tables and tables of Citus: " + names + '.',
           "Make sure that no transaction from before the rotation is open "
           "there, then say --accept-unseen-writers."});
    }
  }

  Login *const login_;
  const Keys &keys_;
  const Options &options_;
  Display *const display_;
  const std::string &database_;
  const bool elsewhere_only_;
  std::unique_ptr<Connection> session_;
  Catalog catalog_ = {};
  std::string tree_;
  std::string snapshot_;
  std::mutex mutex_;
  ClientProof out_;
};

}  // namespace

ClientProof ProveHere(Login *login, const Keys &keys, const Options &options,
                      Display *display, const std::string &database,
                      bool elsewhere_only) {
  return Proof(login, keys, options, display, database, elsewhere_only).Prove();
}

}  // namespace fernet::client
