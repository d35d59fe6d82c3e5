"""Replaces the key of the platform while both of its versions serve requests.

python3 -m load

On the server that the variables of libpq name, in a schema "integrations" that it
makes, with keys that it makes. Ends with 0 if no request failed, and if no value was
unreadable by either version at any time.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from cryptography.fernet import Fernet
from sqlalchemy import text
from sqlalchemy.orm import Session

from app import database, logs, metrics, models_database, models_python, schema
from app.keys import VARIABLE, Keys

from .requests import create, credentials_of

PSYCOPG = "postgresql+psycopg://"
PSYCOPG2 = "postgresql+psycopg2://"

# The processes of the platform. Version (a) never gives its key to the database;
# version (b) gives it in either of the two ways.
SERVERS = {
    "python": ["python", "--key-by", "python", "--url", PSYCOPG2],
    "database": ["database", "--key-by", "options", "--url", PSYCOPG],
    "database, by transaction": [
        *["database", "--key-by", "transaction", "--url", PSYCOPG]
    ],
}
AUDITOR = {"auditor": ["audit", "--key-by", "options", "--threads", "1"]}


@dataclass
class Totals:
    """What all processes with the same keys have done."""

    requests: int = 0
    values_audited: int = 0
    failed: int = 0
    unreadable: int = 0
    slowest: float = 0.0


@dataclass
class Trial:
    """The processes under way, and what those that have ended have done."""

    log: IO[str]
    log_sql: bool
    running: dict[str, subprocess.Popen] = field(default_factory=dict)
    totals: dict[str, Totals] = field(default_factory=dict)
    by_second: Counter = field(default_factory=Counter)
    stage: str = ""

    def deploy(self, stage: str, keys: str) -> None:
        """Replaces one process after the other by one that has these keys.

        The new one takes up work before the old one stops. So there are always
        processes with the keys of this stage and of the one before side by side.
        """
        for name, arguments in (SERVERS | AUDITOR).items():
            process = self._start(arguments, keys)
            if name in self.running:
                self._stop(name, self.stage)
            self.running[name] = process
        self.stage = stage

    def stop(self) -> None:
        for name in list(self.running):
            self._stop(name, self.stage)

    def kill(self) -> None:
        for process in self.running.values():
            process.kill()

    def _start(self, arguments: list[str], keys: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [
                *[sys.executable, "-m", "load.process", *arguments],
                *(["--log-sql"] if self.log_sql else []),
            ],
            env={**os.environ, VARIABLE: keys, "APP_ENV": "production"},
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        if not process.stdout.readline():
            raise RuntimeError(f"a process did not start: see {self.log.name}")
        return process

    def _stop(self, name: str, stage: str) -> None:
        process = self.running.pop(name)
        process.terminate()
        report = json.loads(process.communicate(timeout=300)[0])
        if process.returncode != 0 or report["done"] == 0:
            raise RuntimeError(f"the {name} did nothing: see {self.log.name}")
        totals = self.totals.setdefault(stage, Totals())
        totals.failed += report["failed"]
        totals.unreadable += report["unreadable"]
        if name in AUDITOR:
            totals.values_audited += report["done"]
        else:
            totals.requests += report["done"]
            totals.slowest = max(totals.slowest, report["slowest"])
            for second, done in report["by_second"].items():
                self.by_second[int(second)] += done


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
    job = subprocess.Popen(
        # Small batches and pauses, so that it takes some time with little data.
        [
            *[sys.executable, "-m", "app.rotate"],
            *["--batch-rows", "100", "--pause", "50 ms"],
        ],
        env={**os.environ, VARIABLE: keys},
        stderr=trial.log,
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
        raise RuntimeError(f"the rotation failed: see {trial.log.name}")
    return started, seen


def run(trial: Trial, rows: int, seconds: float) -> dict[str, Any]:
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    os.environ[VARIABLE] = old
    fill(Keys(old), rows)

    started = time.time()
    trial.deploy("old", old)
    time.sleep(seconds)
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
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    logs.set_up()

    with ExitStack() as stack:
        log = stack.enter_context(arguments.log.open("w"))
        trial = Trial(log, arguments.log_sql)
        stack.callback(trial.kill)
        result = run(trial, arguments.rows, arguments.seconds)
    if arguments.json:
        print(json.dumps(result))
    else:
        show(trial, result)
    return 0 if succeeded(result) else 1


if __name__ == "__main__":
    sys.exit(main())
