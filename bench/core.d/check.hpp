#pragma once

namespace fernet::bench {

// CheckAll throws a std::runtime_error that names the implementation when one
// of them makes a token that differs from the reference's, does not open the
// token of another, or opens a damaged one. What is faster by being wrong is
// not to be measured.
void CheckAll();

}  // namespace fernet::bench
