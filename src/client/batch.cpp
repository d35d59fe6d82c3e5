#include "client/batch.hpp"

#include <algorithm>
#include <array>

#include "core/recogniser.hpp"

namespace fernet::client {
namespace {

constexpr Oid kBytea = 17;
constexpr Oid kText = 25;
constexpr Oid kTid = 27;
constexpr Oid kByteaArray = 1001;
constexpr Oid kTextArray = 1009;
constexpr Oid kTidArray = 1010;

// So many rows are named, and a statement has about so many bytes.
constexpr std::size_t kMaxFailures = 20;
constexpr std::size_t kMaxBytes = std::size_t{128} << 10;

// AddNumber adds one of so many bytes, the highest first.
void AddNumber(std::uint32_t number, unsigned bytes, std::string *out) {
  for (unsigned shift = 8 * bytes; shift > 0; shift -= 8) {
    *out += static_cast<char>(number >> (shift - 8) & 0xFFU);
  }
}

// BinaryArray builds an array of one dimension, as array_recv reads it.
class BinaryArray {
 public:
  BinaryArray(Oid type, Oid element, std::size_t count) : type_(type) {
    AddNumber(count > 0 ? 1 : 0);
    AddNumber(0);
    AddNumber(element);
    if (count > 0) {
      AddNumber(static_cast<std::uint32_t>(count));
      AddNumber(1);
    }
  }

  void Add(std::string_view element) {
    AddNumber(static_cast<std::uint32_t>(element.size()));
    bytes_ += element;
  }

  Argument Take() { return {type_, std::move(bytes_)}; }

 private:
  void AddNumber(std::uint32_t number) {
    client::AddNumber(number, 4, &bytes_);
  }

  Oid type_;
  std::string bytes_;
};

// Number is one of several bytes, the first of which is the highest.
std::uint32_t Number(std::string_view bytes) {
  std::uint32_t number = 0;
  for (const char byte : bytes) {
    number = number << 8U | static_cast<unsigned char>(byte);
  }
  return number;
}

// BlockOf is the page of a ctid in binary form.
std::uint32_t BlockOf(std::string_view tid) { return Number(tid.substr(0, 4)); }

// TidText is a ctid as text, from its binary form.
std::string TidText(std::string_view tid) {
  return '(' + std::to_string(BlockOf(tid)) + ',' +
         std::to_string(Number(tid.substr(4, 2))) + ')';
}

// IsBusy says whether another transaction is in the way of a statement.
bool IsBusy(const ServerError &error) {
  return error.Is("55P03") || error.Is("40P01") || error.Is("40001");
}

// EndsWork says whether an error is about the server, and not about a row.
bool EndsWork(const ServerError &error) {
  const std::string kind = error.message().sqlstate.substr(0, 2);
  return kind == "53" || kind == "57" || kind == "58" || kind == "XX" ||
         kind == "25";
}

// Refusal is why the server has refused a row, in words that hold nothing of a
// value. A message of a constraint names the constraint only; others may be
// anybody's.
std::string Refusal(const ServerMessage &message) {
  const std::string &words = message.message;
  return "the server refuses the new value: " +
         (message.sqlstate.starts_with("23") &&
                  !MayHoldPlaces({words.data(), words.size()})
              ? message.message
              : "a trigger or a type raises SQLSTATE " + message.sqlstate);
}

}  // namespace

BatchCounts Batch::Rotate(const Result &rows) {
  Collect(rows);
  for (const NewRows &group : groups_) {
    WriteAll(rows, group);
  }
  return std::move(counts_);
}

void Batch::Collect(const Result &rows) {
  for (int row = 0; row < rows.rows(); ++row) {
    CollectRow(rows, row);
  }
}

void Batch::CollectRow(const Result &rows, int row) {
  std::vector<std::size_t> changed;
  NewRow made = {.row = row, .values = {}};
  std::string value;
  for (std::size_t i = 0; i < unit_.columns.size(); ++i) {
    const int column = static_cast<int>(unit_.address_columns() + i);
    if (rows.IsNull(row, column)) {
      continue;
    }
    ++counts_.seen;
    const Change change =
        reader_->Rotate(rows.View(row, column), on_unknown_, &value);
    if (change.kind == Change::kChanged) {
      changed.push_back(i);
      made.values.push_back(std::move(value));
    } else if (change.kind == Change::kFailed) {
      Fail(rows, row, unit_.columns[i].quoted + ": " + change.cause);
    }
  }
  if (!changed.empty()) {
    AddRow(changed, std::move(made));
  }
}

void Batch::AddRow(const std::vector<std::size_t> &changed, NewRow row) {
  auto group =
      std::find_if(groups_.begin(), groups_.end(),
                   [&](const NewRows &one) { return one.changed == changed; });
  if (group == groups_.end()) {
    groups_.push_back({.changed = changed, .rows = {}});
    group = std::prev(groups_.end());
  }
  group->rows.push_back(std::move(row));
}

void Batch::Fail(const Result &rows, int row, const std::string &cause) {
  ++counts_.failed;
  if (counts_.failures.size() >= kMaxFailures) {
    return;
  }
  std::vector<std::string> address;
  for (std::size_t i = 0; i < unit_.address_columns(); ++i) {
    const std::string_view bytes = rows.View(row, static_cast<int>(i));
    address.push_back(unit_.address == Unit::Address::kKey ? std::string(bytes)
                                                           : TidText(bytes));
  }
  counts_.failures.push_back({std::move(address), cause});
}

// WriteAll cuts at a number of rows, and at one of bytes, for the memory of
// both sides.
void Batch::WriteAll(const Result &rows, const NewRows &all) {
  if (writing_ == Writing::kNone) {
    counts_.changed +=
        static_cast<std::int64_t>(all.rows.size() * all.changed.size());
    return;
  }
  std::size_t begin = 0;
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < all.rows.size(); ++i) {
    for (const std::string &value : all.rows[i].values) {
      bytes += value.size();
    }
    if (bytes >= kMaxBytes || i + 1 - begin >= most_rows_) {
      Write(rows, all, begin, i + 1);
      begin = i + 1;
      bytes = 0;
    }
  }
  if (begin < all.rows.size()) {
    Write(rows, all, begin, all.rows.size());
  }
}

