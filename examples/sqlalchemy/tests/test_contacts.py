"""A row is found by its encrypted value, by the blind index of the column."""

import unittest
from pathlib import Path

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from app import database, models_contacts, schema
from app.keys import Keys
from app.models_contacts import Contact

from . import NEW, OLD, PSYCOPG, PSYCOPG2

KEYS = Keys(OLD)
TABLE = Path(models_contacts.__file__).with_name("contacts.sql")

ENGINES = {
    "psycopg 3, options": lambda keys: database.engine_by_options(PSYCOPG, KEYS, keys),
    "psycopg 3, transaction": lambda keys: database.engine_by_transaction(
        PSYCOPG, KEYS, keys
    ),
    "psycopg2, options": lambda keys: database.engine_by_options(PSYCOPG2, KEYS, keys),
}


class ContactsTest(unittest.TestCase):
    def test_a_contact_is_found_by_email(self) -> None:
        for name, engine_with in ENGINES.items():
            with self.subTest(name):
                engine = engine_with(Keys(OLD))
                schema.create(engine)
                with engine.begin() as connection:
                    connection.exec_driver_sql(TABLE.read_text())
                with Session(engine) as session:
                    session.add_all(Contact(email=f"{who}@example.com") for who in "abc")
                    session.commit()
                    found = session.query(Contact).filter_by(email="b@example.com").one()
                    self.assertEqual(found.email, "b@example.com")
                    other = aliased(Contact)
                    query = session.query(other).filter(other.email == "c@example.com")
                    self.assertEqual(query.one().email, "c@example.com")
                    query = session.query(Contact).filter_by(email="d@example.com")
                    self.assertIsNone(query.one_or_none())
                    session.add(Contact(email="a@example.com"))
                    with self.assertRaises(IntegrityError):
                        session.commit()
                engine.dispose()
                # While the index key is replaced, rows under the old one are found.
                engine = engine_with(Keys(f"{NEW},{OLD}"))
                with Session(engine) as session:
                    found = session.query(Contact).filter_by(email="a@example.com").one()
                    self.assertEqual(found.email, "a@example.com")
                    with self.assertRaises(TypeError):
                        session.query(Contact).filter(Contact.email.like("a%"))
                engine.dispose()
