"""Tests of the example, on the server that the variables of libpq name."""

import logging
import os
import sys
import threading
import unittest

# Public keys, for tests and nothing else.
OLD = "this-is-test-key-1-do-not-use-it-anywhere-A="
NEW = "this-is-test-key-2-do-not-use-it-anywhere-A="

os.environ["TOKEN_ENCRYPTION_KEY"] = OLD

PSYCOPG = "postgresql+psycopg://"
PSYCOPG2 = "postgresql+psycopg2://"


def keep_logging(test: unittest.TestCase) -> None:
    """Undoes what app.logs.set_up() changes when the test is over."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    hooks = sys.excepthook, threading.excepthook

    def undo() -> None:
        root.handlers[:] = handlers
        root.setLevel(level)
        sys.excepthook, threading.excepthook = hooks
        logging.captureWarnings(False)
        for name in ("sqlalchemy.engine", "sqlalchemy.pool"):
            logging.getLogger(name).setLevel(logging.NOTSET)

    test.addCleanup(undo)
