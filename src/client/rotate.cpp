#include "client/rotate.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <optional>
#include <set>

#include "client/cancel.hpp"
#include "client/client_proof.hpp"
#include "client/client_rotation.hpp"
#include "client/jobs.hpp"
#include "client/json.hpp"
#include "client/plan.hpp"
#include "client/read_here.hpp"
#include "client/standbys.hpp"
#include "client/text.hpp"

namespace fernet::client {
namespace {

// The smallest table that is worth a second session, and so may be rotated in
// slices.
constexpr std::int64_t kSmallestSliced = std::int64_t{16} << 20;
// The pieces of tables are limited to a job's share of the work, then to 2/3 of
// it, 2/4, and so on to 2/6, until the jobs end at the same time.
constexpr int kMostHalves = 6;
// Jobs end at the same time when the last of them has read at most a tenth
// more than its share.
constexpr int kEndsTogether = 10;
// The share of a rotation that is not the reading at its end.
constexpr double kFirstPass = 0.75;
// So often the client way begins anew when its proof finds something.
constexpr int kMaxRounds = 3;
// About so many bytes of places are named.
constexpr std::size_t kMaxDetail = 1000;

// ByServer says whether the server reads what it can.
bool ByServer(const Plan &plan, const Options &options) {
  return !plan.target.catalog.extension.empty() && options.way != "client";
}

std::int64_t BytesOf(const Catalog &catalog, const std::string &oid) {
  for (const Table &table : catalog.tables) {
    if (table.oid == oid) {
      return table.bytes;
    }
  }
  return 0;
}

// WayOf is how a table is rotated: the server can where the extension is and
// the rows are in their pages.
Way WayOf(const Plan &plan, const Options &options, const std::string &oid) {
  if (plan.target.catalog.extension.empty() || options.way == "client") {
    return Way::kClient;
  }
  if (options.way == "server") {
    return Way::kServer;
  }
  return FindElsewhere(plan.target.connection.get(), {oid}).empty()
             ? Way::kServer
             : Way::kClient;
}

void AddColumn(const Options &options, Plan *plan, const std::string &oid,
               const std::string &table, const std::string &column) {
  for (Piece &piece : plan->pieces) {
    if (piece.oid == oid) {
      if (std::find(piece.columns.begin(), piece.columns.end(), column) ==
          piece.columns.end()) {
        piece.columns.push_back(column);
      }
      return;
    }
  }
  Piece piece;
  piece.oid = oid;
  piece.table = table;
  piece.columns = {column};
  piece.bytes = BytesOf(plan->target.catalog, oid);
  piece.way = WayOf(*plan, options, oid);
  plan->pieces.push_back(std::move(piece));
}

bool IsExcepted(const Options &options, const std::string &place) {
  return std::find(options.except.begin(), options.except.end(), place) !=
         options.except.end();
}

// IsListed says whether a table, or one that it is a partition of, is among
// those that are proved at the end.
bool IsListed(Connection *connection, const Catalog &catalog,
              const Options &options, const std::string &oid) {
  const Result above = connection->Query(
      "SELECT $1::oid UNION SELECT relid::oid FROM pg_partition_ancestors($1)",
      {oid});
  for (int row = 0; row < above.rows(); ++row) {
    for (const Table &table : catalog.tables) {
      if (table.oid == above.Text(row, 0)) {
        return !IsExcepted(options, table.name);
      }
    }
  }
  return false;
}

// AddUnlisted adds the tables that were rotated, and have another name or no
// partitioned table now, so that the proof has not read them.
void AddUnlisted(Login *login, const Options &options, Plan *plan) {
  const std::unique_ptr<Connection> session =
      OpenPatiently(login, plan->target.database);
  const Catalog catalog = ReadCatalog(session.get(), options);
  std::set<std::string> seen;
  for (const Piece &piece : plan->pieces) {
    if (seen.insert(piece.oid).second &&
        session
            ->Query("SELECT EXISTS (SELECT FROM pg_class WHERE oid = $1::oid)",
                    {piece.oid})
            .Truth(0, 0) &&
        !IsListed(session.get(), catalog, options, piece.oid)) {
      plan->not_proved.push_back(
          {"ERROR", "55006",
           "nothing was proved about " + piece.table +
               ", which was renamed or detached meanwhile",
           "", "Run this again, and name it as it is called now."});
    }
  }
}

// TakeNamedColumns plans what --column names, and throws Failure for one that
// no database has, or of which nothing would be proved.
void TakeNamedColumns(const Options &options, std::vector<Plan> *plans) {
  for (const std::string &name : options.columns) {
    bool exists = false;
    for (Plan &plan : *plans) {
      const ColumnName column = FindColumn(plan.target.connection.get(), name);
      if (column.exists) {
        if (!IsListed(plan.target.connection.get(), plan.target.catalog,
                      options, column.oid) ||
            IsExcepted(options, column.table) ||
            IsExcepted(options,
                       column.table + '.' + QuoteIdentifier(column.column))) {
          throw Failure(
              "nothing would be proved about the column " + Printable(name),
              "It is not among those that -n, -t, -N, -T and --except leave.");
        }
        AddColumn(options, &plan, column.oid, column.table, column.column);
        exists = true;
      }
    }
    if (!exists) {
      throw Failure("there is no column " + name);
    }
  }
}

void FindColumns(Login *login, const Keys &keys, const Options &options,
                 Plan *plan) {
  const Target &target = plan->target;
  plan->found =
      FindTokens(login, keys, target.database, target.catalog, options);
  const std::set<std::string> generated =
      GeneratedColumns(target.connection.get());
  for (const Found &found : plan->found) {
    plan->counts.Add(found, options.on_unknown);
    if (found.status == "secondary" && CanRotate(found, generated)) {
      AddColumn(options, plan, found.oid, found.table, found.name);
    }
  }
}

// SlicesOf is how many slices of a table are no larger than a limit. There are
// no more than jobs: sessions that write to one table wait for each other when
// it grows.
int SlicesOf(const Piece &piece, int jobs, std::int64_t limit) {
  if (piece.way != Way::kServer || piece.bytes < kSmallestSliced) {
    return 1;
  }
  return static_cast<int>(
      std::min<std::int64_t>((piece.bytes + limit - 1) / limit, jobs));
}

// CutTo cuts the tables that are larger than a limit, and puts the largest
// pieces first.
std::vector<Piece> CutTo(const std::vector<Piece> &pieces, int jobs,
                         std::int64_t limit) {
  std::vector<Piece> cut;
  for (const Piece &piece : pieces) {
    const int slices = SlicesOf(piece, jobs, limit);
    for (int slice = 1; slice <= slices; ++slice) {
      cut.push_back(piece);
      cut.back().slice = slice;
      cut.back().slices = slices;
      cut.back().bytes = piece.bytes / slices;
    }
  }
  std::stable_sort(cut.begin(), cut.end(), [](const Piece &a, const Piece &b) {
    return a.bytes > b.bytes;
  });
  return cut;
}

// EndOf is how many bytes the job that ends last has read, when a job that is
// free takes the next piece.
std::int64_t EndOf(const std::vector<Piece> &pieces, int jobs) {
  std::vector<std::int64_t> read(static_cast<std::size_t>(jobs));
  for (const Piece &piece : pieces) {
    *std::min_element(read.begin(), read.end()) += piece.bytes;
  }
  return *std::max_element(read.begin(), read.end());
}

// Slice cuts the tables that would keep one job busy after all others have
// ended, into as few slices as let all jobs end at about the same time.
void Slice(int jobs, std::vector<Piece> *pieces) {
  std::int64_t sum = 0;
  for (const Piece &piece : *pieces) {
    sum += piece.bytes;
  }
  const std::int64_t share = sum / jobs + 1;
  const std::int64_t together = share + share / kEndsTogether;
  std::vector<Piece> best = CutTo(*pieces, jobs, together);
  for (int halves = 3; halves <= kMostHalves && EndOf(best, jobs) > together;
       ++halves) {
    std::vector<Piece> cut = CutTo(*pieces, jobs, together * 2 / halves + 1);
    if (EndOf(cut, jobs) < EndOf(best, jobs)) {
      best = std::move(cut);
    }
  }
  *pieces = std::move(best);
}

// Confirm asks on a terminal whether to rotate what was found.
void Confirm(const std::vector<Plan> &plans, const Options &options,
             Display *display) {
  std::set<std::string> columns;
  for (const Plan &plan : plans) {
    for (const Piece &piece : plan.pieces) {
      for (const std::string &column : piece.columns) {
        columns.insert(plan.target.database + '.' + piece.table + '.' +
                       QuoteIdentifier(column));
      }
    }
  }
  if (columns.empty() || options.yes || options.dry_run ||
      !options.columns.empty()) {
    return;
  }
  if (isatty(STDIN_FILENO) == 0 || isatty(STDERR_FILENO) == 0) {
    throw Failure("nobody has confirmed which columns to rotate",
                  "Name the columns with --column or --columns-from, or say "
                  "--yes to rotate every column in which tokens are found.");
  }
  for (const std::string &column : columns) {
    display->Tell("to rotate: " + column);
  }
  static_cast<void>(std::fprintf(
      stderr,
      "Rotation encrypts with the first key what it finds, also a "
      "token that somebody has\nput there with an old key. Are these "
      "the columns in which tokens belong? [y/N] "));
  const std::string answer = cancel::ReadLine(STDIN_FILENO);
  if (answer != "y" && answer != "Y" && answer != "yes") {
    throw Failure("nothing was rotated, since you did not say yes");
  }
}

// ServerRotation is the work on one database that its server does.
class ServerRotation {
 public:
  ServerRotation(Login *login, const Keys &keys, const Options &options,
                 Display *display, Plan *plan)
      : login_(login),
        keys_(keys),
        options_(options),
        display_(display),
        plan_(plan),
        schema_(plan->target.catalog.extension) {}

