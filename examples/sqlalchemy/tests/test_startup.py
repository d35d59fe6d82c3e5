"""In production the application starts with the right key only."""

import unittest

from app import database, schema, startup
from app.keys import VARIABLE, Keys

from . import NEW, OLD, PSYCOPG, PSYCOPG2


class StartupTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        schema.create(database.engine_without_key(PSYCOPG))

    def test_production_is_the_default(self) -> None:
        self.assertTrue(startup.is_production({}))
        self.assertFalse(startup.is_production({"APP_ENV": "development"}))

    def test_no_start_without_a_valid_key(self) -> None:
        for environment in ({}, {VARIABLE: " "}, {VARIABLE: "secret"}):
            with self.assertRaises(startup.NotReady):
                startup.load_keys(environment)
            with self.assertLogs("app.startup", "WARNING"):
                environment["APP_ENV"] = "development"
                self.assertIsNone(startup.load_keys(environment))
        keys = startup.load_keys({VARIABLE: OLD})
        self.assertEqual(keys.fingerprints, Keys(OLD).fingerprints)

    def test_sessions_have_the_keys(self) -> None:
        keys = Keys(f"{NEW},{OLD}")
        for engine in (
            database.engine_by_options(PSYCOPG, keys),
            database.engine_by_options(PSYCOPG2, keys),
            database.engine_by_transaction(PSYCOPG, keys),
        ):
            startup.check_database(engine, keys, production=True)
            engine.dispose()

    def test_no_start_when_the_database_has_other_keys(self) -> None:
        keys = Keys(f"{NEW},{OLD}")
        for what, engine in {
            "none": database.engine_without_key(PSYCOPG),
            "one of two": database.engine_by_options(PSYCOPG, Keys(NEW)),
            "another order": database.engine_by_options(PSYCOPG, Keys(f"{OLD},{NEW}")),
        }.items():
            with self.subTest(what):
                with self.assertRaises(startup.NotReady) as refused:
                    startup.check_database(engine, keys, production=True)
                self.assertIn(keys.fingerprints[0], str(refused.exception))
                with self.assertLogs("app.startup", "WARNING"):
                    startup.check_database(engine, keys, production=False)
                engine.dispose()

    def test_no_start_when_the_doctor_finds_a_failure(self) -> None:
        keys = Keys(OLD)
        engine = database.engine_by_options(PSYCOPG, keys)
        self.addCleanup(engine.dispose)
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "CREATE FUNCTION integrations.leak(token text) RETURNS text"
                " IMMUTABLE RETURN fernet_decrypt(token)"
            )
        try:
            with self.assertRaisesRegex(startup.NotReady, "stored plaintext"):
                startup.check_database(engine, keys, production=True)
        finally:
            with engine.begin() as connection:
                connection.exec_driver_sql("DROP FUNCTION integrations.leak(text)")
