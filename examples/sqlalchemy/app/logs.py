"""Structured logging, one JSON object a line, into which no secret gets.

What SQLAlchemy logs is harmless because of hide_parameters=True (database.py). What
is left are the texts of exceptions: PostgreSQL's details show whole rows and the
values that it did not like. So an exception is logged by its type, its SQLSTATE and
its place, and by its message only where pg_fernet made it, which promises that no
message of its own holds a key, a token or a plaintext.
"""

import json
import logging
import os
import sys
import threading
import traceback
from datetime import datetime, timezone
from typing import Any, TextIO

from sqlalchemy.exc import DBAPIError


class JsonFormatter(logging.Formatter):
    """Fields of your own: log.info("ready", extra={"fields": {"port": 80}})."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1]:
            entry["error"] = describe(record.exc_info[1])
        return json.dumps(entry)


def sqlstate(error: BaseException) -> str | None:
    """The SQLSTATE of an exception of SQLAlchemy, psycopg or psycopg2, if it has one."""
    if isinstance(error, DBAPIError):
        error = error.orig
    # psycopg 3 and psycopg2, in this order
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)


def describe(error: BaseException) -> dict[str, Any]:
    """What may be logged of an exception."""
    description: dict[str, Any] = {"type": type(error).__name__}
    state = sqlstate(error)
    if state:
        description["sqlstate"] = state
        if state.startswith("PF"):
            original = error.orig if isinstance(error, DBAPIError) else error
            description["message"] = original.diag.message_primary
    frames = traceback.extract_tb(error.__traceback__)
    if frames:
        # The last place in this program: where in the libraries says little.
        own = [frame for frame in frames if "/dist-packages/" not in frame.filename]
        frame = (own or frames)[-1]
        name = os.path.basename(frame.filename)
        description["where"] = f"{name}:{frame.lineno} in {frame.name}"
    return description


def set_up(stream: TextIO = sys.stderr, log_sql: bool = False) -> None:
    """Everything that is logged goes through JsonFormatter, uncaught exceptions too."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    if log_sql:
        # What echo=True and echo_pool="debug" would log.
        logging.getLogger("sqlalchemy.engine").setLevel(logging.INFO)
        logging.getLogger("sqlalchemy.pool").setLevel(logging.DEBUG)

    def log_uncaught(kind: Any, error: Any, trace: Any) -> None:
        logging.critical("uncaught exception", exc_info=(kind, error, trace))

    sys.excepthook = log_uncaught
    threading.excepthook = lambda args: log_uncaught(*args[:3])
