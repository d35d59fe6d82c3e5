"""The application of the demo: keeps tokens in columns with Python's Fernet.

It knows nothing of pg_fernet. Rows go in and out as CSV, by psql's COPY; keys
come in the environment, where no list of processes shows them.

    application.py new-key
    application.py write KIND ROWS RECORD       rows to COPY FROM, on stdout
    application.py compare RECORD [--plaintext] rows of COPY TO, on stdin
    application.py open-none                    rows of COPY TO, on stdin

RECORD is a CSV file of what was put in: name and plaintext.
"""

import csv
import os
import sys

from cryptography.fernet import Fernet, InvalidToken

# What tokens tend to look like, and what they seldom do: other scripts, signs
# that CSV and SQL treat specially, nothing at all, and a long one.
UNUSUAL = [
    "",
    "Z\u00fcrich \u6771\u4eac \U0001f511",
    "it's \"quoted\", 100% \\ safe;\nin two lines\t",
    '{"access_token": "' + "x" * 5000 + '"}',
]


def fernet():
    """Returns the one key that this application has."""
    return Fernet(os.environ["APPLICATION_KEY"])


def plaintexts(kind, rows):
    """Yields name and plaintext of each row."""
    for number in range(1, rows + 1):
        if number <= len(UNUSUAL):
            secret = UNUSUAL[number - 1]
        else:
            secret = f"{kind}-{number:06d}-{number * 2654435761 % 2**32:08x}"
        yield f"{kind}-{number:06d}", secret


def csv_writer(stream):
    """Quotes all: an unquoted empty value would be NULL to COPY."""
    return csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n")


def write(kind, rows, record):
    """Prints rows of name and token, and notes what is in them."""
    out = csv_writer(sys.stdout)
    with open(record, "w", encoding="utf-8", newline="") as file:
        notes = csv_writer(file)
        for name, secret in plaintexts(kind, int(rows)):
            out.writerow([name, fernet().encrypt(secret.encode()).decode()])
            notes.writerow([name, secret])


def read_rows(stream):
    """Returns the rows of a CSV file by name; no name may come twice."""
    rows = {}
    for name, value in csv.reader(stream):
        if name in rows:
            sys.exit(f"there are two rows with the name {name}")
        rows[name] = value
    return rows


def compare(record, plaintext):
    """Reads every row and compares it with what was put in."""
    with open(record, encoding="utf-8", newline="") as file:
        wanted = read_rows(file)
    found = read_rows(sys.stdin)
    if not wanted or wanted.keys() != found.keys():
        sys.exit(f"{len(wanted)} rows were put in, {len(found)} came out")
    wrong = []
    for name, value in found.items():
        if not plaintext:
            try:
                value = fernet().decrypt(value.encode()).decode()
            except InvalidToken:
                wrong.append(name)
                continue
        if value != wanted[name]:
            wrong.append(name)
    if wrong:
        sys.exit(f"{len(wrong)} of {len(found)} rows are wrong, as {wrong[0]}")
    print(f"{len(found)} rows read, each equal to what was put in")


def open_none():
    """Makes sure that the key opens not one row."""
    rows = read_rows(sys.stdin)
    if not rows:
        sys.exit("there are no rows")
    for name, token in rows.items():
        try:
            fernet().decrypt(token.encode())
        except InvalidToken:
            continue
        sys.exit(f"the key still opens {name}")
    print(f"{len(rows)} rows read, none of which this key opens")


def main(command, *arguments):
    sys.stdin.reconfigure(encoding="utf-8", newline="")
    sys.stdout.reconfigure(encoding="utf-8", newline="")
    # The csv module stops at values that are long for a spreadsheet.
    csv.field_size_limit(2**30)
    if command == "new-key":
        print(Fernet.generate_key().decode())
    elif command == "write":
        write(*arguments)
    elif command == "compare":
        compare(arguments[0], "--plaintext" in arguments)
    elif command == "open-none":
        open_none()
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
