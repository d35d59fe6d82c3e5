"""The libraries that pg_fernet is compared with, each a program of its own.

A peer reads tasks from its standard input, a line each, and answers each with a
line. Fields are separated by tabs; values are hexadecimal, and those of several
keys are separated by commas. The time is in seconds since 1970.

    NUMBER open KEYS TOKEN TTL NOW      NUMBER opened PLAINTEXT
    NUMBER seal KEYS PLAINTEXT NOW      NUMBER sealed TOKEN
    NUMBER rotate KEYS TOKEN            NUMBER rotated TOKEN

A TTL of "-" is none. Without a value, the other answers are "refused"; "crashed",
when the library fails in a way that it does not document; and "unasked", when
there is no way to ask it.
"""

import json
import pathlib
import subprocess
import sys

FOLDER = pathlib.Path(__file__).parent / "peers"


def debian_version(package):
    found = subprocess.run(
        ["dpkg-query", "-W", "-f=${Version}", package], capture_output=True, text=True, check=False
    )
    return found.stdout or "of unknown version"


class Peer:
    """A library: its `name` in differences.md, `version` and what it can do."""

    def __init__(self, name, command, version, keeps_time=True, rotates=False):
        self.name = name
        self.command = command
        self.version = version
        # Whether it makes a token of any time, or of the present only.
        self.keeps_time = keeps_time
        self.rotates = rotates

    def ask(self, tasks):
        """Has the library do the tasks, and returns pairs of an outcome and the
        value, by the number of the task."""
        run = subprocess.run(
            self.command,
            input="".join("\t".join(task) + "\n" for task in tasks),
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode != 0:
            # What it has to say might show values.
            sys.exit(f"{self.name}: the program ends with {run.returncode}")
        answers = {}
        for line in run.stdout.splitlines():
            number, outcome, value = line.split("\t")
            answers[int(number)] = outcome, bytes.fromhex(value)
        if answers.keys() != {int(task[0]) for task in tasks}:
            sys.exit(f"{self.name}: the program has not answered each line")
        return answers


def peers(names, build):
    """The peers of these names; programs that were built are in `build`."""
    npm = json.loads((FOLDER / "npm/package.json").read_text(encoding="ascii"))
    make = {
        "python": lambda: Peer(
            "Python", [sys.executable, FOLDER / "python_peer.py"],
            subprocess.run(
                [sys.executable, FOLDER / "python_peer.py", "--version"], capture_output=True, text=True, check=True
            ).stdout.strip(),
            rotates=True,
        ),
        "go": lambda: Peer(
            "Go", [build / "go-peer"],
            f"fernet-go {debian_version('golang-github-fernet-fernet-go-dev')}",
            keeps_time=False,
        ),
        "rust": lambda: Peer(
            "Rust", [build / "rust/release/fernet-peer"], f"fernet {debian_version('librust-fernet-dev')}"
        ),
        "npm": lambda: Peer(
            "npm", ["node", "--no-deprecation", build / "npm/main.js"], f"fernet {npm['dependencies']['fernet']}"
        ),
    }
    return [make[name]() for name in names]
