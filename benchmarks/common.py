"""What the measurements share: contestants that take turns, ratios with their spread, and a word on the machine.

A figure is a ratio of two things that ran one after the other in the same round, so that a machine that slows down for
a while slows both. Printed are the median over the rounds and the quartiles; the absolute times belong to one machine
and one hour, the ratios to the method. How much of the processor others had meanwhile is printed beside them: above a
tenth of a core, measure again.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.request import urlopen

import torch

CPU = torch.device("cpu")
QUIET = 0.1
"""Cores that others may use while a figure is taken."""
IDLE_SECONDS = 3
FAST_BF16 = ("amx_bf16", "avx512_bf16")
"""Processor flags of units that multiply bfloat16; without one of them it is emulated, and slower than float32."""
PROC = Path("/proc")
Who = TypeVar("Who")
"""What names a contestant."""


# -- figures ----------------------------------------------------------------------------------------------------------


class Spread(NamedTuple):
    """Median and quartiles."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value; of a single one all three are that."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)


class Goal(NamedTuple):
    """What a figure should come to."""

    bound: float
    at_least: bool

    def met(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}"


def at_least(bound: float) -> Goal:
    return Goal(bound, at_least=True)


def at_most(bound: float) -> Goal:
    return Goal(bound, at_least=False)


@dataclass(frozen=True)
class Row:
    """One figure of a table: its values, one a round, and its goal."""

    what: str
    values: Sequence[float]
    goal: Goal | None = None

    def cells(self) -> tuple[str, str, str, str, str]:
        """Name, median, quartiles, goal, and whether the median meets it."""
        median, low, high = spread(self.values)
        met = "" if self.goal is None else "yes" if self.goal.met(median) else "no"
        return self.what, number(median), f"{number(low)} … {number(high)}", str(self.goal or ""), met


def number(value: float) -> str:
    """Three significant digits."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def print_rows(title: str, rows: Sequence[Row]) -> None:
    """Print a Markdown table, as it stands in ``docs/performance.md``."""
    print(f"\n{title}\n")
    print("| what | median | quartiles | goal | met |\n|---|---:|---:|---:|---|")
    for row in rows:
        print(f"| {' | '.join(row.cells())} |")


def print_notes(notes: Mapping[str, str]) -> None:
    """Print what is not a ratio."""
    for name, value in notes.items():
        print(f"{name:12} {value}")


# -- rounds -----------------------------------------------------------------------------------------------------------


def rounds(contestants: Mapping[Who, Callable[[], float]], count: int, warm_up: int = 1) -> dict[Who, list[float]]:
    """What each contestant returns, in turns: A, B, …, A, B, …; the first `warm_up` rounds are not counted."""
    found: dict[Who, list[float]] = {name: [] for name in contestants}
    for turn in range(warm_up + count):
        for name, run in contestants.items():
            value = run()
            if turn >= warm_up:
                found[name].append(value)
    return found


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Round by round."""
    return [a / b for a, b in zip(above, below, strict=True)]


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


# -- the machine ------------------------------------------------------------------------------------------------------


def processor() -> tuple[str, frozenset[str]]:
    """Model name and flags of the first core."""
    fields: dict[str, str] = {}
    for line in (PROC / "cpuinfo").read_text("utf-8").splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    return fields.get("model name", platform.machine()), frozenset(fields.get("flags", "").split())


def bf16_is_fast(device: torch.device = CPU) -> bool:
    """Whether the processor, or the GPU, multiplies bfloat16 itself."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(processor()[1].intersection(FAST_BF16))


def print_machine() -> None:
    """Print what the figures were taken on."""
    model, flags = processor()
    units = {flag: "yes" if flag in flags else "no" for flag in FAST_BF16}
    print_notes(
        {
            "processor": f"{model}, {os.cpu_count()} cores",
            "GPUs": ", ".join(torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())) or "none",
            "bf16 units": ", ".join(f"{flag}: {there}" for flag, there in units.items()),
            "software": f"torch {torch.__version__}, {torch.get_num_threads()} threads, commit {commit()}",
        }
    )


def commit() -> str:
    """The checkout's commit, marked where files differ from it."""
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=9"]
    found = subprocess.run(git, capture_output=True, text=True)
    return found.stdout.strip() if found.returncode == 0 else "unknown"


class Load:
    """Cores that others used while a block ran; the processes that this one started count as its own.

    A process that was started and left by one of those (a daemon) counts as another's.
    """

    def __enter__(self) -> Load:
        self._started, self._busy, self._own = time.perf_counter(), busy(), own()
        return self

    def __exit__(self, *_: object) -> None:
        wall = time.perf_counter() - self._started
        self.others = max(0.0, (busy() - self._busy) - (own() - self._own)) / wall

    def __str__(self) -> str:
        return f"others used {self.others:.2f} cores" + ("" if self.others <= QUIET else ": too many, measure again")


def load_beside() -> Load:
    """What others do while this process does nothing, for what runs on Ray: its workers look like others."""
    with Load() as load:
        time.sleep(IDLE_SECONDS)
    return load


def busy() -> float:
    """Processor seconds of the whole machine so far, those that its host gave to others included."""
    fields = (PROC / "stat").read_text("utf-8").split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _wait, irq, softirq, steal = map(int, fields[:8])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own() -> float:
    """Processor seconds so far of this process, its living descendants, and those that were waited for."""
    times: dict[int, tuple[int, float]] = {}  # by process: its parent, and its seconds
    for path in PROC.glob("[0-9]*/stat"):
        try:
            fields = path.read_text("utf-8").rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        times[int(path.parent.name)] = (int(fields[1]), sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK"))
    return sum(spent for process, (_, spent) in times.items() if _descends(process, times))


def _descends(process: int, times: Mapping[int, tuple[int, float]]) -> bool:
    """Whether a process is this one, or comes from it."""
    while process in times and process != os.getpid():
        process = times[process][0]
    return process == os.getpid()


# -- servers ----------------------------------------------------------------------------------------------------------


def wait_for(address: str, patience: float) -> None:
    """Return when something answers at a web address. Raises OSError where nothing does within `patience` seconds."""
    until = time.monotonic() + patience
    while True:
        try:
            with urlopen(address):
                return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)


# -- options ----------------------------------------------------------------------------------------------------------


def parser(doc: str | None, *, count: int) -> argparse.ArgumentParser:
    """The options that all measurements have; `count` is the default of ``--rounds``."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--rounds", type=int, default=count, help=f"counted turns of each contestant ({count})")
    made.add_argument("--quick", action="store_true", help="as little as shows that it runs; the figures mean nothing")
    return made
