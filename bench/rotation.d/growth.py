"""Measures how the time and the memory of a rotation, of the gate and of a search
grow with the rows: of one table, and of another with ten times as many.

usage: growth.py ROWS

On the server that the environment names; bench/rotation starts it.
"""

import re
import sys
import threading
import time

from measuring import (
    NEW_KEY,
    OLD_KEY,
    connect,
    cpu_time,
    execute,
    judge,
    query,
    timed,
)

TIMES = 10
STEPS = {
    "fernet_find_tokens": (
        [OLD_KEY],
        "SELECT tokens FROM fernet_find_tokens(relations => '{t}')",
    ),
    "fernet_rotate_column": (
        [NEW_KEY, OLD_KEY],
        "CALL fernet_rotate_column('t', 'token')",
    ),
    "fernet_assert_rotated": (
        [NEW_KEY],
        "SELECT fernet_assert_rotated('t', 'token')",
    ),
}


class Peak(threading.Thread):
    """The most kilobytes that a process has had for itself, until it is stopped.
    The pages of shared memory are not its own."""

    def __init__(self, pid):
        super().__init__()
        self.path = f"/proc/{pid}/status"
        self.kilobytes = 0
        self.stopped = threading.Event()

    def run(self):
        while not self.stopped.wait(0.02):
            with open(self.path, encoding="ascii") as file:
                now = re.search(r"^RssAnon:\s+(\d+) kB", file.read(), re.MULTILINE)
            self.kilobytes = max(self.kilobytes, int(now[1]))


def make_table(rows):
    connection = connect(OLD_KEY)
    execute(
        connection,
        "DROP TABLE IF EXISTS t",
        "CREATE TABLE t AS SELECT id::integer, fernet_encrypt('token-' || id) AS token "
        f"FROM generate_series(1, {rows}) AS id",
        "VACUUM ANALYZE t",
        "CHECKPOINT",
    )
    connection.close()


def measure(keys, statement):
    """The seconds, those of the processor, and the peak of the memory, in a session
    of its own. The server's compiler is off: it takes up to 23 MB for itself."""
    connection = connect(*keys)
    execute(connection, "SET jit = off")
    (pid,) = query(connection, "SELECT pg_backend_pid()")
    peak = Peak(pid)
    peak.start()
    try:
        computed = cpu_time(pid)
        seconds, row = timed(connection, statement)
        computed = cpu_time(pid) - computed
        time.sleep(0.1)
    finally:
        peak.stopped.set()
        peak.join()
    connection.close()
    return seconds, computed, peak.kilobytes, row[0]


def main(rows):
    execute(connect(), "CREATE EXTENSION IF NOT EXISTS pg_fernet")
    results = {name: [] for name in STEPS}
    for size in [rows, TIMES * rows]:
        make_table(size)
        for name, (keys, statement) in STEPS.items():
            *figures, answer = measure(keys, statement)
            if answer not in ("", size):
                sys.exit(f"{name}: not all of {size} rows, but {answer}")
            results[name].append(figures)
    print(f"\n{rows} rows, and {TIMES} times as many\n")
    print(f"  {'':<24}{'seconds':>18}{'CPU seconds':>18}{'memory, kB':>18}")
    for name, (small, large) in results.items():
        print(
            f"  {name:<24}"
            + "".join(f"{f'{a:.1f}, {b:.1f}':>18}" for a, b in zip(small[:2], large[:2]))
            + f"{f'{small[2]}, {large[2]}':>18}"
        )
    print()
    for name, (small, large) in results.items():
        for index, what in enumerate(["time", "CPU"]):
            if small[index] > 0:
                ratio = large[index] / small[index] / TIMES
                print(f"  {f'{what} for a row, {name}':<44}{ratio:>8.2f}  {judge(ratio, 1.15, 'at most')}")
        ratio = large[2] / small[2]
        print(f"  {f'memory, {name}':<44}{ratio:>8.2f}  {judge(ratio, 1.15, 'at most')}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
