"""Measures one large value: time, and the peak of the backend's memory. See
bench/sql --help."""

import argparse
import pathlib
import re
import sys

from measuring import NEW_KEY, connect, execute, query, table, timed

# The largest token is one that still fits into a row; without the row, the
# plaintext could have 96 bytes more.
SIZES = [1 << 20, 64 << 20, 256 << 20, 805306207]
MEBIBYTE = 1 << 20
# A value is measured several times if together they have at most this size.
SEVERAL = 512 << 20


def peak_of(connection):
    """The most bytes of address space that the backend of a session has had. What
    was resident would be nearer to the point, but the kernel counts that in lots
    of up to 256 kB."""
    pid = query(connection, "SELECT pg_backend_pid()")[0]
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(re.search(r"^VmPeak:\s+(\d+) kB", status, re.MULTILINE)[1]) * 1024


def measure(connection, call, column, size, rounds):
    """The seconds of a call, the least of several where it is short, and the peak
    in bytes of the first, in a session that has made it before with a small value."""
    statement = f"SELECT octet_length({call}({column})) FROM large_value WHERE size = %s"
    seconds, row = timed(connection, statement, (size,))
    peak = peak_of(connection)
    for _ in range(1, min(rounds, SEVERAL // size)):
        seconds = min(seconds, timed(connection, statement, (size,))[0])
    return seconds, peak, row[0]


def net(call, column, size, rounds):
    """The same net of a function that does nothing; and the output's size."""
    figures = []
    for function in ["trivial", call]:
        connection = connect(NEW_KEY)
        query(connection, "SELECT fernet_decrypt_bytea(fernet_encrypt('x'::bytea)), trivial('x'::bytea)")
        figures.append(measure(connection, function, column, size, rounds))
        connection.close()
    (base_seconds, base_peak, _), (seconds, peak, output) = figures
    return max(seconds - base_seconds, 1e-9), peak - base_peak, output


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--largest", type=int)
    options = parser.parse_args()

    connection = connect(NEW_KEY)
    execute(
        connection,
        "SET client_min_messages = warning",
        "CREATE EXTENSION IF NOT EXISTS pg_fernet",
        "CREATE OR REPLACE FUNCTION trivial(text) RETURNS text AS 'trivial' LANGUAGE c STRICT",
        "CREATE OR REPLACE FUNCTION trivial(bytea) RETURNS bytea AS 'trivial' LANGUAGE c STRICT",
        "CREATE TABLE large_value (size bigint, plaintext text, token text)",
        # As they are: what the server does to compress a value is not ours.
        "ALTER TABLE large_value ALTER plaintext SET STORAGE EXTERNAL, ALTER token SET STORAGE EXTERNAL",
    )
    rows = []
    for size in [size for size in SIZES if size <= (options.largest or size)]:
        # In two steps, for a row of both cannot be built.
        query(connection, "INSERT INTO large_value VALUES (%s, repeat('x', %s)) RETURNING 1", (size, size))
        query(connection, "UPDATE large_value SET token = fernet_encrypt(plaintext) WHERE size = %s RETURNING 1", (size,))
        for call, column in [("fernet_encrypt", "plaintext"), ("fernet_decrypt", "token")]:
            seconds, memory, output = net(call, column, size, options.rounds)
            expected = size if call == "fernet_decrypt" else (25 + (size // 16 + 1) * 16 + 32 + 2) // 3 * 4
            if output != expected:
                sys.exit(f"{call} of {size} bytes gives {output}, not {expected}")
            rows.append(
                [
                    f"{call}, {size / MEBIBYTE:.0f} MiB",
                    f"{seconds * 1000:.0f}",
                    f"{size / seconds / 1e6:.0f}",
                    f"{memory / MEBIBYTE:.1f}",
                    f"{(memory - output) / 1024:.0f}",
                ]
            )
    print("\nOne value, net of a function that only reads its argument; the last columns are memory.")
    table(["", "ms", "MB/s", "MiB beyond the input", "kB beyond input and output"], rows)


main()
