// Several sessions that work side by side.
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "client/connection.hpp"
#include "client/display.hpp"

namespace fernet::client {

// Jobs takes pieces of work, by number, and has each done by one of several
// sessions. A session that is lost is opened again, for a while, and its piece
// begun anew: whatever is done in pieces can be done twice.
class Jobs {
 public:
  struct Work {
    // Opens a session.
    std::function<std::unique_ptr<Connection>()> open;
    // Does a piece in the session of a job.
    std::function<void(Connection *, std::size_t piece, std::size_t job)> run;
    // Is told of a piece that was given up since its session was lost.
    std::function<void(std::size_t piece, const std::string &why)> lost;
    // Is called now and then by the thread that waits for all.
    std::function<void()> meanwhile;
  };

  explicit Jobs(Work work) : work_(std::move(work)) {}

  // Run does the pieces from 0 to `pieces` - 1, in that order, with at most
  // `jobs` sessions. Throws what `run` has thrown, Cancelled before all else,
  // and ConnectionError if no session could be opened.
  void Run(std::size_t jobs, std::size_t pieces);

 private:
  void DoJob(std::size_t job);
  void DoPieces(std::size_t job);
  void DoPiece(std::unique_ptr<Connection> *session, std::size_t piece,
               std::size_t job);
  std::unique_ptr<Connection> Reopen();
  bool Take(std::size_t *out_piece);
  void Keep(std::exception_ptr failure);

  const Work work_;
  std::mutex mutex_;
  std::condition_variable ended_;
  std::size_t next_ = 0;
  std::size_t pieces_ = 0;
  std::size_t running_ = 0;
  std::size_t opened_ = 0;
  std::exception_ptr failure_;
  std::exception_ptr not_opened_;
};

}  // namespace fernet::client
