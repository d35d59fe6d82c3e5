#!/bin/bash
# The core calls only what OpenSSL 3.0 still supports: it compiles with all that
# is deprecated left out of the headers.
set -euo pipefail
cd -- "$(dirname -- "$0")/../.."
# shellcheck source=test/check/lib/sources.sh
source test/check/lib/sources.sh

found=0
mapfile -t files < <(units src/core)
for file in "${files[@]}"; do
  if ! "${CXX:-g++}" -std=c++20 -fno-exceptions -fno-rtti -fsyntax-only \
    -Wall -Wextra -Werror -Isrc \
    -DOPENSSL_NO_DEPRECATED -DOPENSSL_API_COMPAT=30000 "$file"; then
    printf '%s: calls what OpenSSL 3.0 deprecates\n' "$file"
    printf '  Its manual page names the successor, an EVP function as a rule.\n'
    found=1
  fi
done
printf '%s\n' "${files[@]}" | require_all cpp src/core || found=1
exit "$found"
