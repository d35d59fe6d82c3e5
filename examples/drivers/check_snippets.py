"""Checks that every snippet in the tables of drivers in docs/keys.md is in a program here,
letter by letter, so that what the page shows is what runs."""

import pathlib
import re
import sys

# Debian has no Npgsql.
UNTESTED = {"Npgsql"}

here = pathlib.Path(__file__).parent
programs = "\n".join(
    file.read_text()
    for file in sorted(here.iterdir())
    if file.suffix in {".go", ".java", ".mjs", ".py", ".rb", ".sh"} and file.name != "check_snippets.py"
)
section = (here / "../../docs/keys.md").read_text()
section = section[section.index("Connection options, by driver:"):]
section = section[:section.index("\nA key that was set inside a transaction")]

rows = [line.strip("| \n").split(" | ", 1) for line in section.splitlines() if line.startswith("| ")]
checked, found = 0, 0
for driver, snippet in rows:
    for _, code in re.findall(r"(`+) ?(.+?) ?\1(?!`)", snippet):
        # The rest are names, such as that of an option.
        if "key" not in code or driver in UNTESTED:
            continue
        checked += 1
        if code not in programs:
            print(f"docs/keys.md, {driver}: no program in examples/drivers has: {code}")
            found = 1
if checked < 20:
    sys.exit(f"docs/keys.md: only {checked} snippets were found")
print(f"{checked} snippets of docs/keys.md are what runs here")
sys.exit(found)