void Batch::Write(const Result &rows, const NewRows &all, std::size_t begin,
                  std::size_t end) {
  try {
    TakeAffected(rows, all, begin, end, Send(rows, all, begin, end, false));
  } catch (const ServerError &error) {
    if (EndsWork(error)) {
      throw;
    }
    TakeError(error, rows, all, begin, end);
  }
}

void Batch::TakeAffected(const Result &rows, const NewRows &all,
                         std::size_t begin, std::size_t end,
                         std::int64_t affected) {
  const auto sent = static_cast<std::int64_t>(end - begin);
  affected = std::min(affected, sent);
  counts_.changed += affected * static_cast<std::int64_t>(all.changed.size());
  if (affected == sent) {
    return;
  }
  if (writing_ == Writing::kLast) {
    Fail(rows, all.rows[begin].row,
         "an UPDATE does not change it: a trigger, a rule or somebody who "
         "writes all the time stands in the way");
  } else {
    counts_.left += sent - affected;
  }
}

void Batch::TakeError(const ServerError &error, const Result &rows,
                      const NewRows &all, std::size_t begin, std::size_t end) {
  if (IsBusy(error) && unit_.address == Unit::Address::kPages &&
      writing_ == Writing::kBulk) {
    try {
      TakeAffected(rows, all, begin, end, Send(rows, all, begin, end, true));
      return;
    } catch (const ServerError &again) {
      if (IsBusy(again)) {
        counts_.left += static_cast<std::int64_t>(end - begin);
        return;
      }
    }
  }
  if (end - begin > 1) {
    const std::size_t middle = begin + (end - begin) / 2;
    Write(rows, all, begin, middle);
    Write(rows, all, middle, end);
    return;
  }
  if (IsBusy(error) && writing_ != Writing::kLast) {
    ++counts_.left;
  } else if (IsBusy(error)) {
    Fail(rows, all.rows[begin].row, "another transaction holds the row");
  } else {
    // Whatever is wrong with the statement is so without any row.
    Send(rows, all, begin, begin, false);
    Fail(rows, all.rows[begin].row, Refusal(error.message()));
  }
}

