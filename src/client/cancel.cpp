#include "client/cancel.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <stdexcept>

#include "client/errors.hpp"

namespace fernet::client::cancel {
namespace {

constexpr std::array kSignals = {SIGINT, SIGTERM, SIGHUP};

std::atomic<bool> asked{false};
std::array<int, 2> ends{-1, -1};
// Which of kSignals are caught.
std::array<bool, kSignals.size()> caught{};

void OnSignal(int /*signal_number*/) {
  asked = true;
  const char byte = 0;
  // Nothing can be done about it if the pipe is full: it is readable then.
  [[maybe_unused]] const ssize_t written = write(ends[1], &byte, 1);
  // The second one, of whichever kind, ends the program.
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    if (caught[i]) {
      static_cast<void>(std::signal(kSignals[i], SIG_DFL));
    }
  }
}

}  // namespace

void Install() {
  if (pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
    throw std::runtime_error("could not create a pipe");
  }
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    struct sigaction action = {};
    action.sa_handler = OnSignal;
    action.sa_flags = SA_RESTART;
    struct sigaction before = {};
    sigaction(kSignals.at(i), nullptr, &before);
    // nohup and shells that start a program in the background ignore some.
    if (before.sa_handler != SIG_IGN) {
      caught.at(i) = true;
      sigaction(kSignals.at(i), &action, nullptr);
    }
  }
  static_cast<void>(std::signal(SIGPIPE, SIG_IGN));
}

bool IsAsked() { return asked; }

std::string ReadLine(int file) {
  std::string line;
  char c = 0;
  do {
    std::array<struct pollfd, 2> files = {
        {{file, POLLIN, 0}, {ends[0], POLLIN, 0}}};
    poll(files.data(), files.size(), -1);
    if (asked) {
      throw Cancelled();
    }
    if (read(file, &c, 1) != 1) {
      break;
    }
    line += c;
  } while (c != '\n');
  if (!line.empty() && line.back() == '\n') {
    line.pop_back();
  }
  return line;
}

void Sleep(double seconds) {
  struct pollfd file = {ends[0], POLLIN, 0};
  constexpr double kLongest = 1'000'000;
  poll(&file, 1, static_cast<int>(std::min(seconds, kLongest) * 1000));
  if (asked) {
    throw Cancelled();
  }
}

int Descriptor() { return ends[0]; }

}  // namespace fernet::client::cancel