  void Run() {
    double weight = 0;
    for (Piece &piece : plan_->pieces) {
      if (piece.way == Way::kServer) {
        pieces_.push_back(&piece);
        weight += Weight(piece);
      }
    }
    const std::size_t jobs = std::min<std::size_t>(
        static_cast<std::size_t>(options_.jobs), pieces_.size());
    display_->Begin(jobs, pieces_.size(), weight, !options_.dry_run);
    Jobs work(
        {.open = [this] { return Open(); },
         .run = [this](Connection *session, std::size_t piece,
                       std::size_t job) { RunPiece(session, piece, job); },
         .lost =
             [this](std::size_t piece, const std::string &why) {
               pieces_[piece]->error = {"FATAL", "08006", why, "", ""};
               display_->TellMessage(pieces_[piece]->Label(),
                                     *pieces_[piece]->error);
             },
         .meanwhile = [this] { Watch(); }});
    try {
      work.Run(jobs, pieces_.size());
    } catch (...) {
      display_->End();
      throw;
    }
    display_->End();
  }

  // Prove asks the server to prove that the first key is enough. Tables may
  // have come and gone since the beginning.
  void Prove() {
    if (options_.limits_tables()) {
      const std::unique_ptr<Connection> session =
          OpenPatiently(login_, plan_->target.database);
      plan_->target.catalog = ReadCatalog(session.get(), options_);
    }
    for (const Table &table : plan_->target.catalog.tables) {
      if (!IsExcepted(options_, table.name) &&
          (!IsElsewhere(table) || options_.way == "server")) {
        to_prove_.push_back(&table);
      }
    }
    const std::size_t pieces = options_.limits_tables() ? to_prove_.size() : 1;
    const std::size_t jobs =
        std::min<std::size_t>(static_cast<std::size_t>(options_.jobs), pieces);
    display_->Begin(jobs, pieces, static_cast<double>(pieces), false);
    Jobs work(
        {.open = [this] { return OpenToProve(); },
         .run = [this](Connection *session, std::size_t piece,
                       std::size_t job) { ProvePiece(session, piece, job); },
         .lost =
             [this](std::size_t, const std::string &why) {
               AddNotProved({"FATAL", "08006", why, "", ""});
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

 private:
  static double Weight(const Piece &piece) {
    return static_cast<double>(piece.bytes + 8192);
  }

  std::unique_ptr<Connection> Open() const {
    std::unique_ptr<Connection> session = login_->Open(plan_->target.database);
    session->Query(
        "SELECT pg_catalog.set_config('client_min_messages', $1, "
        "false)",
        {options_.verbose ? "notice" : "warning"});
    keys_.GiveTo(session.get(), schema_);
    return session;
  }

  std::unique_ptr<Connection> OpenToProve() const {
    std::unique_ptr<Connection> session = Open();
    UseCatalogNames(session.get());
    session->Query("SELECT set_config('client_min_messages', 'notice', false)");
    session->OnNotice([this](const ServerMessage &message) {
      display_->TellMessage("database " + plan_->target.database, message);
    });
    return session;
  }

  // RunPiece leaves in the piece what has become of it.
  void RunPiece(Connection *session, std::size_t index, std::size_t job) {
    Piece &piece = *pieces_[index];
    display_->Set(job, {.what = piece.Label(),
                        .state = options_.dry_run ? "reads" : "rotates",
                        .process = session->process(),
                        .weight = Weight(piece)});
    session->OnNotice([this, &piece](const ServerMessage &message) {
      display_->TellMessage(piece.Label(), message);
    });
    try {
      // Every argument, as in FindTokens.
      const Result result = session->Query(
          "CALL " + schema_ +
              ".fernet_rotate_table($1::pg_catalog.oid::pg_catalog.regclass, "
              "$2::pg_catalog.name[], $3::pg_catalog.int4, "
              "$4::pg_catalog.interval, $5::pg_catalog.int4, "
              "$6::pg_catalog.int4, $7::pg_catalog.bool, $8::pg_catalog.text, "
              "$9::pg_catalog.interval, NULL::pg_catalog.int8, "
              "NULL::pg_catalog.int8, NULL::pg_catalog.int8)",
          {piece.oid, ArrayLiteral(piece.columns),
           std::to_string(options_.batch_rows), options_.pause,
           std::to_string(piece.slice), std::to_string(piece.slices),
           options_.dry_run ? "true" : "false", options_.on_unknown,
           options_.max_lag.empty() ? Value() : Value(options_.max_lag)});
      piece.rotated = result.Number(0, 0);
      piece.unchanged = result.Number(0, 1);
      piece.failed = result.Number(0, 2);
      piece.is_done = piece.failed == 0;
      piece.error.reset();
    } catch (const ServerError &error) {
      TakeError(error, &piece);
    }
    display_->Done(job, piece.rotated);
    PrintPiece(piece);
  }

  void TakeError(const ServerError &error, Piece *piece) const {
    if (error.Is("42P01")) {
      display_->Tell(piece->table + " was dropped meanwhile");
      piece->is_done = true;
      return;
    }
    piece->error = error.message();
    if (error.message().sqlstate.starts_with("23")) {
      // It may show the row.
      piece->error->detail.clear();
    }
    display_->TellMessage(piece->Label(), *piece->error);
  }

  void PrintPiece(const Piece &piece) const {
    if (!options_.quiet && !piece.error) {
      display_->Print(piece.Label() + ": " + std::to_string(piece.rotated) +
                      (options_.dry_run ? " to rotate, " : " rotated, ") +
                      std::to_string(piece.unchanged) + " unchanged, " +
                      std::to_string(piece.failed) + " failed");
    }
  }

  void ProvePiece(Connection *session, std::size_t index, std::size_t job) {
    const bool is_whole = !options_.limits_tables();
    const Table *const table = is_whole ? nullptr : to_prove_[index];
    display_->Set(job, {.what = is_whole ? "database " + plan_->target.database
                                         : table->name,
                        .state = "proves",
                        .process = session->process(),
                        .weight = 1});
    try {
      if (is_whole) {
        session->Query("SELECT " + schema_ +
                           ".fernet_assert_database_rotated(NULL::name[], "
                           "$1::text[], $2::text, NULL::text, true)",
                       {ExceptPlaces(), options_.on_unknown});
      } else {
        session->Query(
            "SELECT " + schema_ +
                ".fernet_assert_rotated($1::oid::regclass, NULL::name, "
                "'fail'::text, $2::text, NULL::text, true)",
            {table->oid, options_.on_unknown});
      }
    } catch (const ServerError &error) {
      AddNotProved(error.message());
    }
    display_->Done(job, 0);
  }

  Value ExceptPlaces() const {
    std::vector<std::string> places = options_.except;
    places.insert(places.end(), plan_->target.catalog.excluded.begin(),
                  plan_->target.catalog.excluded.end());
    for (const Table &table : plan_->target.catalog.tables) {
      if (IsElsewhere(table) && options_.way != "server") {
        places.push_back(table.name);
      }
    }
    return places.empty() ? Value() : Value(ArrayLiteral(places));
  }

  void AddNotProved(const ServerMessage &message) {
    const std::lock_guard lock(mutex_);
    plan_->not_proved.push_back(message);
  }

  // Watch reads how far the jobs are, if the server can tell, and shows it.
  void Watch() {
    std::unique_ptr<Connection> &session = plan_->target.connection;
    const auto now = std::chrono::steady_clock::now();
    const std::chrono::milliseconds pause(session != nullptr ? 500 : 5000);
    if (now - watched_ > pause && !cancel::IsAsked()) {
      watched_ = now;
      try {
        if (session == nullptr) {
          session = login_->Open(plan_->target.database);
          UseCatalogNames(session.get());
        }
        ReadProgress();
      } catch (const std::exception &) {
        // The jobs will tell if it matters.
        session.reset();
      }
    }
    display_->Draw();
  }

  void ReadProgress() {
    std::vector<std::string> processes;
    for (const int process : display_->Processes()) {
      processes.push_back(std::to_string(process));
    }
    if (processes.empty()) {
      return;
    }
    const Result result = plan_->target.connection->Query(
        "SELECT pid, pass, coalesce(share, 0), state, rotated FROM " + schema_ +
            ".fernet_rotation_progress WHERE pid = ANY ($1::int4[])",
        {ArrayLiteral(processes)});
    for (int row = 0; row < result.rows(); ++row) {
      const double share = std::strtod(result.Text(row, 2).c_str(), nullptr);
      const bool is_first = result.Number(row, 1) <= 1;
      display_->Update(
          static_cast<int>(result.Number(row, 0)),
          is_first ? kFirstPass * share : kFirstPass + (1 - kFirstPass) * share,
          result.Text(row, 3) == "waiting" ? "waits"
          : is_first                       ? "rotates"
                                           : "reads again",
          result.Number(row, 4));
    }
  }

  Login *const login_;
  const Keys &keys_;
  const Options &options_;
  Display *const display_;
  Plan *const plan_;
  const std::string schema_;
  std::vector<Piece *> pieces_;
  std::vector<const Table *> to_prove_;
  std::mutex mutex_;
  std::chrono::steady_clock::time_point watched_;
};

void WriteMessage(const ServerMessage &message, JsonWriter *json) {
  json->Open('{');
  json->Name("sqlstate").Text(message.sqlstate);
  json->Name("message").Text(message.message);
  json->Name("detail").TextOrNull(message.detail);
  json->Name("hint").TextOrNull(message.hint);
  json->Close('}');
}

void WritePiece(const Piece &piece, JsonWriter *json) {
  json->Open('{').Name("table").Text(piece.table).Name("columns").Open('[');
  for (const std::string &column : piece.columns) {
    json->Text(QuoteIdentifier(column));
  }
  json->Close(']');
  json->Name("way").Text(piece.way == Way::kServer ? "server" : "client");
  json->Name("slice").Number(piece.slice).Name("slices").Number(piece.slices);
  json->Name("done").Truth(piece.is_done);
  json->Name("rotated").Number(piece.rotated);
  json->Name("unchanged").Number(piece.unchanged);
  json->Name("failed").Number(piece.failed);
  if (piece.error) {
    json->Name("error");
    WriteMessage(*piece.error, json);
  }
  json->Close('}');
}

std::string DocumentOf(const std::vector<Plan> &plans, const Options &options,
                       Exit exit) {
  JsonWriter json;
  json.Open('{').Name("command").Text("rotate");
  json.Name("dry_run").Truth(options.dry_run).Name("databases").Open('[');
  for (const Plan &plan : plans) {
    json.Open('{');
    json.Name("database").Text(plan.target.database);
    json.Name("way").Text(ByServer(plan, options) ? "server" : "client");
    json.Name("pieces").Open('[');
    for (const Piece &piece : plan.pieces) {
      WritePiece(piece, &json);
    }
    json.Close(']');
    json.Name("proved").Truth(plan.is_proved);
    json.Name("not_proved").Open('[');
    for (const ServerMessage &message : plan.not_proved) {
      WriteMessage(message, &json);
    }
    json.Close(']').Close('}');
  }
  json.Close(']').Name("exit_status").Number(static_cast<int>(exit)).Close('}');
  return json.document() + '\n';
}

// Closing says what is true of a database now.
void TellEnd(const Plan &plan, const Options &options, Display *display) {
  const std::string where = options.limits_tables()
                                ? "in the tables that were named"
                                : "in the places that were read";
  for (const ServerMessage &message : plan.not_proved) {
    display->TellMessage("database " + plan.target.database, message);
  }
  if (plan.is_proved) {
    display->Print("database " + QuoteIdentifier(plan.target.database) +
                   ": every token " + where +
                   " is encrypted with the first key" +
                   (options.on_unknown == "fail"
                        ? "."
                        : ", but for those that no key decrypts."));
  } else {
    display->Print("database " + QuoteIdentifier(plan.target.database) +
                   ": something is left. Keep the old keys, and run this "
                   "again when the cause is gone.");
  }
}

// IsDryRunFine says whether nothing is known that would make the rotation end
// with something left.
bool IsDryRunFine(const Plan &plan) {
  const Counts &counts = plan.counts;
  return counts.unknown + counts.malformed + counts.not_read == 0 &&
         std::all_of(plan.pieces.begin(), plan.pieces.end(),
                     [](const Piece &piece) { return piece.is_done; });
}

// HasMoreToRotate says whether the proof has found something to rotate, in a
// column whose rotation has not failed.
bool HasMoreToRotate(const Plan &plan, const std::vector<Found> &found) {
  return std::any_of(found.begin(), found.end(), [&](const Found &one) {
    return one.status == "secondary" &&
           std::any_of(
               plan.pieces.begin(), plan.pieces.end(), [&](const Piece &piece) {
                 return piece.way == Way::kClient &&
                        (piece.is_done || piece.left > 0) &&
                        piece.oid == one.oid &&
                        std::find(piece.columns.begin(), piece.columns.end(),
                                  one.name) != piece.columns.end();
               });
  });
}

// AddProof adds what a proof of this program says.
void AddProof(ClientProof proof, const Keys &keys, const Options &options,
              Plan *plan) {
  if (!ByServer(*plan, options) && !options.limits_tables()) {
    proof.found.push_back(OutsideOfTables());
    if (proof.has_temporary) {
      proof.found.push_back(OthersTemporary());
    }
  }
  LeaveOut(plan->target.catalog, options, &proof.found);
  Counts counts;
  std::string places;
  for (const Found &one : proof.found) {
    Counts here;
    here.Add(one, options.on_unknown);
    counts.Add(here);
    if (!here.all_primary() && places.size() < kMaxDetail) {
      places += (places.empty() ? "" : ", ") + one.Place();
    }
  }
  if (!counts.all_primary()) {
    plan->not_proved.push_back({"ERROR", "PF007", Verdict(counts, keys.count()),
                                "The places are: " + places + '.', ""});
  }
  plan->not_proved.insert(plan->not_proved.end(), proof.not_proved.begin(),
                          proof.not_proved.end());
}

// RotateHere rotates and proves in the client way. In a database that both ways
// work on, the proof reads all tables, in one snapshot: a value that goes from
// one to another while each way proves its own would be seen by neither.
void RotateHere(Login *login, const Keys &keys, const Options &options,
                Display *display, Plan *plan) {
  ClientRotation rotation(login, keys, options, display, plan);
  for (int round = 1;; ++round) {
    rotation.Run();
    if (options.dry_run) {
      return;
    }
    ClientProof proof =
        ProveHere(login, keys, options, display, plan->target.database,
                  ByServer(*plan, options) && options.limits_tables());
    if (round == kMaxRounds || !HasMoreToRotate(*plan, proof.found)) {
      AddProof(std::move(proof), keys, options, plan);
      return;
    }
  }
}

bool HasWorkHere(const Plan &plan, const Options &options) {
  const std::vector<Table> &tables = plan.target.catalog.tables;
  return !ByServer(plan, options) ||
         (options.way != "server" &&
          std::any_of(tables.begin(), tables.end(), IsElsewhere)) ||
         std::any_of(
             plan.pieces.begin(), plan.pieces.end(),
             [](const Piece &piece) { return piece.way == Way::kClient; });
}

// DoPlans rotates and proves, and says how it went.
Exit DoPlans(Login *login, const Keys &keys, const Options &options,
             Display *display, std::vector<Plan> *plans) {
  bool is_fine = true;
  for (Plan &plan : *plans) {
    Slice(options.jobs, &plan.pieces);
    // Nothing is proved before all is rotated.
    ServerRotation rotation(login, keys, options, display, &plan);
    if (ByServer(plan, options)) {
      rotation.Run();
    }
    if (HasWorkHere(plan, options)) {
      RotateHere(login, keys, options, display, &plan);
    }
    if (ByServer(plan, options) && !options.dry_run) {
      rotation.Prove();
    }
    if (options.dry_run) {
      is_fine = is_fine && IsDryRunFine(plan);
      continue;
    }
    AddUnlisted(login, options, &plan);
    plan.is_proved = plan.not_proved.empty();
    TellEnd(plan, options, display);
    is_fine = is_fine && plan.is_proved;
  }
  return is_fine ? Exit::kDone : Exit::kLeft;
}

// HasToken says whether there was anything to rotate, or rotated before.
bool HasToken(const std::vector<Plan> &plans) {
  return std::any_of(plans.begin(), plans.end(), [](const Plan &plan) {
    return plan.counts.tokens() > 0 ||
           std::any_of(plan.pieces.begin(), plan.pieces.end(),
                       [](const Piece &piece) {
                         return piece.rotated + piece.unchanged > 0;
                       });
  });
}

// RequireUsable throws Failure for what would stop every job.
void RequireUsable(const Plan &plan, const Options &options) {
  if (plan.target.catalog.in_recovery) {
    throw Failure("the server is a standby, which cannot rotate",
                  "Connect to its primary server.");
  }
  Connection *const connection = plan.target.connection.get();
  if (!options.dry_run &&
      connection->Query("SHOW transaction_read_only").Text(0, 0) == "on") {
    throw Failure("the sessions of this role are read-only",
                  "The setting is default_transaction_read_only.");
  }
  if (!options.max_lag.empty()) {
    RequireSightOfStandbys(connection);
  }
  for (const std::string &interval : {options.pause, options.max_lag}) {
    if (!interval.empty()) {
      connection->Query("SELECT $1::interval", {interval});
    }
  }
}

}  // namespace

Exit Rotate(Login *login, const Keys &keys, const Options &options,
            Display *display) {
  if (keys.count() == 0) {
    throw Failure("no key was given",
                  "Set FERNET_KEY, or say --key-file=FILE: the new key first, "
                  "then a comma, then the old one.");
  }
  std::vector<Plan> plans;
  for (Target &target : OpenTargets(login, options)) {
    plans.emplace_back();
    plans.back().target = std::move(target);
    RequireUsable(plans.back(), options);
  }
  if (!options.columns.empty()) {
    TakeNamedColumns(options, &plans);
  } else {
    for (Plan &plan : plans) {
      FindColumns(login, keys, options, &plan);
      if (!options.json && !options.quiet) {
        PrintFound(plan.target, plan.found, display);
      }
    }
    Confirm(plans, options, display);
  }
  try {
    Exit exit = DoPlans(login, keys, options, display, &plans);
    if (exit == Exit::kDone && !HasToken(plans)) {
      display->Tell(
          "error: no token was found\nhint: Is this the right "
          "database?");
      exit = Exit::kLeft;
    }
    if (options.json) {
      display->PrintRaw(DocumentOf(plans, options, exit));
    }
    return exit;
  } catch (const Cancelled &) {
    if (options.json) {
      display->PrintRaw(DocumentOf(plans, options, Exit::kCancelled));
    }
    throw;
  }
}

}  // namespace fernet::client