std::int64_t Batch::Send(const Result &rows, const NewRows &all,
                         std::size_t begin, std::size_t end, bool skip_locked) {
  const std::string statement = unit_.Update(all.changed, skip_locked);
  const std::vector<Argument> arguments = Arguments(rows, all, begin, end);
  return unit_.address == Unit::Address::kForeignPages
             ? SendAbroad(statement, arguments)
             : connection_->QueryBinary(statement, arguments).Affected();
}

// SendAbroad makes sure that each ctid is one row only: postgres_fdw updates
// all rows that have it, and the table behind may be partitioned. One
// transaction has one snapshot there.
std::int64_t Batch::SendAbroad(const std::string &statement,
                               const std::vector<Argument> &arguments) {
  connection_->Query("BEGIN");
  try {
    const Result twice = connection_->QueryBinary(
        "SELECT t.ctid FROM " + unit_.from +
            " AS t WHERE t.ctid = ANY ($1::tid[]) GROUP BY t.ctid"
            " HAVING count(*) > 1 LIMIT 1",
        {arguments[0]});
    if (twice.rows() > 0) {
      throw ServerError(
          {"ERROR", "58000",
           unit_.label + " stands for several tables of its server",
           "Two of its rows have the same ctid, by which postgres_fdw writes.",
           "Rotate on that server."});
    }
    const std::int64_t affected =
        connection_->QueryBinary(statement, arguments).Affected();
    connection_->Query("COMMIT");
    return affected;
  } catch (const ServerError &) {
    connection_->Query("ROLLBACK");
    throw;
  }
}

std::vector<Argument> Batch::Arguments(const Result &rows, const NewRows &all,
                                       std::size_t begin,
                                       std::size_t end) const {
  std::vector<Argument> arguments;
  const std::size_t count = end - begin;
  const auto add_read = [&](int column, Oid type, Oid element) {
    BinaryArray array(type, element, count);
    for (std::size_t i = begin; i < end; ++i) {
      array.Add(rows.View(all.rows[i].row, column));
    }
    arguments.push_back(array.Take());
  };
  if (unit_.address == Unit::Address::kKey) {
    for (std::size_t i = 0; i < unit_.key.size(); ++i) {
      add_read(static_cast<int>(i), kTextArray, kText);
    }
  } else {
    add_read(0, kTidArray, kTid);
  }
  for (std::size_t i = 0; i < all.changed.size(); ++i) {
    const std::size_t column = all.changed[i];
    const bool is_bytea = unit_.columns[column].is_bytea;
    const Oid type = is_bytea ? kByteaArray : kTextArray;
    const Oid element = is_bytea ? kBytea : kText;
    add_read(static_cast<int>(unit_.address_columns() + column), type, element);
    BinaryArray array(type, element, count);
    for (std::size_t row = begin; row < end; ++row) {
      array.Add(all.rows[row].values[i]);
    }
    arguments.push_back(array.Take());
  }
  if (unit_.address == Unit::Address::kPages) {
    AddPages(rows, all, begin, end, &arguments);
  }
  return arguments;
}

// AddPages adds the ends of what has all the rows.
void Batch::AddPages(const Result &rows, const NewRows &all, std::size_t begin,
                     std::size_t end, std::vector<Argument> *arguments) {
  std::uint32_t first = 0;
  std::uint32_t last = 0;
  for (std::size_t i = begin; i < end; ++i) {
    const std::uint32_t block = BlockOf(rows.View(all.rows[i].row, 0));
    first = i == begin ? block : std::min(first, block);
    last = std::max(last, block);
  }
  for (const auto &[block, offset] : {std::pair(first, 0U), {last, 0xFFFFU}}) {
    Argument tid = {.type = kTid, .bytes = {}};
    AddNumber(block, 4, &tid.bytes);
    AddNumber(offset, 2, &tid.bytes);
    arguments->push_back(std::move(tid));
  }
}

}  // namespace fernet::client
