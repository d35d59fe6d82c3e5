#include "client/jobs.hpp"

#include <algorithm>
#include <chrono>
#include <system_error>
#include <thread>
#include <vector>

#include "client/cancel.hpp"

namespace fernet::client {
namespace {

// A server that is restarted is away for some seconds. The waits are 1, 2, 4, 8
// and 16 seconds long.
constexpr int kReopenTimes = 5;
constexpr int kTimesPerPiece = 3;
constexpr std::chrono::milliseconds kMeanwhile(200);

}  // namespace

void Jobs::Run(std::size_t jobs, std::size_t pieces) {
  pieces_ = pieces;
  running_ = std::min(jobs, pieces);
  // A thread that cannot be made leaves its share to the others.
  std::vector<std::jthread> threads;
  for (std::size_t job = 0, count = running_; job < count; ++job) {
    try {
      threads.emplace_back(&Jobs::DoJob, this, job);
    } catch (const std::system_error &) {
      if (job == 0) {
        throw;
      }
      const std::lock_guard lock(mutex_);
      running_ -= count - job;
      break;
    }
  }
  {
    std::unique_lock lock(mutex_);
    while (running_ > 0) {
      ended_.wait_for(lock, kMeanwhile);
      lock.unlock();
      work_.meanwhile();
      lock.lock();
    }
  }
  threads.clear();
  if (cancel::IsAsked()) {
    throw Cancelled();
  }
  if (failure_ != nullptr) {
    std::rethrow_exception(failure_);
  }
  if (opened_ == 0 && not_opened_ != nullptr) {
    std::rethrow_exception(not_opened_);
  }
}

void Jobs::DoJob(std::size_t job) {
  try {
    DoPieces(job);
  } catch (const Cancelled &) {
    // Run says so.
  } catch (...) {
    Keep(std::current_exception());
  }
  const std::lock_guard lock(mutex_);
  --running_;
  ended_.notify_one();
}

void Jobs::DoPieces(std::size_t job) {
  std::unique_ptr<Connection> session;
  try {
    session = work_.open();
  } catch (const ConnectionError &) {
    // The others may have enough connections.
    const std::lock_guard lock(mutex_);
    not_opened_ = std::current_exception();
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    ++opened_;
  }
  std::size_t piece = 0;
  while (Take(&piece)) {
    DoPiece(&session, piece, job);
  }
}

void Jobs::DoPiece(std::unique_ptr<Connection> *session, std::size_t piece,
                   std::size_t job) {
  std::string why;
  for (int time = 0; time < kTimesPerPiece; ++time) {
    try {
      if (*session == nullptr) {
        *session = Reopen();
      }
      work_.run(session->get(), piece, job);
      return;
    } catch (const ConnectionError &error) {
      why = error.what();
      const bool was_open = *session != nullptr;
      session->reset();
      if (!was_open) {
        break;
      }
    }
  }
  work_.lost(piece, why);
}

std::unique_ptr<Connection> Jobs::Reopen() {
  for (int time = 0;; ++time) {
    cancel::Sleep(static_cast<double>(1 << time));
    try {
      return work_.open();
    } catch (const ConnectionError &) {
      if (time + 1 >= kReopenTimes) {
        throw;
      }
    }
  }
}

bool Jobs::Take(std::size_t *out_piece) {
  const std::lock_guard lock(mutex_);
  if (next_ >= pieces_ || failure_ != nullptr || cancel::IsAsked()) {
    return false;
  }
  *out_piece = next_++;
  return true;
}

void Jobs::Keep(std::exception_ptr failure) {
  const std::lock_guard lock(mutex_);
  if (failure_ == nullptr) {
    failure_ = std::move(failure);
  }
}

}  // namespace fernet::client
