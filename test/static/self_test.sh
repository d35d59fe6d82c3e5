#!/bin/bash
# Each of the other checks here finds the faults that it is there for:
# test/static/faults has them. test/check/lib/self_test says how.
set -euo pipefail
cd -- "$(dirname -- "$0")/../.."
exec test/check/lib/self_test static "$@"
