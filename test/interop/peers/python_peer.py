"""Python's cryptography as a peer: see ../peer.py for what it reads and writes."""

import sys

import cryptography
from cryptography.fernet import Fernet, InvalidToken, MultiFernet


def unhex(text):
    return bytes.fromhex(text)


def fernets(keys):
    return [Fernet(unhex(key)) for key in keys.split(",")]


def open_token(keys, token, ttl, now):
    try:
        keys = fernets(keys)
    except ValueError:
        return "refused", ""
    # A single key without MultiFernet, as most use it.
    reader = keys[0] if len(keys) == 1 else MultiFernet(keys)
    try:
        if ttl == "-":
            return "opened", reader.decrypt(unhex(token)).hex()
        return "opened", reader.decrypt_at_time(unhex(token), int(ttl), int(now)).hex()
    except InvalidToken:
        return "refused", ""


def seal(keys, plaintext, now):
    return "sealed", fernets(keys)[0].encrypt_at_time(unhex(plaintext), int(now)).hex()


def rotate(keys, token):
    try:
        return "rotated", MultiFernet(fernets(keys)).rotate(unhex(token)).hex()
    except InvalidToken:
        return "refused", ""


TASKS = {"open": open_token, "seal": seal, "rotate": rotate}


def main():
    if sys.argv[1:] == ["--version"]:
        print(f"cryptography {cryptography.__version__}")
        return
    for line in sys.stdin:
        number, task, *arguments = line.rstrip("\n").split("\t")
        try:
            outcome, value = TASKS[task](*arguments)
        except Exception:  # what it is does not matter: none is documented
            outcome, value = "crashed", ""
        print(number, outcome, value, sep="\t")


if __name__ == "__main__":
    main()
