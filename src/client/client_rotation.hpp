// The client way: this program reads the rows, and writes them again.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "client/batch.hpp"
#include "client/display.hpp"
#include "client/keys.hpp"
#include "client/login.hpp"
#include "client/options.hpp"
#include "client/plan.hpp"

namespace fernet::client {

// ClientRotation rotates those pieces of a plan whose way it is. The keys stay
// here. Nothing is locked for longer than one statement takes.
class ClientRotation {
 public:
  ClientRotation(Login *login, const Keys &keys, const Options &options,
                 Display *display, Plan *plan);
  ~ClientRotation();
  ClientRotation(const ClientRotation &) = delete;
  ClientRotation &operator=(const ClientRotation &) = delete;

  // Run passes over the tables until nothing is left, and puts into the pieces
  // what has become of them. It may be called again.
  void Run();

 private:
  class Work;
  struct Slot;

  std::vector<std::unique_ptr<Work>> Prepare();
  void Pass(const std::vector<Work *> &works, Writing writing);
  std::unique_ptr<Connection> OpenToWrite(Writing writing) const;
  void RunSlot(Connection *session, const Slot &slot, std::size_t job,
               Writing writing);
  // Read waits for a table that is locked.
  bool Read(Connection *session, Work *work, Writing writing,
            Result *out) const;
  BatchCounts RunBatch(Connection *session, Work *work, const Result &rows,
                       std::size_t job, Writing writing);
  void Finish(const std::vector<std::unique_ptr<Work>> &works);
  void TellFailures(Connection *session, const Work &work) const;

  Login *const login_;
  const Keys &keys_;
  const Options &options_;
  Display *const display_;
  Plan *const plan_;
  // One for each job, for all passes: their pages are never given back.
  std::vector<std::unique_ptr<ValueReader>> readers_;
};

}  // namespace fernet::client
