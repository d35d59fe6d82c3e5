"""The table of the intended differences, differences.md."""

import pathlib
import re

PATH = pathlib.Path(__file__).with_name("differences.md")
HEADING = ["library", "case", "it", "pg_fernet", "why"]
# As the table says it, and as a peer does.
OUTCOMES = {"opens": "opened", "refuses": "refused", "crashes": "crashed"}


class Difference:
    """A line of the table: what a library does with a kind of case, always,
    sometimes or in some of its versions, and what pg_fernet does."""

    def __init__(self, fields):
        self.library, self.kind, it, ours, self.why = fields
        self.in_some_versions = it.startswith("in some versions ")
        self.sometimes = self.in_some_versions or it.startswith("sometimes ")
        self.theirs = OUTCOMES[it.split()[-1]]
        self.ours = OUTCOMES[ours]
        if self.theirs == self.ours or not self.why:
            raise ValueError(f"no difference, or no reason: {self.name}")
        self.happened = 0

    @property
    def name(self):
        return f"{self.library}, {self.kind}"


def read(kinds):
    """The lines of the table by library and kind, which are in `kinds` with what
    pg_fernet does."""
    table = {}
    rows = [line for line in PATH.read_text(encoding="ascii").splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]
    if cells[0] != HEADING:
        raise ValueError(f"{PATH.name}: the columns are not {HEADING}")
    for fields in cells[2:]:
        difference = Difference(fields)
        key = difference.library, difference.kind
        if kinds.get(difference.kind) != difference.ours or key in table:
            raise ValueError(f"{PATH.name}: no such case, not what pg_fernet does, or twice: {difference.name}")
        table[key] = difference
    return table
