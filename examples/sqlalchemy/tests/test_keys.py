"""The keys of the application are those of the database, the wrong ones too."""

import unittest

from sqlalchemy import text

from app import database
from app.keys import InvalidKeys, Keys

from . import NEW, OLD, PSYCOPG

WRONG = {
    "empty": "",
    "too short": OLD[:-2],
    "too long": OLD[:-1] + "A=",
    "standard base64": "+" + OLD[1:],
    "stray bits at the end": OLD[:-2] + "B=",
    "second is empty": f"{OLD},",
    "second is no key": f"{OLD},secret",
    "twice": f"{OLD},{OLD[:-1]}",
}


class KeysTest(unittest.TestCase):
    def session_fingerprints(self, setting: str) -> list[str]:
        """What a session says that is given this key as it stands."""
        engine = database.engine_without_key(PSYCOPG)
        self.addCleanup(engine.dispose)
        with engine.connect() as connection:
            connection.execute(text("CREATE EXTENSION IF NOT EXISTS pg_fernet"))
            # A key is looked at from the first call of a function on.
            connection.execute(text("SELECT * FROM fernet_keys()"))
            connection.execute(
                text("SELECT set_config('fernet.key', :key, false)"), {"key": setting}
            )
            rows = connection.execute(text("SELECT fingerprint FROM fernet_keys()"))
            return list(rows.scalars())

    def test_fingerprints_are_those_of_the_database(self) -> None:
        for setting in (OLD, NEW[:-1], f" {NEW} ,\n{OLD}"):
            with self.subTest(setting):
                self.assertEqual(
                    Keys(setting).fingerprints, self.session_fingerprints(setting)
                )

    def test_wrong_keys_are_refused_by_both(self) -> None:
        for what, setting in WRONG.items():
            with self.subTest(what):
                with self.assertRaises(InvalidKeys) as refused:
                    Keys(setting)
                self.assertNotIn(OLD[:8], str(refused.exception))
                if setting:
                    with self.assertRaises(Exception) as refused_by_database:
                        self.session_fingerprints(setting)
                    self.assertIn("Fernet key", str(refused_by_database.exception))

    def test_keys_do_not_show_themselves(self) -> None:
        keys = Keys(f"{NEW},{OLD}")
        for shown in (str(keys), repr(keys), f"{keys}"):
            self.assertEqual(shown, "Keys(d44ded723620a7bd, d4fa6fd82bc463ee)")
