"""pg_fernet in a server, which PGHOST and the like name."""

import pathlib
import subprocess
import sys
import tempfile

SQL = pathlib.Path(__file__).with_name("server.sql")


def write_rows(path, rows):
    with open(path, "w", encoding="ascii") as file:
        for row in rows:
            file.write("\t".join(row) + "\n")


def read_rows(path):
    with open(path, encoding="ascii") as file:
        return [line.rstrip("\n").split("\t") for line in file]


class Answers:
    """What the server has said, by the number of the task.

    opened: outcome, plaintext, SQLSTATE, which key it was, the function that
        disagrees or ""
    sealed, column: the token
    rotated: outcome, token
    made_keys: a list
    """

    def __init__(self, folder):
        def read(name):
            return {int(row[0]): row[1:] for row in read_rows(folder / name)}

        self.opened = {
            number: (row[0], bytes.fromhex(row[1]), row[2], int(row[3]), row[4])
            for number, row in read("opened").items()
        }
        self.sealed = {number: bytes.fromhex(row[0]) for number, row in read("sealed").items()}
        self.column = {number: bytes.fromhex(row[0]) for number, row in read("column_rotated").items()}
        self.rotated = {number: (row[0], bytes.fromhex(row[1])) for number, row in read("rotated").items()}
        self.made_keys = [bytes.fromhex(row[0]) for row in read_rows(folder / "made_keys")]


def ask(psql, open_tasks, seal_tasks=(), rotate_tasks=(), column=(), column_keys=""):
    """Has the server do the tasks. The rows are as in peer.py, with the number
    first; `column` are rows of a number and a token."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_rows(folder / "open_tasks", [["\\N" if v == "-" else v for v in task] for task in open_tasks])
        write_rows(folder / "seal_tasks", seal_tasks)
        write_rows(folder / "rotate_tasks", rotate_tasks)
        write_rows(folder / "column", column)
        run = subprocess.run(
            [psql, "-X", "-v", f"column_keys={column_keys}", "-f", SQL],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode != 0 or run.stderr:
            # SQLSTATEs: they show no value.
            sys.exit(f"The server cannot do it:\n{run.stderr}")
        return Answers(folder)
