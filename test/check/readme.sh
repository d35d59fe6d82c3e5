#!/bin/sh
# README.md, the regress test "readme" and its expected output agree. What to do
# when they do not is printed by test/readme/extract.
set -eu
cd "$(dirname "$0")/../.."
exec python3 test/readme/extract --check
