#!/bin/bash
# cppcheck finds nothing in the C++ of the tree. What it must not say is in
# cppcheck.suppressions, with the reasons.
set -euo pipefail
cd -- "$(dirname -- "$0")/../.."
# shellcheck source=test/check/lib/sources.sh
source test/check/lib/sources.sh

# Another version has other checks, and other ideas of macros, that nobody has
# looked at: its findings are no news about the code. When Debian has one, see
# what it says, then name it here.
readonly versions=' 2.10 '
version=$(cppcheck --version | sed -nE 's/^Cppcheck ([0-9]+\.[0-9]+).*/\1/p')
if [[ $versions != *" $version "* ]]; then
  printf 'skipped: cppcheck.suppressions is made for version%s, and this is %s\n' \
    "${versions% }" "$version"
  exit 77
fi

found=0
mapfile -t files < <(units src test/unit)
printf '%s\n' "${files[@]}" | require_all cpp src test/unit || found=1

# It reads no header of the server and of OpenSSL, only what its libraries say of
# them: hence the versions, which headers of ours ask for.
if ! cppcheck --quiet --std=c++20 --library=posix --library=openssl \
  --library=googletest --enable=warning,performance,portability,style \
  --inline-suppr --suppressions-list=test/static/cppcheck.suppressions \
  -j "$(nproc)" -I src -I test \
  -DFERNET_VERSION='""' -DFERNET_TEST_VECTORS='""' \
  -DOPENSSL_VERSION_NUMBER=0x30000000L -DPG_VERSION_NUM=150000 \
  --error-exitcode=1 --template='{file}:{line}: {severity}: {message} [{id}]' \
  "${files[@]}" 2>&1; then
  printf '  Change the code; where it must be so, put a comment '
  printf '"cppcheck-suppress name ; reason" above the line.\n'
  found=1
fi
exit "$found"
