// What a person sees while the program works, and what it prints.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "client/errors.hpp"

namespace fernet::client {

// JobLine is what one job does now.
struct JobLine {
  std::string what;   // empty: nothing
  std::string state;  // "rotates", "waits", ...
  int process = 0;    // of the server
  double share = 0;   // of this piece, 0 to 1
  double weight = 0;  // of this piece in the whole
  std::int64_t rotated = 0;
};

// Display prints lines, and on a terminal keeps one for each job and one for
// the whole below them. Elsewhere it prints a line now and then. Threads may
// use it at the same time.
class Display {
 public:
  // Without `shows_progress` it prints lines only.
  Display(bool shows_progress, bool is_json);
  ~Display() { Clear(); }
  Display(const Display &) = delete;
  Display &operator=(const Display &) = delete;

  // Begin shows progress for `jobs` jobs, whose pieces weigh `weight`
  // together, with the number of rotated values if they rotate any. End takes
  // it away.
  void Begin(std::size_t jobs, std::size_t pieces, double weight, bool rotates);
  void End();

  // Set shows what a job does. Done counts its piece as done.
  void Set(std::size_t job, const JobLine &line);
  void Update(int process, double share, const std::string &state,
              std::int64_t rotated);
  void Done(std::size_t job, std::int64_t rotated);
  // Processes are those of the jobs that work.
  std::vector<int> Processes();

  // Draw shows the progress, if it is time to.
  void Draw();

  // Print writes a line of the result; Tell one about it, to standard error.
  // Nothing of it can move the cursor.
  void Print(const std::string &line);
  void Tell(const std::string &line);
  // TellMessage tells what a server said about `subject`.
  void TellMessage(const std::string &subject, const ServerMessage &message);
  // PrintRaw writes to standard output as it is.
  void PrintRaw(const std::string &text);
  // Flush says whether all that was printed has been taken.
  bool Flush();

 private:
  using Clock = std::chrono::steady_clock;

  void Clear();
  void DrawLines();
  void DrawLog();
  std::string Total() const;
  std::string Rotated(double seconds) const;
  double Share() const;

  const bool shows_progress_;
  const bool is_json_;
  const bool is_terminal_;
  std::mutex mutex_;
  std::vector<JobLine> jobs_;
  bool rotates_ = false;
  std::size_t pieces_ = 0;
  std::size_t pieces_done_ = 0;
  double weight_ = 0;
  double weight_done_ = 0;
  std::int64_t rotated_ = 0;
  Clock::time_point started_;
  Clock::time_point drawn_;
  std::size_t lines_ = 0;  // that are on the terminal
};

}  // namespace fernet::client
