"""Python's side of 007_python.pl.

    007_python.py make FOLDER    makes keys, and tokens for SQL to open
    007_python.py check FOLDER   opens the tokens that SQL has made

Files are tables: a line is a row, its columns are separated by tabs, bytes are
hexadecimal. Neither a key nor a token nor a plaintext is printed.
"""

import sys
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

CREATED = 1_500_000_000  # when the tokens were made whose age is judged
TTLS = (0, 1, 60, 3600, 10**9)


def plaintexts():
    """Yields a name, whether it is text, and the bytes."""
    for size in (0, 1, 15, 16, 17, 31, 32, 33, 1000, 2**20):
        yield f"text of {size} bytes", True, b"x" * size
        yield f"{size} bytes", False, bytes(i * 7 % 256 for i in range(size))
    yield "every byte", False, bytes(range(256))
    yield "zero bytes", False, bytes(100)
    yield "umlauts", True, "Grüße aus Köln, \N{EURO SIGN} 5".encode()
    yield "other scripts", True, "пароль, 密码, \U0001f511".encode()
    yield "quotes, tabs and line ends", True, b"a'b\"c\\d\te\r\nf\n"


def read_rows(path):
    with open(path, encoding="ascii") as file:
        return [line.rstrip("\n").split("\t") for line in file]


def write_rows(path, rows):
    with open(path, "w", encoding="ascii") as file:
        for row in rows:
            file.write("\t".join(str(value) for value in row) + "\n")


def moments():
    """Yields ttl and now on both sides of each boundary."""
    for ttl in TTLS:
        for edge in (CREATED - 60, CREATED, CREATED + ttl):
            for now in (edge - 1, edge, edge + 1):
                yield ttl, now


def accepts(key, token, ttl, now):
    try:
        Fernet(key).decrypt_at_time(token, ttl, now)
    except InvalidToken:
        return False
    return True


def make(folder):
    new, old = Fernet.generate_key(), Fernet.generate_key()
    (folder / "keys").write_text(f"{new.decode()},{old.decode()}")
    rows = []
    for name, is_text, plaintext in plaintexts():
        for index, key in enumerate((new, old), start=1):
            created = CREATED + len(rows)
            token = Fernet(key).encrypt_at_time(plaintext, created)
            rows.append((name, is_text, plaintext.hex(), token.decode(),
                         index, created))
    write_rows(folder / "tokens", rows)
    aged = Fernet(new).encrypt_at_time(b"aged", CREATED)
    write_rows(folder / "ages",
               [(aged.decode(), ttl, now, accepts(new, aged, ttl, now))
                for ttl, now in moments()])
    # What Python has rotated: the same timestamp, under the first key.
    both = MultiFernet([Fernet(new), Fernet(old)])
    write_rows(folder / "rotated",
               [(row[0], row[2], both.rotate(row[3].encode()).decode(), row[5])
                for row in rows])


class Checks:
    """Counts what was checked, and says what was wrong."""

    def __init__(self):
        self.checked = 0
        self.failed = 0

    def check(self, name, is_right):
        self.checked += 1
        if not is_right:
            self.failed += 1
            print(f"failed: {name}")


def opened(key, token):
    try:
        return Fernet(key).decrypt(token)
    except (InvalidToken, ValueError):
        return None


def check(folder):
    new, old = (folder / "keys").read_text().split(",")
    both = MultiFernet([Fernet(new), Fernet(old)])
    checks = Checks()

    # Columns: what, plaintext, token, its timestamp.
    for what, plaintext, token, created in read_rows(folder / "made"):
        checks.check(f"{what}: opens under the first key",
                     opened(new, token.encode()) == bytes.fromhex(plaintext))
        checks.check(f"{what}: and in a MultiFernet",
                     both.decrypt(token.encode()) == bytes.fromhex(plaintext))
        checks.check(f"{what}: not under the other key",
                     opened(old, token.encode()) is None)
        checks.check(f"{what}: keeps its timestamp",
                     Fernet(new).extract_timestamp(token.encode())
                     == int(created))

    # Columns: key, token of "made with it".
    for key, token in read_rows(folder / "generated"):
        checks.check("a generated key is accepted",
                     opened(key, token.encode()) == b"made with it")

    # Columns: token, ttl, now, whether SQL accepts it.
    for token, ttl, now, is_accepted in read_rows(folder / "judged"):
        checks.check(f"age with ttl {ttl}",
                     accepts(new, token.encode(), int(ttl), int(now))
                     == (is_accepted == "t"))

    print(f"checked {checks.checked}, failed {checks.failed}")


if __name__ == "__main__":
    {"make": make, "check": check}[sys.argv[1]](Path(sys.argv[2]))
