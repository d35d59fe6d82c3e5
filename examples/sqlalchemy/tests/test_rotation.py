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
ROWS, SECONDS = ("20000", "60") if LONG else ("1000", "1")


class RotationTest(unittest.TestCase):
    def test_both_versions_under_load(self) -> None:
        with contextlib.ExitStack() as stack:
            log = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "log"
            run = subprocess.run(
                [
                    *[sys.executable, "-m", "load", "--rows", ROWS],
                    *["--seconds", SECONDS, "--log", str(log), "--log-sql"],
                ],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            print(run.stdout)
            self.assertEqual(run.returncode, 0)
            text = log.read_text()
        # The log has the statements, and neither key nor token nor plaintext. The
        # keys are made by the program: what looks like one must not be there.
        self.assertIn("INSERT INTO integrations.slack_connection", text)
        self.assertIn("every value is under the first key", text)
        for secret in ("gAAAAA", "xoxb-", "ATATT-"):
            self.assertNotIn(secret, text)
        self.assertEqual(re.findall(r"(?<![\w-])[\w-]{43}=", text), [])
