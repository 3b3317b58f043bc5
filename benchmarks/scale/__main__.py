"""What a sweep costs beside its training, as it grows: processor time, memory, bytes.

    python -m benchmarks.scale                                  every measure at two sizes and at its goal's
    python -m benchmarks.scale plan --trials 1000 2000 4000     one of them at others
    python -m benchmarks.scale driver --trials 1000 --profile   with what takes the time

What is made up is the training: workers answer at once with made-up numbers, and where a measure begins with a sweep
that has run, the ledger's own code has written it. Plans, ledger, queue, searches, recorder, tables and pages are the
program's. Each line is a process of its own; what grows with the square of the trials shows in the last column, the
time of a trial against that of the size before: 1 is linear.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.common import print_machine
from benchmarks.scale.measures import MEASURES, Found, measured

SIZES = {
    "plan": (5_000, 10_000, 20_000),
    "resume": (5_000, 10_000, 20_000),
    "driver": (100, 2_000, 20_000),
    "search": (1_000, 2_000, 4_000),
    "ledger": (2_500, 5_000, 10_000),
    "report": (2_500, 5_000, 10_000),
}
"""Trials of each measure; the goals are of the last."""
LINES = 30
"""Of a profile."""


def main() -> None:
    """Print a table for each measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="WHAT", help=f"of {', '.join(MEASURES)} (all)")
    parser.add_argument("--trials", type=int, nargs="+", help="sizes (the measure's own)")
    parser.add_argument("--profile", action="store_true", help="print what takes the time instead, in this process")
    options = parser.parse_args()
    unknown = set(options.names) - MEASURES.keys()
    if unknown:
        parser.error(f"no such measure: {', '.join(sorted(unknown))}; there are {', '.join(MEASURES)}")
    print_machine()
    for name in options.names or MEASURES:
        sizes = options.trials or SIZES[name]
        if options.profile:
            profile(name, sizes[-1])
        else:
            print_sizes(name, sizes)


def print_sizes(name: str, sizes: list[int] | tuple[int, ...]) -> None:
    """One measure as a Markdown table, a line a size."""
    print(f"\n{name}: {(MEASURES[name].__doc__ or '').strip()}\n")
    before: Found | None = None
    for size in sizes:
        found = measured(name, size)
        if before is None:
            print(f"| trials | CPU, s | memory, MB | {' | '.join(found.sizes)} | time of a trial, × |")
            print(f"|{'---:|' * (4 + len(found.sizes))}")
        print(line(found, before), flush=True)
        before = found


def line(found: Found, before: Found | None) -> str:
    """A line of that table; `before` is what the size before came to."""
    growth = "" if before is None else f"{found.cpu / found.trials * before.trials / before.cpu:.2f}"
    sizes = [f"{value:.3g}" for value in found.sizes.values()]
    return f"| {' | '.join([f'{found.trials:,}', f'{found.cpu:.2f}', f'{found.memory:.0f}', *sizes, growth])} |"


def profile(name: str, trials: int) -> None:
    """What takes the time of one measure, its preparations included."""
    profiler = cProfile.Profile()
    with TemporaryDirectory() as folder:
        profiler.runcall(MEASURES[name], Path(folder), trials, Found())
    pstats.Stats(profiler).sort_stats("tottime").print_stats(LINES)


if __name__ == "__main__":
    main()
