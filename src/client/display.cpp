#include "client/display.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "client/text.hpp"

namespace fernet::client {
namespace {

constexpr std::size_t kNarrowest = 40;
constexpr std::chrono::milliseconds kRedraw(250);
constexpr std::chrono::seconds kLog(5);

std::size_t TerminalWidth() {
  struct winsize size = {};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0
             ? std::max<std::size_t>(size.ws_col, kNarrowest)
             : 80;
}

std::string Percent(double share) {
  const int whole = static_cast<int>(100 * std::clamp(share, 0.0, 1.0));
  return std::string(whole < 10    ? "  "
                     : whole < 100 ? " "
                                   : "") +
         std::to_string(whole) + " %";
}

std::string Bar(double share, std::size_t width) {
  const auto full = static_cast<std::size_t>(std::clamp(share, 0.0, 1.0) *
                                             static_cast<double>(width));
  return '[' + std::string(full, '#') + std::string(width - full, '.') + ']';
}

std::string JobText(std::size_t number, const JobLine &job, std::size_t width) {
  const std::string head = std::to_string(number) + "  ";
  if (job.what.empty()) {
    return head + "idle";
  }
  const std::string tail = "  " + Percent(job.share) + "  " + job.state;
  const std::size_t room = width - head.size() - tail.size();
  const std::string what = FitColumns(job.what, room);
  return head + what + std::string(room - Columns(what), ' ') + tail;
}

void Write(std::FILE *file, const std::string &text) {
  // Flush tells of errors.
  static_cast<void>(std::fwrite(text.data(), 1, text.size(), file));
  static_cast<void>(std::fflush(file));
}

}  // namespace

Display::Display(bool shows_progress, bool is_json)
    : shows_progress_(shows_progress),
      is_json_(is_json),
      is_terminal_(isatty(STDERR_FILENO) != 0) {}

void Display::Begin(std::size_t jobs, std::size_t pieces, double weight,
                    bool rotates) {
  const std::lock_guard lock(mutex_);
  jobs_.assign(jobs, {});
  rotates_ = rotates;
  pieces_ = pieces;
  pieces_done_ = 0;
  weight_ = weight;
  weight_done_ = 0;
  rotated_ = 0;
  started_ = drawn_ = Clock::now();
}

void Display::End() {
  const std::lock_guard lock(mutex_);
  Clear();
  jobs_.clear();
}

void Display::Set(std::size_t job, const JobLine &line) {
  const std::lock_guard lock(mutex_);
  jobs_[job] = line;
}

void Display::Update(int process, double share, const std::string &state,
                     std::int64_t rotated) {
  const std::lock_guard lock(mutex_);
  for (JobLine &job : jobs_) {
    if (job.process == process && !job.what.empty()) {
      job.share = share;
      job.state = state;
      job.rotated = rotated;
    }
  }
}

void Display::Done(std::size_t job, std::int64_t rotated) {
  const std::lock_guard lock(mutex_);
  weight_done_ += jobs_[job].weight;
  rotated_ += rotated;
  ++pieces_done_;
  jobs_[job] = {};
}

std::vector<int> Display::Processes() {
  const std::lock_guard lock(mutex_);
  std::vector<int> processes;
  for (const JobLine &job : jobs_) {
    if (!job.what.empty() && job.process != 0) {
      processes.push_back(job.process);
    }
  }
  return processes;
}

double Display::Share() const {
  double done = weight_done_;
  for (const JobLine &job : jobs_) {
    done += job.share * job.weight;
  }
  return weight_ > 0 ? done / weight_ : 0;
}

std::string Display::Total() const {
  const std::chrono::duration<double> gone = Clock::now() - started_;
  const double seconds = gone.count();
  std::string text = std::to_string(pieces_done_) + " of " +
                     Counted(static_cast<std::int64_t>(pieces_), "part") +
                     ", " + DurationText(seconds);
  if (rotates_) {
    text = Rotated(seconds) + ", " + text;
  }
  const double share = Share();
  if (share > 0.01 && seconds >= 2) {
    text += ", " + DurationText(seconds * (1 - share) / share) + " left";
  }
  return text;
}

std::string Display::Rotated(double seconds) const {
  std::int64_t rotated = rotated_;
  for (const JobLine &job : jobs_) {
    rotated += job.rotated;
  }
  const double rate = seconds >= 1 ? static_cast<double>(rotated) / seconds : 0;
  return std::to_string(rotated) + " rotated" +
         (rate >= 1
              ? ", " + std::to_string(static_cast<std::int64_t>(rate)) + "/s"
              : "");
}

void Display::Draw() {
  const std::lock_guard lock(mutex_);
  if (!shows_progress_ || jobs_.empty()) {
    return;
  }
  const auto now = Clock::now();
  if (is_terminal_ && (lines_ == 0 || now - drawn_ >= kRedraw)) {
    DrawLines();
    drawn_ = now;
  } else if (!is_terminal_ && now - drawn_ >= kLog) {
    DrawLog();
    drawn_ = now;
  }
}

void Display::DrawLines() {
  // The last column is left free: a full line would wrap.
  const std::size_t width = TerminalWidth() - 1;
  Clear();
  std::string text;
  if (jobs_.size() > 1) {
    for (std::size_t i = 0; i < jobs_.size(); ++i) {
      text += FitColumns(JobText(i + 1, jobs_[i], width), width) + '\n';
    }
  } else {
    text = FitColumns(JobText(1, jobs_[0], width), width) + '\n';
  }
  const double share = Share();
  const std::string total = Total();
  const std::string percent = ' ' + Percent(share) + "  ";
  const std::size_t taken = percent.size() + total.size() + 2;
  const std::size_t bar =
      width > taken + 10 ? std::min<std::size_t>(width - taken, 40) : 10;
  text += FitColumns(Bar(share, bar) + percent + total, width) + '\n';
  Write(stderr, text);
  lines_ = jobs_.size() + 1;
}

void Display::DrawLog() {
  std::string text = "pg_fernet: " +
                     Percent(Share()).substr(Share() < 0.1 ? 2
                                             : Share() < 1 ? 1
                                                           : 0) +
                     ", " + Total();
  for (const JobLine &job : jobs_) {
    if (!job.what.empty()) {
      text += "; " + job.what + ' ' + job.state;
    }
  }
  Write(stderr, text + '\n');
}

void Display::Clear() {
  if (lines_ > 0) {
    Write(stderr, "\033[" + std::to_string(lines_) + "A\r\033[J");
    lines_ = 0;
  }
}

void Display::Print(const std::string &line) {
  if (!is_json_) {
    PrintRaw(Printable(line) + '\n');
  }
}

void Display::PrintRaw(const std::string &text) {
  const std::lock_guard lock(mutex_);
  const bool was_drawn = lines_ > 0;
  Clear();
  Write(stdout, text);
  if (was_drawn) {
    DrawLines();
  }
}

void Display::Tell(const std::string &line) {
  const std::lock_guard lock(mutex_);
  const bool was_drawn = lines_ > 0;
  Clear();
  Write(stderr, "pg_fernet: " + Printable(line) + '\n');
  if (was_drawn) {
    DrawLines();
  }
}

void Display::TellMessage(const std::string &subject,
                          const ServerMessage &message) {
  std::string kind = message.severity;
  std::transform(kind.begin(), kind.end(), kind.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  Tell(kind + ": " + subject + ": " + message.message);
  if (!message.detail.empty()) {
    Tell("detail: " + message.detail);
  }
  if (!message.hint.empty()) {
    Tell("hint: " + message.hint);
  }
}

bool Display::Flush() {
  const std::lock_guard lock(mutex_);
  return std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
}

}  // namespace fernet::client
