#!/bin/bash
# The bill of materials of a release, scripts/sbom, names what the built module and
# program are linked with: nothing less and nothing more. It says the same of the
# version and the license as the other files, and no file of src is somebody else's.
set -euo pipefail
cd -- "$(dirname -- "$0")/../.."

module=${FERNET_MODULE:-pg_fernet.so}
found=0

# complain WHAT ADVICE
complain() {
  printf '%s\n  %s\n' "$1" "$2"
  found=1
}

files=("$module")
# Where libpq has no headers, no program is built, and the module is checked alone.
[[ ! -e $(dirname -- "$module")/pg_fernet ]] || files+=("$(dirname -- "$module")/pg_fernet")
scripts/sbom --check "${files[@]}" || found=1
document=$(scripts/sbom --date 2026-01-01T00:00:00+00:00 LICENSE)
for words in '"licenseDeclared": "PostgreSQL"' \
  "\"name\": \"pg_fernet-$(sed -n "s/^default_version = '\(.*\)'/\1/p" pg_fernet.control)\""; do
  [[ $document == *"$words"* ]] ||
    complain "scripts/sbom does not print $words" 'The tree says so: see LICENSE and pg_fernet.control.'
done
if grep -rliE 'copyright|spdx-license|\(c\) (19|20)' src |
  grep -vE '\.(o|d)$'; then
  complain 'These files name an owner' \
    'Add what they are taken from to scripts/sbom, LICENSE and debian/copyright.'
fi
exit "$found"
