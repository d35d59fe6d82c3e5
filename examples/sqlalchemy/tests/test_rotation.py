"""A whole rotation under load, as python3 -m load does it."""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

LONG = os.environ.get("FERNET_LONG") == "1"
# In the short form every statement is logged, and none of it may hold a secret. In
# the long one that would be a gigabyte.
SIZE = (
    ["--rows", "20000", "--seconds", "60"]
    if LONG
    else ["--rows", "300", "--seconds", "0.5", "--log-sql"]
)


class RotationTest(unittest.TestCase):
    def load(self, *arguments: str) -> tuple[int, str, str]:
        """Returns the exit status, the output and the log of a run."""
        with contextlib.ExitStack() as stack:
            log = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "log"
            run = subprocess.run(
                [sys.executable, "-m", "load", "--log", str(log), *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            print(run.stdout)
            return run.returncode, run.stdout, log.read_text()

    def assert_no_secrets(self, log: str) -> None:
        for secret in ("gAAAAA", "xoxb-", "ATATT-"):
            self.assertNotIn(secret, log)
        # The program makes its keys: what looks like one must not be there.
        self.assertEqual(re.findall(r"(?<![\w-])[\w-]{43}=", log), [])

    def test_both_versions_under_load(self) -> None:
        status, _, log = self.load(*SIZE)
        self.assertEqual(status, 0)
        if not LONG:
            self.assertIn("INSERT INTO integrations.slack_connection", log)
        self.assertIn("every value is encrypted with the first key", log)
        self.assert_no_secrets(log)

    def test_a_careless_rotation_is_noticed(self) -> None:
        """Processes with the old key alone meet values under the new one."""
        status, output, log = self.load(
            "--rows", "100", "--seconds", "0.5", "--careless"
        )
        self.assertEqual(status, 1)
        old = re.search(r"^old +\d+ +\d+ +\d+ +(\d+)", output, re.MULTILINE)
        self.assertGreater(int(old.group(1)), 0)
        self.assertIn('"sqlstate": "PF004"', log)
        self.assertIn('"type": "InvalidToken"', log)
        self.assert_no_secrets(log)
