#!/bin/bash
# Every link of the documentation leads somewhere, and every page can be found.
#
# Links of all *.md files to other files and to headings must resolve, as GitHub
# makes their anchors; so must what other files say of a page (docs/keys.md, or
# README.md#install). Each page in docs is listed in an index: the README.md of
# its folder. Addresses outside of the repository are not tried.
set -euo pipefail
cd -- "$(dirname -- "$0")/../.."
# shellcheck source=scripts/lib/git.sh
source scripts/lib/git.sh
files=$(mktemp)
trap 'rm -f "$files"' EXIT
ask_git . ls-files -z --cached --others --exclude-standard >"$files"
python3 - "$files" <<'END'
import os
import pathlib
import re
import sys

FENCED = re.compile(r"^( *)(```+)[^\n]*\n.*?^ *\2 *$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
CODE = re.compile(r"(`+).+?\1", re.DOTALL)
HEADING = re.compile(r"^#{1,6} +(.*?) *#*$", re.MULTILINE)
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
# In other files, a page is named from the top of the repository.
MENTION = re.compile(r"(?<![\w/.-])((?:docs/[\w./-]+|README|SECURITY|CONTRIBUTING|CHANGELOG)\.md)(#[\w-]+)?")
BINARY = {".out", ".png", ".svg", ".zip"}

files = set(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8").split("\0")) - {""}
files = {name for name in files if os.path.isfile(name)}
pages = sorted(name for name in files if name.endswith(".md"))
folders = {str(folder) for name in files for folder in pathlib.PurePath(name).parents}


def read(name):
    return pathlib.Path(name).read_text(encoding="utf-8")


def prose(text):
    return COMMENT.sub("", FENCED.sub("", text))


def slug(heading):
    heading = re.sub(r"!?\[([^]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors_of(text):
    anchors = set()
    for heading in HEADING.findall(prose(text)):
        anchor, number = slug(heading), 0
        while anchor in anchors:
            number += 1
            anchor = f"{slug(heading)}-{number}"
        anchors.add(anchor)
    return anchors


anchors = {name: anchors_of(read(name)) for name in pages}
wrong = []


def follow(source, target, anchor):
    """Complains about a link from the file source, or returns the page it leads to."""
    if target not in files and target not in folders:
        wrong.append(f"{source}: there is no {target}")
    elif anchor and target not in anchors:
        wrong.append(f"{source}: {target} has no headings, so no #{anchor}")
    elif anchor and anchor not in anchors[target]:
        wrong.append(f"{source}: {target} has no heading #{anchor}")
    return target


linked = {name: set() for name in pages}
for name in pages:
    text = CODE.sub("", prose(read(name)))
    for link in LINK.findall(text):
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        path, _, anchor = link.partition("#")
        target = os.path.normpath(os.path.join(os.path.dirname(name), path)) if path else name
        linked[name].add(follow(name, target, anchor))

for name in sorted(files - set(pages)):
    # The faults of the checks are about pages that do not exist.
    if pathlib.PurePath(name).suffix in BINARY or "/faults/" in name:
        continue
    try:
        text = read(name)
    except UnicodeDecodeError:
        continue
    for target, anchor in MENTION.findall(text):
        follow(name, target, anchor[1:])

for name in pages:
    folder, page = os.path.split(name)
    if folder.split("/")[0] != "docs":
        continue
    index = os.path.join(folder if page != "README.md" else os.path.dirname(folder), "README.md")
    if name not in linked.get(index, set()):
        wrong.append(f"{name}: is not in {index}, where readers look for it")

if not pages or not any(linked.values()):
    wrong.append("no page has a link: this check reads the wrong files")
for line in wrong:
    print(line)
sys.exit(bool(wrong))
END
