"""What the platform is asked to do, in terms that fit both versions."""

import random
import uuid
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session


class WrongValue(Exception):
    """A credential was opened, and is not what was stored."""


@dataclass(frozen=True)
class Credential:
    """An attribute of a model that holds a credential."""

    model: Any
    attribute: str
    prefix: str

    def expected(self, row: Any) -> str:
        """The plaintext that belongs to a row.

        It changes with the revision. So a value that was lost, or came from another
        row, is noticed by whoever reads it.
        """
        return f"{self.prefix}-{row.name}-{row.revision}"

    def check(self, row: Any) -> None:
        if getattr(row, self.attribute) != self.expected(row):
            raise WrongValue(self.attribute)

    def store(self, row: Any) -> None:
        setattr(row, self.attribute, self.expected(row))


def credentials_of(models: ModuleType) -> list[Credential]:
    return [
        Credential(models.SlackConnection, "bot_token", "xoxb"),
        Credential(models.ConfluenceConnection, "access_token", "ATATT"),
    ]


def create(session: Session, credential: Credential) -> int:
    row = credential.model(name=str(uuid.uuid4()), revision=1)
    credential.store(row)
    session.add(row)
    session.flush()
    return row.id


def use(session: Session, credential: Credential, row_id: int) -> None:
    credential.check(session.get(credential.model, row_id))


def replace(session: Session, credential: Credential, row_id: int) -> None:
    row = session.get(credential.model, row_id, with_for_update=True)
    credential.check(row)
    row.revision += 1
    credential.store(row)


class Customers:
    """Asks for something at random: three of five times to use a credential."""

    def __init__(self, session: Session, credentials: list[Credential]) -> None:
        self._rows = {
            credential: list(session.execute(select(credential.model.id)).scalars())
            for credential in credentials
        }

    def request(self, session: Session) -> None:
        """One request, which is one transaction."""
        credential = random.choice(list(self._rows))
        rows = self._rows[credential]
        kind = random.random()
        with session.begin():
            if kind < 0.05:
                rows.append(create(session, credential))
            elif kind < 0.4:
                replace(session, credential, random.choice(rows))
            else:
                use(session, credential, random.choice(rows))
