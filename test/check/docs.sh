#!/bin/sh
# The pages of the documentation, the regress tests made from them and their
# expected output agree, and docs/functions.md has each function, procedure, view
# and setting. What to do when they do not is printed by test/docs/extract and
# test/docs/functions.
set -eu
cd "$(dirname "$0")/../.."
status=0
python3 test/docs/extract --check || status=1
python3 test/docs/functions || status=1
exit "$status"
