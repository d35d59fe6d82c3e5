"""The keys of the application: the environment variable TOKEN_ENCRYPTION_KEY.

One key, or several separated by commas. The first encrypts, all decrypt: the rule
of MultiFernet, and of the setting "fernet.key".
"""

import base64
import hmac
import os
import re
from collections.abc import Mapping

from cryptography.fernet import Fernet, MultiFernet

VARIABLE = "TOKEN_ENCRYPTION_KEY"

_SHAPE = re.compile(r"[A-Za-z0-9_-]{43}=?")


class InvalidKeys(ValueError):
    """Says what is wrong with which key, and never what the key is."""


class Keys:
    """The keys, which can be used but not printed: they show their fingerprints."""

    def __init__(self, text: str) -> None:
        self._keys = [
            _parse(position, key.strip())
            for position, key in enumerate(text.split(","), start=1)
        ]
        if len(set(self._keys)) < len(self._keys):
            raise InvalidKeys(f"a key stands in {VARIABLE} twice")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Keys":
        if not environment.get(VARIABLE, "").strip():
            raise InvalidKeys(f"{VARIABLE} is not set")
        return cls(environment[VARIABLE])

    @property
    def setting(self) -> str:
        """The value for the setting "fernet.key" of a database session."""
        return ",".join(self._keys)

    @property
    def fernet(self) -> MultiFernet:
        """The same keys for Python."""
        return MultiFernet([Fernet(key) for key in self._keys])

    @property
    def fingerprints(self) -> list[str]:
        """What fernet_keys() shows for these keys, in their order.

        A fingerprint tells keys apart and does not help to guess one: it may be
        logged, compared and shown.
        """
        return [
            hmac.new(
                base64.urlsafe_b64decode(key), b"pg_fernet key fingerprint v1", "sha256"
            ).hexdigest()[:16]
            for key in self._keys
        ]

    def __repr__(self) -> str:
        return f"Keys({', '.join(self.fingerprints)})"


def _parse(position: int, key: str) -> str:
    """Returns the key with its padding, which Python wants and others leave out.

    As strict as the database, so that a key is not accepted by one and refused by
    the other.
    """
    if not _SHAPE.fullmatch(key):
        raise InvalidKeys(
            f"key {position} in {VARIABLE} is not 32 bytes in URL-safe base64"
        )
    padded = key.rstrip("=") + "="
    if base64.urlsafe_b64encode(base64.urlsafe_b64decode(padded)).decode() != padded:
        raise InvalidKeys(f"key {position} in {VARIABLE} ends in bits that are not 0")
    return padded
