"""What README.md shows is what happens."""

import contextlib
import io
import re
import subprocess
import unittest
from pathlib import Path

from . import keep_logging

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(
    r"(?P<reason><!-- not run: [^\n]+ -->\n)?```(?P<language>\w+)\n(?P<code>.*?)```\n"
    r"(\n```text\n(?P<output>.*?)```\n)?",
    re.DOTALL,
)


class ReadmeTest(unittest.TestCase):
    def test_blocks(self) -> None:
        """Runs the blocks in their order, the Python in one namespace."""
        keep_logging(self)
        names: dict[str, object] = {}
        run = 0
        for block in BLOCK.finditer((ROOT / "README.md").read_text()):
            if block["reason"] or block["language"] == "text":
                continue
            run += 1
            with self.subTest(block["code"].splitlines()[0]):
                if block["language"] == "python":
                    output = self.run_python(block["code"], names)
                else:
                    output = self.run_shell(block["code"])
                if block["output"]:
                    self.assertRegex(output, _pattern(block["output"]))
        self.assertGreater(run, 4)

    def run_python(self, code: str, names: dict[str, object]) -> str:
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(code, "README.md", "exec"), names)
        return output.getvalue()

    def run_shell(self, code: str) -> str:
        done = subprocess.run(
            ["sh", "-eu"], input=code, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        self.assertEqual(done.returncode, 0)
        return done.stdout

    def test_packages(self) -> None:
        """The command that installs has the packages of the file."""
        listed = re.sub(r"#.*", "", (ROOT / "packages").read_text()).split()
        self.assertIn(
            f"sudo apt-get install {' '.join(listed)}\n",
            (ROOT / "README.md").read_text(),
        )


def _pattern(output: str) -> re.Pattern:
    """Three dots stand for what differs from run to run."""
    pattern = re.escape(output.replace("...\n", "...")).replace(re.escape("..."), ".*")
    return re.compile(rf"\A{pattern}\Z", re.DOTALL)
