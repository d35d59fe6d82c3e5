"""The check at the start: in production, no start without a valid key.

A missing or wrong key shows late otherwise: at the first customer whose credential
does not open, or, worse, after new ones have been written under a wrong key.
"""

import logging
import os
from collections.abc import Mapping

from sqlalchemy import text
from sqlalchemy.engine import Engine

from .keys import InvalidKeys, Keys

log = logging.getLogger(__name__)


class NotReady(RuntimeError):
    """The application must not start."""


def is_production(environment: Mapping[str, str] = os.environ) -> bool:
    """Production unless the variable says otherwise: to forget it is safe."""
    return environment.get("APP_ENV", "production") == "production"


def load_keys(environment: Mapping[str, str] = os.environ) -> Keys | None:
    """The keys. In development there may be none."""
    try:
        return Keys.from_environment(environment)
    except InvalidKeys as error:
        _refuse_or_warn([str(error)], is_production(environment))
        return None


def check_database(engine: Engine, keys: Keys, production: bool) -> None:
    """Checks that the sessions of the engine have the keys of the application.

    PostgreSQL lets a session begin whose key in the connection options is
    malformed: it warns, which drivers do not show, and goes on without a key.
    """
    with engine.connect() as connection:
        session = (
            connection.execute(
                text("SELECT fingerprint FROM fernet_keys() ORDER BY key_index")
            )
            .scalars()
            .all()
        )
        doctor = connection.execute(text("SELECT * FROM fernet_doctor()")).all()

    problems = []
    if list(session) != keys.fingerprints:
        problems.append(
            f"the database session has the keys {list(session)}, "
            f"the application {keys.fingerprints}"
        )
    for item in doctor:
        if item.status == "fail":
            problems.append(f"{item.item}: {item.detail}")
        elif item.status == "warn":
            log.warning(
                "fernet_doctor", extra={"fields": {"item": item.item, "hint": item.hint}}
            )
    _refuse_or_warn(problems, production)


def _refuse_or_warn(problems: list[str], production: bool) -> None:
    if problems and production:
        raise NotReady("; ".join(problems))
    for problem in problems:
        log.warning(problem)
