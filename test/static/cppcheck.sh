#!/bin/bash
# cppcheck finds nothing in the C++ of the tree. What it must not say is in
# cppcheck.suppressions, with the reasons.
set -euo pipefail
cd -- "$(dirname -- "$0")/../.."

# It reads no header of the server and of OpenSSL, only what its libraries say of
# them: hence the versions, which headers of ours ask for.
if ! cppcheck --quiet --std=c++20 --library=posix --library=openssl \
  --library=googletest --enable=warning,performance,portability,style \
  --inline-suppr --suppressions-list=test/static/cppcheck.suppressions \
  -j "$(nproc)" -I src -I test \
  -DFERNET_VERSION='""' -DFERNET_TEST_VECTORS='""' \
  -DOPENSSL_VERSION_NUMBER=0x30000000L -DPG_VERSION_NUM=150000 \
  --error-exitcode=1 --template='{file}:{line}: {severity}: {message} [{id}]' \
  src/core src/pg test/unit 2>&1; then
  printf '  Change the code; where it must be so, put a comment '
  printf '"cppcheck-suppress name ; reason" above the line.\n'
  exit 1
fi
