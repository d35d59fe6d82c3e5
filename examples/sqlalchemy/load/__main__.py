"""Replaces the key of the platform while both of its versions serve requests.

python3 -m load

On the server that the variables of libpq name, in a schema "integrations" that it
makes, with keys that it makes. Ends with 0 if no request failed, and if no value was
unreadable by either version at any time.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from sqlalchemy import text
from sqlalchemy.orm import Session

from app import database, logs, metrics, models_database, models_python, schema
from app.keys import VARIABLE, Keys

from . import process
from .process import Role
from .requests import create, credentials_of

PSYCOPG = "postgresql+psycopg://"
PSYCOPG2 = "postgresql+psycopg2://"

# The processes of the platform. Version (a) never gives its key to the database;
# version (b) gives it in either of the two ways.
SERVERS = {
    "python": Role("python", "nothing", PSYCOPG2),
    "database": Role("database", "options", PSYCOPG),
    "database, by transaction": Role("database", "transaction", PSYCOPG),
}
AUDITOR = {"auditor": Role("audit", "options", PSYCOPG, threads=1)}

# Processes are forked from one that has imported everything, and start at once.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([process.__name__])


@dataclass
class Totals:
    """What all processes with the same keys have done."""

    requests: int = 0
    values_audited: int = 0
    failed: int = 0
    unreadable: int = 0
    slowest: float = 0.0


class Trial:
    """The processes under way, and what those that have ended have done."""

    def __init__(self, log: Path, log_sql: bool, overlap: float) -> None:
        self.log = log
        self.totals: dict[str, Totals] = {}
        self.by_second: Counter[int] = Counter()
        self._log_sql = log_sql
        self._overlap = overlap
        self._running: dict[str, tuple[BaseProcess, Connection]] = {}
        self._stage = ""

    def deploy(self, stage: str, keys: str) -> None:
        """Replaces one process after the other by one that has these keys.

        The new one works for a while before the old one stops. So processes with
        the keys of this stage and of the one before are at work side by side.
        """
        for name, role in (SERVERS | AUDITOR).items():
            started = self._start(role, keys)
            if name in self._running:
                time.sleep(self._overlap)
                self._stop(name)
            self._running[name] = started
        self._stage = stage

    def stop(self) -> None:
        for name in list(self._running):
            self._stop(name)

    def _start(self, role: Role, keys: str) -> tuple[BaseProcess, Connection]:
        ours, theirs = PROCESSES.Pipe()
        # A daemon ends with this program, whatever happens to it.
        child = PROCESSES.Process(
            target=process.run,
            args=(role, keys, str(self.log), self._log_sql, theirs),
            daemon=True,
        )
        child.start()
        theirs.close()
        self._receive(ours)
        return child, ours

    def _stop(self, name: str) -> None:
        """Has a process finish the request under way, and counts what it has done.

        Until it has been replaced, it belongs to the stage before.
        """
        child, connection = self._running.pop(name)
        connection.send("stop")
        report = self._receive(connection)
        child.join()
        if not any(report[kind] for kind in ("done", "failed", "unreadable")):
            raise RuntimeError(f"a process did nothing: see {self.log}")
        totals = self.totals.setdefault(self._stage, Totals())
        totals.failed += report["failed"]
        totals.unreadable += report["unreadable"]
        if name in AUDITOR:
            totals.values_audited += report["done"]
        else:
            totals.requests += report["done"]
            totals.slowest = max(totals.slowest, report["slowest"])
            self.by_second.update(report["by_second"])

    def _receive(self, connection: Connection) -> Any:
        try:
            return connection.recv()
        except EOFError:
            raise RuntimeError(f"a process gave up: see {self.log}") from None


def fill(keys: Keys, rows: int) -> None:
    """Makes the tables: half of the rows by either version."""
    engine = database.engine_by_options(PSYCOPG, keys)
    schema.create(engine)
    for models in (models_python, models_database):
        with Session(engine) as session, session.begin():
            for credential in credentials_of(models):
                for _ in range(rows // 2):
                    create(session, credential)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    engine.dispose()


def readable_values(keys: Keys) -> tuple[int, int]:
    """In new sessions with these keys alone: how many values open, and of how many."""
    engine = database.engine_by_options(PSYCOPG, keys)
    with engine.connect() as connection:
        counts = connection.execute(
            text(
                "SELECT count(*) FILTER (WHERE fernet_verify(token)), count(*) FROM ("
                " SELECT bot_token_encrypted FROM integrations.slack_connection"
                " UNION ALL"
                " SELECT access_token_encrypted FROM integrations.confluence_connection"
                ") AS credential (token)"
            )
        ).one()
    engine.dispose()
    return counts[0], counts[1]


def run_job(trial: Trial, keys: str) -> tuple[float, list[str]]:
    """Runs the job that rotates. Returns when it began, and metrics from its midst."""
    started = time.time()
    seen: list[str] = []
    with trial.log.open("a") as log:
        job = subprocess.Popen(
            # Small batches and pauses, so that it takes some time with little data.
            [
                *[sys.executable, "-m", "app.rotate"],
                *["--batch-rows", "100", "--pause", "50 ms"],
            ],
            env={**os.environ, VARIABLE: keys},
            stderr=log,
        )
    observed = Keys(keys)
    engine = database.engine_by_options(PSYCOPG, observed)
    with engine.connect() as connection:
        while job.poll() is None:
            page = metrics.expose(connection, observed)
            connection.rollback()
            seen = [
                line for line in page.splitlines() if "rotation_share{" in line
            ] or seen
            time.sleep(0.05)
    engine.dispose()
    if job.returncode != 0:
        raise RuntimeError(f"the rotation failed: see {trial.log}")
    return started, seen


def run(trial: Trial, rows: int, seconds: float, careless: bool) -> dict[str, Any]:
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    os.environ[VARIABLE] = old
    fill(Keys(old), rows)

    started = time.time()
    trial.deploy("old", old)
    time.sleep(seconds)
    if not careless:
        trial.deploy("old,new", f"{old},{new}")
        time.sleep(seconds)
    trial.deploy("new,old", f"{new},{old}")
    time.sleep(seconds)
    job_started, seen = run_job(trial, f"{new},{old}")
    job_ended = time.time()
    trial.deploy("new", new)
    time.sleep(seconds)
    trial.stop()
    ended = time.time()

    readable, values = readable_values(Keys(new))
    during_job = [
        done
        for second, done in trial.by_second.items()
        if int(job_started) <= second <= int(job_ended)
    ]
    return {
        "seconds": ended - started,
        "requests_per_second": sum(trial.by_second.values()) / (ended - started),
        "job_seconds": job_ended - job_started,
        "requests_per_second_during_job": sum(during_job) / len(during_job),
        "metrics": seen,
        "values": values,
        "readable_with_new_key": readable,
        "readable_with_old_key": readable_values(Keys(old))[0],
        "failed": sum(totals.failed for totals in trial.totals.values()),
        "unreadable": sum(totals.unreadable for totals in trial.totals.values()),
    }


def show(trial: Trial, result: dict[str, Any]) -> None:
    print("keys      requests  values audited  failed  unreadable  slowest request")
    for stage, totals in trial.totals.items():
        print(
            f"{stage:9} {totals.requests:8} {totals.values_audited:15} "
            f"{totals.failed:7} {totals.unreadable:11} {totals.slowest * 1000:13.0f} ms"
        )
    print(
        f"\n{result['requests_per_second']:.0f} requests per second "
        f"over {result['seconds']:.0f} s, "
        f"{result['requests_per_second_during_job']:.0f} during the rotation "
        f"of {result['job_seconds']:.1f} s"
    )
    for line in result["metrics"]:
        print(f"seen meanwhile: {line}")
    print(
        f"{result['values']} values: the new key alone opens "
        f"{result['readable_with_new_key']}, "
        f"the old key alone {result['readable_with_old_key']}"
    )


def succeeded(result: dict[str, Any]) -> bool:
    return (
        result["failed"] == 0
        and result["unreadable"] == 0
        and result["readable_with_new_key"] == result["values"]
        and result["readable_with_old_key"] == 0
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2000, help="in each table")
    parser.add_argument("--seconds", type=float, default=2, help="for each stage")
    parser.add_argument("--log", type=Path, default=Path("load.log"))
    parser.add_argument("--log-sql", action="store_true", help="log statements too")
    parser.add_argument(
        "--careless", action="store_true", help="leave out the step old,new"
    )
    arguments = parser.parse_args()
    logs.set_up()

    arguments.log.write_text("")
    trial = Trial(arguments.log, arguments.log_sql, overlap=arguments.seconds / 4)
    result = run(trial, arguments.rows, arguments.seconds, arguments.careless)
    show(trial, result)
    return 0 if succeeded(result) else 1


if __name__ == "__main__":
    sys.exit(main())
