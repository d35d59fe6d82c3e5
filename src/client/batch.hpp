// Some rows that were read, and their new values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "client/unit.hpp"
#include "client/values.hpp"

namespace fernet::client {

// RowFailure is a row with a value that stays as it is, and why: a sentence
// without any of the value.
struct RowFailure {
  std::vector<std::string> address;
  std::string cause;
};

// BatchCounts are values, and rows that are left for another pass.
struct BatchCounts {
  std::int64_t seen = 0;
  std::int64_t changed = 0;
  std::int64_t failed = 0;
  std::int64_t left = 0;
  std::vector<RowFailure> failures;  // the first of them
};

enum class Writing : std::uint8_t {
  kNone,    // for a dry run
  kBulk,    // a statement for many rows; what somebody has locked is left
  kSingly,  // a statement for each row, which waits for locks
  kLast,    // the same; a row that does not change has failed
};

// Batch rotates rows that a query of Unit has returned. The server compares
// each old value when it writes a new one, so that it never overwrites what the
// application has written meanwhile.
class Batch {
 public:
  Batch(Connection *connection, const Unit &unit, ValueReader *reader,
        OnUnknown on_unknown, Writing writing, int most_rows)
      : connection_(connection),
        unit_(unit),
        reader_(reader),
        on_unknown_(on_unknown),
        writing_(writing),
        most_rows_(writing >= Writing::kSingly
                       ? 1
                       : static_cast<std::size_t>(most_rows)) {}

  // Rotate throws ServerError for an error that is not about some of the rows.
  BatchCounts Rotate(const Result &rows);

 private:
  // NewRow is a row with the new values of the columns that change.
  struct NewRow {
    int row;
    std::vector<std::string> values;
  };
  // NewRows are rows in which the same columns change.
  struct NewRows {
    std::vector<std::size_t> changed;
    std::vector<NewRow> rows;
  };

  void Collect(const Result &rows);
  void CollectRow(const Result &rows, int row);
  void AddRow(const std::vector<std::size_t> &changed, NewRow row);
  void Fail(const Result &rows, int row, const std::string &cause);
  void WriteAll(const Result &rows, const NewRows &all);
  void Write(const Result &rows, const NewRows &all, std::size_t begin,
             std::size_t end);
  void TakeError(const ServerError &error, const Result &rows,
                 const NewRows &all, std::size_t begin, std::size_t end);
  void TakeAffected(const Result &rows, const NewRows &all, std::size_t begin,
                    std::size_t end, std::int64_t affected);
  std::int64_t Send(const Result &rows, const NewRows &all, std::size_t begin,
                    std::size_t end, bool skip_locked);
  static void AddPages(const Result &rows, const NewRows &all,
                       std::size_t begin, std::size_t end,
                       std::vector<Argument> *arguments);
  std::int64_t SendAbroad(const std::string &statement,
                          const std::vector<Argument> &arguments);
  std::vector<Argument> Arguments(const Result &rows, const NewRows &all,
                                  std::size_t begin, std::size_t end) const;

  Connection *const connection_;
  const Unit &unit_;
  ValueReader *const reader_;
  const OnUnknown on_unknown_;
  const Writing writing_;
  const std::size_t most_rows_;  // in a statement
  std::vector<NewRows> groups_;
  BatchCounts counts_;
};

}  // namespace fernet::client
