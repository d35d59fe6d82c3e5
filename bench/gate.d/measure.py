"""Measures the gate beside a query that counts keys.

usage: measure.py ROWS ROUNDS

On the server that the environment names; bench/gate starts it.
"""

import statistics
import sys
import threading
import time

from measuring import NEW_KEY, OLD_KEY, connect, execute, timed

COUNT = "SELECT count(fernet_key_index(token)) FROM t"
GATE = "SELECT fernet_assert_rotated('t', 'token')"
CLIENTS = 4
PAUSE = 0.002  # seconds between two transactions of a client


def make_table(connection, rows):
    execute(
        connection,
        "CREATE EXTENSION IF NOT EXISTS pg_fernet",
        "CREATE TABLE t AS SELECT id, fernet_encrypt(left(md5(id::text) || md5((id + 1)::text),"
        f" 32 + mod(id, 33)::int)) AS token FROM generate_series(1, {rows}) AS id",
        "ALTER TABLE t ADD PRIMARY KEY (id)",
        "VACUUM ANALYZE t",
        "SET max_parallel_workers_per_gather = 0",
    )


def work(stop, number, rows):
    """Is an application: it reads a row and writes another one."""
    connection = connect(NEW_KEY, OLD_KEY)
    turn = number
    while not stop.is_set():
        turn = (turn * 7919 + 104729) % rows + 1
        execute(
            connection,
            f"SELECT token FROM t WHERE id = {turn}",
            f"UPDATE t SET token = fernet_encrypt('renewed') WHERE id = {rows + 1 - turn}",
        )
        time.sleep(PAUSE)
    connection.close()


def compare(connection, name, rounds):
    count, gate = [], []
    for _ in range(rounds):
        count.append(timed(connection, COUNT)[0])
        gate.append(timed(connection, GATE)[0])
    count, gate = statistics.median(count), statistics.median(gate)
    print(f"{name}: count {count:.3f} s, gate {gate:.3f} s, ratio {gate / count:.2f}", flush=True)


def main():
    rows, rounds = int(sys.argv[1]), int(sys.argv[2])
    connection = connect(NEW_KEY, OLD_KEY)
    make_table(connection, rows)
    compare(connection, "quiet", rounds)
    stop = threading.Event()
    clients = [threading.Thread(target=work, args=(stop, i + 1, rows)) for i in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        compare(connection, f"{CLIENTS} clients", rounds)
    finally:
        stop.set()
        for client in clients:
            client.join()


if __name__ == "__main__":
    main()
