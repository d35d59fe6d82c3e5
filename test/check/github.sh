#!/bin/bash
# The files in .github are YAML, which GitHub reads. The workflow tests the Debians and
# the versions of PostgreSQL of scripts/test-matrix, by scripts/test alone. The form for
# an issue asks for versions and the SQLSTATE, and never for a key.
set -euo pipefail
cd -- "$(dirname -- "$0")/../.."
exec python3 - <<'END'
import pathlib
import re
import sys

import yaml

wrong = []
files = sorted(pathlib.Path(".github").rglob("*.y*ml"))
documents = {}
for path in files:
    try:
        documents[path.name] = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        wrong.append(f"{path}: is no YAML: {' '.join(str(error).split())}")

matrix = pathlib.Path("scripts/test-matrix").read_text(encoding="utf-8")
suites = dict(re.findall(r"\[(\d+)\]=(\w+)", re.search(r"suite_of=\((.*?)\)", matrix, re.DOTALL).group(1)))


def look_at_workflow(flow):
    # In YAML, "on" is a word for true.
    if not {"push", "pull_request"} <= set(flow.get("on", flow.get(True)) or []):
        wrong.append("ci.yml: does not run for each push and each request")
    if flow.get("permissions") != {"contents": "read"}:
        wrong.append("ci.yml: may do more than read")
    job = flow["jobs"]["test"]
    tested = {str(each["postgresql"]): each["debian"] for each in job["strategy"]["matrix"]["include"]}
    for major, debian in tested.items():
        if suites.get(major) != debian:
            wrong.append(f"ci.yml: tests PostgreSQL {major} on {debian}, scripts/test-matrix on {suites.get(major)}")
    if not {"15", "17", "18"} <= tested.keys():
        wrong.append("ci.yml: does not test PostgreSQL 15, 17 and 18")
    commands = [step["run"] for step in job["steps"] if "run" in step]
    if len(commands) != 2 or not re.search(r"^PG_CONFIG=\S+(?: \S+ \S+)?\S* scripts/test$", commands[-1]):
        wrong.append("ci.yml: runs something else than scripts/test; put it into our scripts")


def look_at_form(form):
    fields = [each for each in form["body"] if each["type"] in {"input", "textarea"}]
    asked = {each["id"]: each for each in fields}
    for name in ("versions", "sqlstate"):
        if not asked.get(name, {}).get("validations", {}).get("required"):
            wrong.append(f"bug.yml: does not ask for {name}")
    for each in fields:
        if re.search(r"\b(keys?|tokens?|passwords?|plaintexts?)\b", each["attributes"]["label"], re.IGNORECASE):
            wrong.append(f"bug.yml: asks for a secret: {each['attributes']['label']}")
    text = "".join(each["attributes"].get("value", "") for each in form["body"])
    if "Never write a key" not in text or "SECURITY.md" not in text:
        wrong.append("bug.yml: does not say what never to write, and where a weakness is reported")


for name, look in (("ci.yml", look_at_workflow), ("bug.yml", look_at_form)):
    try:
        look(documents[name])
    except (KeyError, TypeError, AttributeError) as error:
        wrong.append(f"{name}: is not there, or lacks a part: {error!r}")
for text in wrong:
    print(text)
sys.exit(1 if wrong else 0)
END
