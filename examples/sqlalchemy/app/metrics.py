"""Metrics as text, in the format that Prometheus reads.

python3 -m app.metrics prints them; an application serves expose() at /metrics.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection

from . import database
from .keys import Keys

COUNTERS = {
    "encrypted": "tokens made",
    "decrypted": "tokens opened",
    "rotated": "tokens re-encrypted with the first key",
    "malformed": "values refused as no tokens",
    "no_key_opens": "tokens that no key opened",
    "wrong_age": "tokens expired or from the future",
    "key_errors": "keys refused or missing",
}

ROTATION = {
    "share": "part of the pages that has been read, from 0 to 1",
    "rotated": "values written so far",
    "failed": "values that could not be rotated so far",
}


def expose(connection: Connection, keys: Keys) -> str:
    """The keys of this process, the counters of the database, rotations under way.

    The counters are missing where the server does not keep any: PostgreSQL 15 and
    16 without shared_preload_libraries = 'pg_fernet'.
    """
    counters = connection.execute(
        text("SELECT * FROM pg_stat_fernet WHERE datname = current_database()")
    )
    rotations = connection.execute(text("SELECT * FROM fernet_rotation_progress"))
    return render(keys, counters.mappings().all(), rotations.mappings().all())


def render(
    keys: Keys,
    counters: Iterable[Mapping[Any, Any]],
    rotations: Iterable[Mapping[Any, Any]],
) -> str:
    families = [
        _family(
            "app_fernet_key_info",
            "gauge",
            "keys of this process by fingerprint; the first encrypts",
            [
                ({"position": str(position), "fingerprint": fingerprint}, 1)
                for position, fingerprint in enumerate(keys.fingerprints, start=1)
            ],
        )
    ]
    for name, help_text in COUNTERS.items():
        samples = [({"datname": row["datname"]}, row[name]) for row in counters]
        families.append(
            _family(f"pg_fernet_{name}_total", "counter", help_text, samples)
        )
    for name, help_text in ROTATION.items():
        samples = [
            (
                {
                    "relation": row["relation"],
                    "column": ",".join(row["columns"]),
                    "slice": str(row["slice"]),
                },
                row[name],
            )
            for row in rotations
        ]
        families.append(
            _family(f"pg_fernet_rotation_{name}", "gauge", help_text, samples)
        )
    return "".join(families)


def _family(
    name: str, kind: str, help_text: str, samples: list[tuple[dict[str, str], Any]]
) -> str:
    lines = [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        if value is not None:
            pairs = ",".join(f'{key}="{_escape(text)}"' for key, text in labels.items())
            lines.append(f"{name}{{{pairs}}} {value}")
    # Leave out a family without samples.
    return "\n".join(lines) + "\n" if len(lines) > 2 else ""


def _escape(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def main() -> None:
    keys = Keys.from_environment()
    engine = database.engine_by_options(database.database_url(), keys)
    with engine.connect() as connection:
        print(expose(connection, keys), end="")


if __name__ == "__main__":
    main()
