#!/bin/bash
# META.json is what PGXN accepts: its specification, https://pgxn.org/spec/.
set -euo pipefail
cd -- "$(dirname -- "$0")/../.."
exec python3 - <<'END'
import json
import pathlib
import re
import sys

REQUIRED = {"name", "version", "abstract", "maintainer", "license", "provides", "meta-spec"}
OPTIONAL = {"description", "generated_by", "tags", "no_index", "prereqs", "release_status", "resources"}
LICENSES = {
    "agpl_3", "apache_1_1", "apache_2_0", "artistic_1", "artistic_2", "bsd", "freebsd", "gfdl_1_2",
    "gfdl_1_3", "gpl_1", "gpl_2", "gpl_3", "lgpl_2_1", "lgpl_3_0", "mit", "mozilla_1_0",
    "mozilla_1_1", "openssl", "perl_5", "postgresql", "qpl_1_0", "ssleay", "sun", "zlib",
    "open_source", "restricted", "unrestricted", "unknown",
}
PHASES = {"configure", "build", "test", "runtime", "develop"}
RELATIONS = {"requires", "recommends", "suggests", "conflicts"}
TERM = re.compile(r"[^\s/\\\x00-\x1f\x7f]{2,}")
SEMANTIC = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[A-Za-z][0-9A-Za-z-]*)?")
RANGE = re.compile(r"0|(([<>]=?|[=!]=)?\s*" + SEMANTIC.pattern + r")")

wrong = []


def require(condition, text):
    if not condition:
        wrong.append(text)


def is_text(value):
    return isinstance(value, str) and value.strip() != ""


def is_address(value, schemes):
    return is_text(value) and re.fullmatch(rf"({schemes})\S+", value) is not None


def is_texts(value):
    return is_text(value) or (isinstance(value, list) and value and all(map(is_text, value)))


try:
    meta = json.loads(pathlib.Path("META.json").read_text(encoding="utf-8"))
except (OSError, ValueError) as error:
    sys.exit(f"META.json: {error}\n  It must be a file of JSON.")

for key in sorted(REQUIRED - meta.keys()):
    wrong.append(f'"{key}" is missing')
for key in sorted(meta.keys() - REQUIRED - OPTIONAL):
    require(key.lower().startswith("x_"), f'"{key}" is no key of the specification')

require(TERM.fullmatch(meta.get("name", "")), '"name" is no name')
require(SEMANTIC.fullmatch(meta.get("version", "")), '"version" is no semantic version')
require(is_text(meta.get("abstract")), '"abstract" is empty')
require(is_texts(meta.get("maintainer")), '"maintainer" is empty')
license_ = meta.get("license")
names = [license_] if isinstance(license_, str) else license_
if isinstance(names, list):
    require(names and set(names) <= LICENSES, '"license" is none of the specification')
else:
    require(
        isinstance(names, dict) and names and all(re.match("https?://", str(url)) for url in names.values()),
        '"license" has a license without an address',
    )

provides = meta.get("provides")
require(isinstance(provides, dict) and provides, '"provides" names no extension')
for name, extension in (provides or {}).items():
    require(TERM.fullmatch(name), f'"{name}" in "provides" is no name')
    require(SEMANTIC.fullmatch(extension.get("version", "")), f'the version of "{name}" is no semantic version')
    for key in ("file", "docfile"):
        if key in extension or key == "file":
            path = extension.get(key, "")
            require(path and pathlib.Path(path).is_file(), f'"{key}" of "{name}" is no file: {path}')
    for key in extension.keys() - {"file", "docfile", "version", "abstract"}:
        require(key.lower().startswith("x_"), f'"{key}" of "{name}" is no key of the specification')

spec = meta.get("meta-spec", {})
require(spec.get("version") == "1.0.0", '"meta-spec" is of another version than 1.0.0')
for phase, relations in meta.get("prereqs", {}).items():
    require(phase in PHASES or phase.lower().startswith("x_"), f'"{phase}" is no phase')
    for relation, packages in relations.items():
        require(relation in RELATIONS or relation.lower().startswith("x_"), f'"{relation}" is no relation')
        for package, wanted in packages.items():
            parts = [part.strip() for part in str(wanted).split(",")]
            require(all(map(RANGE.fullmatch, parts)), f'"{package}" has no range of versions: {wanted}')
require(meta.get("release_status", "stable") in {"stable", "testing", "unstable"}, '"release_status" is none')
require(
    spec.get("url", "https://pgxn.org/meta/spec.txt").removeprefix("https").removeprefix("http")
    == "://pgxn.org/meta/spec.txt",
    '"meta-spec" has another address than that of the specification',
)
require(meta.get("tags", True), '"tags" is empty')
for tag in meta.get("tags", []):
    require(
        is_text(tag) and 2 <= len(tag) < 256 and not re.search(r"[/\\]|[\x00-\x1f\x7f]", tag), f'no tag: "{tag}"'
    )
resources = meta.get("resources", {"homepage": "https://none"})
require(resources, '"resources" is empty')
tracker = resources.get("bugtracker", {"web": "https://none"})
repository = resources.get("repository", {"web": "https://none"})
require(is_address(resources.get("homepage", "https://none"), "https?://"), '"homepage" is no address')
require({"web", "mailto"} & tracker.keys(), '"bugtracker" has neither "web" nor "mailto"')
require("web" in repository or {"url", "type"} <= repository.keys(), '"repository" has neither "web" nor "url" and "type"')
require(is_address(tracker.get("web", "https://none"), "https?://"), '"web" of "bugtracker" is no address')
require(is_address(repository.get("web", "https://none"), "https?://"), '"web" of "repository" is no address')
for what, allowed in (
    (resources, {"homepage", "bugtracker", "repository"}),
    (tracker, {"web", "mailto"}),
    (repository, {"url", "web", "type"}),
    (meta.get("no_index", {}), {"file", "directory"}),
):
    for key in what.keys() - allowed:
        require(key.lower().startswith("x_"), f'"{key}" is no key of the specification there')
for kind, paths in meta.get("no_index", {}).items():
    for path in [paths] if isinstance(paths, str) else paths:
        require(kind.lower().startswith("x_") or pathlib.Path(path).exists(), f'"no_index" names no file: {path}')

for text in wrong:
    print(f"META.json: {text}\n  See https://pgxn.org/spec/.")
sys.exit(bool(wrong))
END
