#!/bin/bash
# "make dist" packs the tree of the tag, and nothing else, as PGXN takes it, and as
# packagers do: in a clone of its own, since the release may not be tagged yet. The
# sums are right, and the bill of materials names both archives by theirs.
#
#   test/check/dist.sh [FOLDER]
#
# leaves the unpacked archive in a new FOLDER; check reproducible builds it.
set -euo pipefail
cd -- "$(dirname -- "$0")/../.."
# shellcheck source=scripts/lib/git.sh
source scripts/lib/git.sh

# No settings of whoever calls: signed commits, hooks, another branch.
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE MAKEFLAGS MAKELEVEL
version=$(sed -n "s/^default_version = '\(.*\)'/\1/p" pg_fernet.control)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
clone=$folder/clone
found=0

# complain WHAT ADVICE
complain() {
  printf '%s\n  %s\n' "$1" "$2"
  found=1
}

# Not to be packed in the background, while we remove it.
in_clone() {
  git -C "$clone" -c maintenance.auto=false -c gc.auto=0 \
    -c init.defaultBranch=main -c user.name=test -c user.email=test@example.org "$@"
}

if ! ask_git . ls-files -z --cached --others \
  --exclude-standard >"$folder/files" 2>/dev/null; then
  printf 'This is no git working tree.\n  scripts/test check dist makes one.\n'
  exit 1
fi
mkdir "$clone"
# A file may be deleted and git not told so yet.
tar --null -T "$folder/files" --ignore-failed-read -cf - 2>/dev/null |
  tar -C "$clone" -xf -
in_clone init -q
in_clone add -f -A
in_clone commit -q -m "Release $version"
in_clone tag "v$version"
# What was built and changed since is not the release.
printf 'changed\n' >>"$clone/README.md"
printf 'new\n' >"$clone/src/pg/new.o"

archive=pg_fernet-$version
if ! make -C "$clone" PG_CONFIG="${PG_CONFIG:-pg_config}" dist \
  >"$folder/log" 2>&1 || [[ ! -s $clone/$archive.zip ]]; then
  tail -n 20 "$folder/log"
  complain "make dist makes no $archive.zip" 'See "dist" in the Makefile.'
  exit 1
fi
if ! (cd "$clone" && sha256sum --check --quiet --strict SHA256SUMS) >"$folder/log" 2>&1 ||
  [[ $(awk '{ print $2 }' "$clone/SHA256SUMS" | tr '\n' ' ') != \
    "$archive.zip $archive.tar.gz $archive.spdx.json " ]]; then
  cat "$folder/log"
  complain 'SHA256SUMS has other sums, or other files, than make dist has made' \
    'See "dist" in the Makefile.'
fi
mkdir "$folder/unpacked" "$folder/tar"
# Python's own way forgets who may run a file.
python3 - "$clone/$archive.zip" "$folder/unpacked" <<'END_OF_PYTHON'
import os
import sys
import zipfile

with zipfile.ZipFile(sys.argv[1]) as archive:
    for entry in archive.infolist():
        path = archive.extract(entry, sys.argv[2])
        mode = entry.external_attr >> 16
        if mode & 0o777:
            os.chmod(path, mode & 0o777)
END_OF_PYTHON

if ! tar -C "$folder/tar" -xzf "$clone/$archive.tar.gz" ||
  ! diff -r "$folder/tar" "$folder/unpacked"; then
  complain 'The two archives differ, or one cannot be unpacked' 'See "dist" in the Makefile.'
fi
if ! python3 - "$clone" "$archive" "$version" <<'END_OF_PYTHON'; then
import hashlib
import json
import pathlib
import re
import sys

clone, archive, version = pathlib.Path(sys.argv[1]), *sys.argv[2:]
bill = json.loads((clone / f"{archive}.spdx.json").read_text(encoding="utf-8"))
packages = {each["name"]: each for each in bill["packages"]}
names = {each["SPDXID"] for each in bill["packages"]} | {"SPDXRef-DOCUMENT"}
wrong = [f"lacks {key}" for key in ("dataLicense", "documentNamespace", "name", "SPDXID") if not bill.get(key)]
if bill.get("spdxVersion") != "SPDX-2.3":
    wrong.append("is not of SPDX 2.3")
if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", bill["creationInfo"]["created"]):
    wrong.append("has no time")
for kind in ("zip", "tar.gz"):
    name = f"{archive}.{kind}"
    digest = hashlib.sha256((clone / name).read_bytes()).hexdigest()
    package = packages.get(name, {})
    if package.get("versionInfo") != version or package.get("checksums") != [
        {"algorithm": "SHA256", "checksumValue": digest}
    ]:
        wrong.append(f"states another version or sum for {name}")
for relation in bill["relationships"]:
    if not {relation["spdxElementId"], relation["relatedSpdxElement"]} <= names:
        wrong.append("has a relation of something that it does not list")
if len(names) != len(bill["packages"]) + 1 or not all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", each) for each in names):
    wrong.append("has a name twice, or one that is no name in SPDX")
for text in wrong:
    print(f"{archive}.spdx.json {text}")
sys.exit(1 if wrong else 0)
END_OF_PYTHON
  complain 'The bill of materials does not tell what was made' 'See scripts/sbom.'
fi
if ! diff <(in_clone ls-tree -r --name-only "v$version" | sort) \
  <(cd "$folder/unpacked/$archive" && find . -type f -printf '%P\n' | sort); then
  complain 'The archive (>) does not hold what the tag does (<)' \
    'See "dist" in the Makefile, and export-ignore in .gitattributes.'
fi
if [[ $(ls "$folder/unpacked") != "$archive" ]]; then
  complain "The archive has more than a folder $archive" 'See "dist" in the Makefile.'
fi
in_clone checkout -q -- README.md
if ! diff -r --exclude=.git --exclude=new.o --exclude='*.zip' \
  --exclude='pg_fernet-*.gz' --exclude='*.spdx.json' --exclude=SHA256SUMS "$clone" \
  "$folder/unpacked/$archive"; then
  complain 'The archive holds other text than the tag' 'Look for export-subst.'
fi
for file in META.json scripts/sbom Makefile pg_fernet.control LICENSE README.md scripts/test; do
  [[ -s $folder/unpacked/$archive/$file ]] ||
    complain "The archive lacks $file" 'Whoever downloads it needs that.'
done
[[ -x $folder/unpacked/$archive/scripts/test ]] ||
  complain 'scripts/test cannot be run in the archive' 'git update-index --chmod=+x'
# What a build or a test makes, by its name or by what it consists of.
if find "$folder/unpacked" -type f '(' -name '*.o' -o -name '*.d' -o -name '*.so' -o -name '*.bc' \
  -o -name '*.zip' -o -name 'regression.*' -o -name '*.log' ')' | grep . ||
  grep -rlI -e '^# For build in directory:' "$folder/unpacked" | grep . ||
  grep -rlU -e $'^\x7fELF' "$folder/unpacked" | grep .; then
  complain 'These are generated' 'git rm --cached, and add to .gitignore.'
fi
if (($# > 0)); then
  mkdir -p "$(dirname -- "$1")"
  mv "$folder/unpacked/$archive" "$1"
fi
exit "$found"
