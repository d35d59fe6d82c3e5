// pg_fernet: finds the Fernet tokens of a database, and rotates their keys.

#include <clocale>
#include <cstdio>
#include <exception>

#include "client/cancel.hpp"
#include "client/check.hpp"
#include "client/options.hpp"
#include "client/rotate.hpp"
#include "client/text.hpp"

namespace fernet::client {
namespace {

// Complain cannot complain about an error of its own.
void Complain(const std::string &message, const std::string &hint) {
  std::string words = "pg_fernet: error: " + Printable(message) + '\n';
  if (!hint.empty()) {
    words += "pg_fernet: hint: " + Printable(hint) + '\n';
  }
  static_cast<void>(std::fputs(words.c_str(), stderr));
}

Exit Say(const std::string &text) {
  if (std::fputs(text.c_str(), stdout) < 0 || std::fflush(stdout) != 0) {
    throw Failure("could not write to the standard output");
  }
  return Exit::kDone;
}

Exit Work(const Options &options) {
  const Keys keys(options.key_file);
  Login login(options.login);
  login.RequireNoKey();
  Display display(!options.quiet, options.json || options.list_columns);
  const Exit exit = options.command == Command::kCheck
                        ? Check(&login, keys, options, &display)
                        : Rotate(&login, keys, options, &display);
  if (!display.Flush()) {
    throw Failure("could not write to the standard output");
  }
  return exit;
}

Exit Run(int count, char **arguments) {
  const Options options = ParseOptions(count, arguments);
  if (options.command == Command::kHelp) {
    return Say(HelpText());
  }
  if (options.command == Command::kVersion) {
    return Say("pg_fernet " FERNET_VERSION "\n");
  }
  return Work(options);
}

Exit RunAndComplain(int count, char **arguments) {
  try {
    ForbidCoreDumps();
    cancel::Install();
    return Run(count, arguments);
  } catch (const Cancelled &) {
    Complain("cancelled",
             "What is done is committed. The same command goes on from there.");
    return Exit::kCancelled;
  } catch (const UsageError &error) {
    Complain(error.what(), error.hint().empty()
                               ? "\"pg_fernet --help\" lists the options."
                               : error.hint());
  } catch (const Failure &error) {
    Complain(error.what(), error.hint());
  } catch (const ServerError &error) {
    const ServerMessage &message = error.message();
    Complain(
        message.message + (message.detail.empty() ? "" : ": " + message.detail),
        message.hint);
  } catch (const std::exception &error) {
    Complain(error.what(), "");
  }
  return cancel::IsAsked() ? Exit::kCancelled : Exit::kFailed;
}

}  // namespace
}  // namespace fernet::client

int main(int count, char **arguments) {
  return static_cast<int>(fernet::client::RunAndComplain(count, arguments));
}
