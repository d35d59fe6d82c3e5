// pg_fernet check: what tokens are where, encrypted with which keys.
#pragma once

#include <string>
#include <vector>

#include "client/display.hpp"
#include "client/find.hpp"
#include "client/json.hpp"

namespace fernet::client {

// Target is a database that is worked on.
struct Target {
  std::string database;
  std::unique_ptr<Connection> connection;  // with catalog names
  Catalog catalog;
};

// OpenTargets connects to each database that the options mean. Throws Failure
// if a pattern or a column of theirs is found in none.
std::vector<Target> OpenTargets(Login *login, const Options &options);

// PrintFound shows what was found in a database as a table, of one line for
// each place, form and key.
void PrintFound(const Target &target, const std::vector<Found> &found,
                Display *display);

// WriteFound is the same in JSON: the members of an object.
void WriteFound(const Target &target, const std::vector<Found> &found,
                const Counts &counts, JsonWriter *json);

// Verdict says in a sentence or two what the counts mean.
std::string Verdict(const Counts &counts, std::size_t keys);

Exit Check(Login *login, const Keys &keys, const Options &options,
           Display *display);

}  // namespace fernet::client
