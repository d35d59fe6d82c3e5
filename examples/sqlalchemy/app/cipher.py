"""How version (a) encrypts: in Python, with the keys of the environment."""

from functools import lru_cache

from cryptography.fernet import MultiFernet

from .keys import Keys


@lru_cache(maxsize=1)
def _fernet() -> MultiFernet:
    return Keys.from_environment().fernet


def encrypt(plaintext: str | None) -> str | None:
    return None if plaintext is None else _fernet().encrypt(plaintext.encode()).decode()


def decrypt(token: str | None) -> str | None:
    return None if token is None else _fernet().decrypt(token.encode()).decode()
