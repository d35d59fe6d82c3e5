// pg_fernet rotate: find, rotate, and prove it.
#pragma once

#include "client/display.hpp"
#include "client/keys.hpp"
#include "client/login.hpp"
#include "client/options.hpp"

namespace fernet::client {

Exit Rotate(Login *login, const Keys &keys, const Options &options,
            Display *display);

}  // namespace fernet::client
