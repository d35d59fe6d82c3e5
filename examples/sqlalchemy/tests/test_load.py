"""The trial notices what it is made for: it could fail."""

import logging
import unittest
from collections.abc import Callable
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app import database, models_database, models_python, schema
from app.keys import Keys
from load import process, requests

from . import NEW, OLD, PSYCOPG

SLACK = "integrations.slack_connection"


class LoadTest(unittest.TestCase):
    def setUp(self) -> None:
        logging.disable()
        self.addCleanup(logging.disable, logging.NOTSET)
        self.engine = database.engine_by_options(PSYCOPG, Keys(OLD))
        self.addCleanup(self.engine.dispose)
        schema.create(self.engine)
        self.credentials = requests.credentials_of(models_database)
        with Session(self.engine) as session, session.begin():
            for credential in self.credentials:
                for _ in range(3):
                    requests.create(session, credential)

    def change(self, statement: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement))

    def count(self, work: Callable[[], int]) -> tuple[Any, ...]:
        tally = process.Tally()
        tally.run(work)
        report = tally.report()
        return report["done"], report["failed"], report["unreadable"]

    def audit(self) -> int:
        return process.audit(self.engine)

    def test_all_is_well(self) -> None:
        self.assertEqual(self.count(self.audit), (12, 0, 0))

    def test_requests_leave_all_well(self) -> None:
        for models in (models_python, models_database):
            credentials = requests.credentials_of(models)
            with Session(self.engine) as session:
                customers = requests.Customers(session, credentials)
            for _ in range(100):
                with Session(self.engine) as session:
                    customers.request(session)
        self.assertGreater(self.audit(), 12)
        with self.engine.connect() as connection:
            revisions = text(f"SELECT max(revision) FROM {SLACK}")
            self.assertGreater(connection.execute(revisions).scalar(), 1)

    def test_a_value_of_another_row(self) -> None:
        self.change(
            f"UPDATE {SLACK} SET bot_token_encrypted ="
            f" (SELECT min(bot_token_encrypted) FROM {SLACK})"
        )
        self.assertEqual(self.count(self.audit), (0, 0, 1))

    def test_a_replacement_that_was_lost(self) -> None:
        self.change(f"UPDATE {SLACK} SET revision = revision + 1")
        self.assertEqual(self.count(self.audit), (0, 0, 1))

    def test_a_value_under_an_unknown_key(self) -> None:
        stranger = database.engine_by_options(PSYCOPG, Keys(NEW))
        with stranger.begin() as connection:
            connection.execute(
                text(f"UPDATE {SLACK} SET bot_token_encrypted = fernet_encrypt('x')")
            )
        stranger.dispose()
        for models in (models_python, models_database):
            credential = requests.credentials_of(models)[0]
            with Session(self.engine) as session:
                self.assertEqual(
                    self.count(lambda: requests.use(session, credential, 1) or 1),
                    (0, 0, 1),
                )

    def test_a_database_that_refuses(self) -> None:
        self.change(f"DROP TABLE {SLACK}")
        self.assertEqual(self.count(self.audit), (0, 1, 0))
