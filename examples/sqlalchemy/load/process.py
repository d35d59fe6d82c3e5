"""One process of the trial. It works from its start until it gets SIGTERM.

Standard output has two lines of JSON: one when it is ready, and one with what it has
done. Standard error has the log.
"""

import argparse
import json
import logging
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

from cryptography.fernet import InvalidToken
from sqlalchemy import text
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from app import database, logs, models_database, models_python, startup
from app.keys import Keys

from .requests import Customers, WrongValue, credentials_of

log = logging.getLogger(__name__)

MODELS = {"python": models_python, "database": models_database}

# Nobody is left to stop a process whose parent has died.
LIFETIME = 3600


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
            "by_second": self._done,
            "done": sum(self._done.values()),
            "failed": self._counts["failed"],
            "unreadable": self._counts["unreadable"],
            "slowest": self._slowest,
        }


def serve(engine: Engine, version: str) -> Callable[[], Callable[[], int]]:
    """Work for the application: each thread has customers of its own."""
    credentials = credentials_of(MODELS[version])

    def start() -> Callable[[], int]:
        with Session(engine) as session:
            customers = Customers(session, credentials)

        def work() -> int:
            with Session(engine) as session:
                customers.request(session)
            return 1

        return work

    return start


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


def make_engine(arguments: argparse.Namespace, keys: Keys) -> Engine:
    """An engine whose sessions have passed the check of the application."""
    if arguments.key_by == "python":
        return database.engine_without_key(arguments.url)
    if arguments.key_by == "transaction":
        engine = database.engine_by_transaction(arguments.url, keys)
    else:
        engine = database.engine_by_options(arguments.url, keys)
    startup.check_database(engine, keys, startup.is_production())
    return engine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", choices=[*MODELS, "audit"])
    parser.add_argument("--key-by", choices=["python", "options", "transaction"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--url", default=database.database_url())
    parser.add_argument("--log-sql", action="store_true")
    arguments = parser.parse_args()

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    logs.set_up(log_sql=arguments.log_sql)
    keys = startup.load_keys(os.environ)
    if keys is None:
        sys.exit("there is nothing to do without a key")
    engine = make_engine(arguments, keys)

    if arguments.work == "audit":

        def start() -> Callable[[], int]:
            return partial(audit, engine)

    else:
        start = serve(engine, arguments.work)
    tally = Tally()

    def loop() -> None:
        work = start()
        while not stop.is_set():
            tally.run(work)

    # The starts of other processes go first, as they would on machines of their own.
    os.nice(10)
    threads = [threading.Thread(target=loop) for _ in range(arguments.threads)]
    for thread in threads:
        thread.start()
    log.info("ready", extra={"fields": {"keys": keys.fingerprints}})
    print(json.dumps({"ready": True}), flush=True)
    stop.wait(LIFETIME)
    stop.set()
    for thread in threads:
        thread.join()
    engine.dispose()
    print(json.dumps(tally.report()), flush=True)


if __name__ == "__main__":
    main()
