"""Makes the tables of bench/core out of Google Benchmark's results.

usage: report.py TIMES PASS...

TIMES is the report of all benchmarks, repeated; each PASS that of one short run
of those that are compared.
"""

import json
import statistics
import sys

from collections import defaultdict

LARGE = 16 * 1024

# The most that a token of 40 bytes may take, against the best loop and against
# the intrinsics. What OpenSSL does around both, which the intrinsics do not, is
# more before version 3.5.
TARGETS = {
    "old": {"seal": (1.0, 1.5), "open": (1.0, 1.6)},
    "new": {"seal": (1.05, 1.3), "open": (1.05, 1.3)},
}

# What is measured, in the order of the table.
ROWS = [
    ("seal", ["ours", "loop", "loop, our base64", "intrinsics", "naive", "bare", "bare, our base64"]),
    ("open", ["ours", "loop", "loop, our base64", "intrinsics", "naive", "bare", "bare, our base64"]),
    (
        "open",
        [
            "2nd of 2 keys, again",
            "5th of 5 keys, again",
            "2 keys in turn",
            "5th and 4th of 5 keys in turn",
        ],
    ),
    ("verify", ["ours"]),
    ("rotate", ["ours"]),
    ("stage", ["AES encrypt", "AES decrypt", "HMAC", "base64 encode", "base64 decode"]),
    ("iv", ["RandomBuffer", "RAND_bytes"]),
]


class Results:
    """The times, in nanoseconds, of each repetition in each of the reports."""

    def __init__(self, reports):
        self.times = defaultdict(list)
        self.sizes = []
        for run in [run for report in reports for run in report["benchmarks"]]:
            if run.get("run_type") != "iteration":
                continue
            if run.get("error_occurred"):
                sys.exit(f"{run['name']}: {run['error_message']}")
            what, variant, size = run["name"].split("/")[:3]
            self.times[what, variant, int(size)].append(run["cpu_time"])
            if what == "seal" and int(size) not in self.sizes:
                self.sizes.append(int(size))
        self.sizes.sort()

    def median(self, *key):
        return statistics.median(self.times[key]) if key in self.times else None

    def ratios(self, above, below, minus=None):
        """Two ratios, of what `above` takes longer than `minus`, if that is given:
        the median over the passes; and that of the least times, which whatever else
        the machine did has disturbed least."""
        above, below = self.times[above], self.times[below]
        less = self.times[minus] if minus else [0] * len(above)
        median = statistics.median((a - c) / b for a, b, c in zip(above, below, less, strict=True))
        return median, (min(above) - min(less)) / min(below)


def name_of(size):
    for unit, factor in [("MiB", 1 << 20), ("KiB", 1 << 10)]:
        if size >= factor:
            return f"{size // factor} {unit}"
    return f"{size} B"


def print_times(results):
    print("Nanoseconds for a token; from 16 KiB on, MB of plaintext a second.\n")
    print("| | " + " | ".join(name_of(size) for size in results.sizes) + " |")
    print("|---|" + "--:|" * len(results.sizes))
    for what, variants in ROWS:
        for variant in variants:
            if what == "iv":
                continue
            cells = []
            for size in results.sizes:
                time = results.median(what, variant, size)
                if time is None:
                    cells.append("")
                elif size < LARGE:
                    cells.append(f"{time:.0f}")
                else:
                    cells.append(f"{size / time * 1000:.0f}")
            if any(cells):
                print(f"| {what}, {variant} | " + " | ".join(cells) + " |")
    for variant in dict(ROWS)["iv"]:
        print(f"\n16 random bytes, {variant}: {results.median('iv', variant, 16):.0f} ns")


def print_ratios_of(text, ratios, target, bound):
    ratio, of_least = ratios
    met = ratio <= target if bound == "at most" else ratio >= target
    print(f"| {text} | {ratio:.2f} | {of_least:.2f} | {bound} {target:g} | {'met' if met else 'MISSED'} |")


def is_old(openssl):
    """Whether it is before 3.5; `openssl` is such as "OpenSSL 3.0.17 1 Jul 2025"."""
    return tuple(int(part) for part in openssl.split()[1].split(".")[:2]) < (3, 5)


def print_ratios(results, targets):
    print("\n| ratio | median | of the least times | target | |\n|---|--:|--:|---|---|")
    for what in ["seal", "open"]:
        ours = (what, "ours", 40)
        of_loop, of_intrinsics = targets[what]
        print_ratios_of(
            f"{what} at 40 B, time against the best loop",
            results.ratios(ours, (what, "loop, our base64", 40)),
            of_loop,
            "at most",
        )
        if (what, "intrinsics", 40) in results.times:
            print_ratios_of(
                f"{what} at 40 B, time against intrinsics",
                results.ratios(ours, (what, "intrinsics", 40)),
                of_intrinsics,
                "at most",
            )
        for size in [size for size in results.sizes if size >= LARGE]:
            print_ratios_of(
                f"{what} at {name_of(size)}, speed against AES and HMAC alone",
                results.ratios((what, "bare", size), (what, "ours", size)),
                0.9,
                "at least",
            )
            print_ratios_of(
                f"{what} at {name_of(size)}, speed against AES, HMAC and our base64 alone",
                results.ratios((what, "bare, our base64", size), (what, "ours", size)),
                0.9,
                "at least",
            )
    # Of two keys in turn, one wrong one is tried for each token.
    print_ratios_of(
        "a wrong key tried first at 40 B, against one opening",
        results.ratios(("open", "2 keys in turn", 40), ("open", "ours", 40), minus=("open", "ours", 40)),
        0.65,
        "at most",
    )
    print_ratios_of(
        "the 2nd of 2 keys again at 40 B, time against a single key",
        results.ratios(("open", "2nd of 2 keys, again", 40), ("open", "ours", 40)),
        1.05,
        "at most",
    )
    for what in ["seal", "open"]:
        ratio, of_least = results.ratios((what, "naive", 40), (what, "ours", 40))
        print(f"| {what} at 40 B, time of the naive way against ours | {ratio:.1f} | {of_least:.1f} | | |")


def read(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def main(times, *passes):
    report = read(times)
    context = report["context"]
    print(f"{context['openssl']}, compiler {context['compiler']}, {context['num_cpus']} processors\n")
    print_times(Results([report]))
    print_ratios(Results([read(path) for path in passes]), TARGETS["old" if is_old(context["openssl"]) else "new"])


main(*sys.argv[1:])
