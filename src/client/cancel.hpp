// Ctrl-C and its like.
#pragma once

#include <string>

namespace fernet::client::cancel {

// Install makes SIGINT, SIGTERM and SIGHUP ask the program to end; the second
// one ends it at once. SIGPIPE becomes an error of the write.
void Install();

// IsAsked says whether one of them has come.
bool IsAsked();

// ReadLine reads a line from a terminal, without its end. Throws Cancelled.
// What comes before the end of the input counts as a line.
std::string ReadLine(int file);

// Sleep waits. Throws Cancelled.
void Sleep(double seconds);

// Descriptor becomes readable when one comes, and stays so.
int Descriptor();

}  // namespace fernet::client::cancel
