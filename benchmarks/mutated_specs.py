"""Specs that went wrong, through `sweep plan`: no traceback, no hang, no memory without bound.

    uv run python -m benchmarks.mutated_specs [--mutated 1000] [--large 200] [--seed 0]

Each of the shipped specs' mutations and of the far too large ones (``tests/support/mutations.py``) is planned by the
command itself, in a process of its own that is forked from one that has loaded torch. It must end by exit code 0 or 2
with one message and no traceback, within so many CPU seconds and so much memory. Those that do not are kept as files.
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import resource
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from sweep.cli.app import main as command
from tests.support import mutations

MOST_SECONDS = 10.0
"""CPU seconds of one plan."""
MOST_MEGABYTES = 1_500
"""Resident at most, torch included."""
KILLED_AFTER = 60
"""CPU seconds after which a hang is ended."""


@dataclass(frozen=True)
class Ending:
    """What became of one spec."""

    code: int
    """Exit code; negative: the signal that ended it."""
    seconds: float
    megabytes: float
    out: str

    @property
    def fault(self) -> str:
        """What is wrong with it; empty when nothing is."""
        if self.code not in (0, 2) or "Traceback" in self.out:
            return "crash"
        if self.code == 2 and self.out.count("sweep: ") != 1:
            return "message"
        if self.seconds > MOST_SECONDS:
            return "slow"
        return "memory" if self.megabytes > MOST_MEGABYTES else ""


def planned(spec: Path, root: Path) -> Ending:
    """`sweep plan SPEC` in a process of its own."""
    said = root / "said"
    child = os.fork()
    if child == 0:
        _plan(spec, root, said)
    _, status, used = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    seconds = used.ru_utime + used.ru_stime
    return Ending(code, seconds, used.ru_maxrss / 1024, said.read_text("utf-8", "replace"))


def _plan(spec: Path, root: Path, said: Path) -> None:
    """The forked process: the command, with what it says in a file; it does not come back."""
    resource.setrlimit(resource.RLIMIT_CPU, (KILLED_AFTER, KILLED_AFTER))
    out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    code = 1
    try:
        command(["plan", str(spec), "--root", str(root / "runs")])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # what the interpreter would print
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def tried(what: str, count: int, make: Callable[[random.Random], bytes], seed: int, folder: Path) -> bool:
    """Plan so many specs of one kind and print what became of them; whether nothing was wrong."""
    endings: list[tuple[Ending, Path]] = []
    for number in range(count):
        spec = folder / f"{what}-{number}.yaml"
        spec.write_bytes(make(random.Random(f"{what} {seed} {number}")))
        ending = planned(spec, folder)
        endings.append((ending, spec))
        if ending.fault:
            last = (ending.out.strip().splitlines() or [""])[-1][:160]
            print(f"{ending.fault}: {spec} ({ending.code}, {ending.seconds:.1f} s, {ending.megabytes:.0f} MB) {last}")
        else:
            spec.unlink()
    codes = Counter(ending.code for ending, _ in endings)
    slowest = max(ending.seconds for ending, _ in endings)
    largest = max(ending.megabytes for ending, _ in endings)
    faults = sum(bool(ending.fault) for ending, _ in endings)
    print(
        f"{count} {what}: {codes[0]} planned, {codes[2]} refused, {faults} faults;"
        f" at most {slowest:.1f} CPU seconds and {largest:.0f} MB"
    )
    return not faults


def main() -> int:
    """Both kinds; 1 where something was wrong."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--mutated", type=int, default=1000)
    options.add_argument("--large", type=int, default=200)
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    torch.set_num_threads(1)
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    folder = Path(tempfile.mkdtemp(prefix="mutated-specs-"))
    os.environ["SWEEP_CACHE"] = str(folder / "cache")
    for module in ("search_spaces.loader", "sweep.results.preview", "trainers.check"):  # what every plan loads
        importlib.import_module(module)
    kinds = (("mutated", chosen.mutated, mutations.mutated), ("large", chosen.large, mutations.large))
    fine = [tried(what, count, make, chosen.seed, folder) for what, count, make in kinds if count]
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main())
