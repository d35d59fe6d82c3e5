#!/bin/sh
# The pages of the documentation, the regress tests made from them and their
# expected output agree. What to do when they do not is printed by
# test/docs/extract.
set -eu
cd "$(dirname "$0")/../.."
exec python3 test/docs/extract --check
