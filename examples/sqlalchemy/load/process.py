"""One process of the trial: a server of the platform, or the auditor."""

import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection

from cryptography.fernet import InvalidToken
from sqlalchemy import text
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from app import database, logs, models_database, models_python, startup
from app.keys import VARIABLE, Keys

from .requests import Customers, WrongValue, credentials_of

log = logging.getLogger(__name__)

MODELS = {"python": models_python, "database": models_database}


@dataclass(frozen=True)
class Role:
    """What a process does, how its database sessions get the key, and by what driver."""

    work: str
    key_by: str
    url: str
    threads: int = 2


class Tally:
    """What was done, counted by all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done: Counter[int] = Counter()
        self._counts: Counter[str] = Counter()
        self._slowest = 0.0

    def run(self, work: Callable[[], int]) -> None:
        """Does some work, which says how much it was."""
        started = time.monotonic()
        done = 0
        failure = ""
        try:
            done = work()
        except Exception as error:
            log.error("request failed", exc_info=True)
            unreadable = isinstance(error, (InvalidToken, WrongValue))
            unreadable = unreadable or logs.sqlstate(error) in ("PF003", "PF004")
            failure = "unreadable" if unreadable else "failed"
        with self._lock:
            self._done[int(time.time())] += done
            self._slowest = max(self._slowest, time.monotonic() - started)
            if failure:
                self._counts[failure] += 1

    def report(self) -> dict[str, object]:
        return {
            "by_second": dict(self._done),
            "done": sum(self._done.values()),
            "failed": self._counts["failed"],
            "unreadable": self._counts["unreadable"],
            "slowest": self._slowest,
        }


def audit(engine: Engine) -> int:
    """Reads every value by both versions, in one snapshot. Returns how many."""
    values = 0
    with Session(engine) as session:
        session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        for models in MODELS.values():
            for credential in credentials_of(models):
                for row in session.query(credential.model):
                    credential.check(row)
                    values += 1
    return values


def make_work(engine: Engine, role: Role) -> Callable[[], int]:
    """What one thread does again and again. Says how much it has done."""
    if role.work == "audit":
        return partial(audit, engine)
    with Session(engine) as session:
        customers = Customers(session, credentials_of(MODELS[role.work]))

    def serve() -> int:
        with Session(engine) as session:
            customers.request(session)
        return 1

    return serve


def make_engine(role: Role, keys: Keys) -> Engine:
    """An engine whose sessions have passed the check of the application."""
    if role.key_by == "nothing":
        return database.engine_without_key(role.url)
    if role.key_by == "transaction":
        engine = database.engine_by_transaction(role.url, keys)
    else:
        engine = database.engine_by_options(role.url, keys)
    startup.check_database(engine, keys, startup.is_production())
    return engine


def run(role: Role, keys: str, log_file: str, log_sql: bool, parent: Connection) -> None:
    """Works until the parent says so, or is gone.

    Sends True when it is at work, and at the end what it has done.
    """
    with open(log_file, "a") as stream:
        logs.set_up(stream, log_sql)
        os.environ[VARIABLE] = keys
        try:
            _work(role, parent)
        except Exception:
            log.exception("the process gives up")
            sys.exit(1)


def _work(role: Role, parent: Connection) -> None:
    keys = startup.load_keys()
    if keys is None:
        raise startup.NotReady("there is nothing to do without a key")
    engine = make_engine(role, keys)
    tally = Tally()
    stop = threading.Event()

    def loop(work: Callable[[], int]) -> None:
        while not stop.is_set():
            tally.run(work)

    threads = [
        threading.Thread(target=loop, args=[make_work(engine, role)])
        for _ in range(role.threads)
    ]
    for thread in threads:
        thread.start()
    log.info("ready", extra={"fields": {"keys": keys.fingerprints}})
    parent.send(True)
    parent.poll(None)
    stop.set()
    for thread in threads:
        thread.join()
    engine.dispose()
    parent.send(tally.report())
