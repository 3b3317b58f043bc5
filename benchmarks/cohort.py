"""Five trials as cohorts (:mod:`trainers.cohort`), against the same five one after the other, on the same cores.

    uv run python -m benchmarks.cohort [--pairs "resnet56 -> resnet20"] [--rounds 3] [--cores 2] [--quick]

Each core has a process of one thread, started before the clock is, and both sides share the trials out to these in the
same way: three and two on two cores. (A sweep's trials pause for the last one, and need two and a half rounds instead
of three; cohorts of three and two are faster than that from 1.2 on.) Both sides write checkpoints, test after every
epoch, and come to the same numbers, which is checked. What counts is the processor time of the process that takes the
most: on cores that nobody else uses that is how long it takes.

The trials are DHKD's with five alphas, with a bank that is warm, cold, or off; and SLD's with five weights, whose
strong views are costly to make, with a warm bank.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch

from benchmarks import trials
from benchmarks.common import (
    Goal,
    Load,
    Row,
    at_least,
    parser,
    print_machine,
    print_notes,
    print_rows,
    ratios,
    rounds,
    spread,
)
from benchmarks.trials import ALPHAS, BATCH, SMALL, Course, material
from trainers.cohort import fit_cohort
from trainers.config import MethodConfig, TrialConfig
from trainers.fit import fit
from trainers.process import WORKER_ENVIRONMENT
from trainers.result import EpochResult

KINDS = ("warm bank", "cold bank", "no bank", "strong views")
GOAL = at_least(1.15)
"""For five alphas from the bank that a sweep has."""
Numbers = list[list[EpochResult]]


@dataclass(frozen=True)
class Part:
    """What one process trains."""

    course: Course
    kind: str
    alphas: tuple[float, ...]
    together: bool

    @property
    def folder(self) -> Path:
        """Of its trials."""
        return self.course.scratch / f"{self.kind} {'together' if self.together else 'alone'}"


def timed(part: Part) -> tuple[float, Numbers]:
    """In a worker: its processor seconds for all trials of a part, and what they came to."""
    torch.set_num_threads(1)
    material(part.course)
    started = time.process_time()
    numbers = trained(part)
    return time.process_time() - started, numbers


def trained(part: Part) -> Numbers:
    """All trials of a part, to their ends."""
    data, teacher = material(part.course)
    configs = [trial(part, alpha) for alpha in part.alphas]
    folders = [part.folder / config.key for config in configs]
    bank = None if part.kind == "no bank" else part.course.bank
    if part.together:
        return [list(its) for its in fit_cohort(configs, data=data, teacher=teacher, bank=bank, folders=folders)]
    return [
        list(fit(config, data=data, teacher=teacher, bank=bank, folder=folder))
        for config, folder in zip(configs, folders, strict=True)
    ]


def trial(part: Part, alpha: float) -> TrialConfig:
    """One of the trials."""
    data, teacher = material(part.course)
    made = trials.trial(part.course.pair, data, trials.content_of(teacher), epochs=part.course.epochs, alpha=alpha)
    if part.kind != "strong views":
        return made
    return made.model_copy(update={"method": MethodConfig(name="sld", params={"kd_weight": alpha})})


def turn(workers: Sequence[ProcessPoolExecutor], parts: Sequence[Part], found: dict[bool, Numbers]) -> float:
    """Processor seconds of one side; `found` gets what it came to."""
    for part in parts:
        shutil.rmtree(part.folder, ignore_errors=True)
    if parts[0].kind == "cold bank":
        shutil.rmtree(parts[0].course.bank.folder, ignore_errors=True)
    live = [worker.submit(timed, part) for worker, part in zip(workers, parts, strict=True)]
    done = [one.result() for one in live]
    found[parts[0].together] = [its for _, numbers in done for its in numbers]
    return max(spent for spent, _ in done)


def main() -> None:
    """Print one table a pair."""
    made = parser(__doc__, count=3)
    trials.add_options(made)
    made.add_argument("--epochs", type=int, default=2, help="of each trial (2)")
    made.add_argument("--cores", type=int, default=os.cpu_count() or 1, help="processes (one for each core)")
    made.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="default: all")
    options = made.parse_args()
    print_machine()
    for pair in [SMALL] if options.quick else options.pairs:
        with tempfile.TemporaryDirectory() as scratch:
            steps = 2 if options.quick else options.steps
            measure(Course(pair, steps, options.epochs, options.data, Path(scratch), options.device), options)


def measure(course: Course, options: argparse.Namespace) -> None:
    """Run the rounds of one pair, and print its figures."""
    material(course)
    os.environ.update(WORKER_ENVIRONMENT)  # for the workers alone: this process has read it already
    count = 1 if options.quick else options.rounds
    made: list[Row] = []
    notes: dict[str, str] = {}
    with ExitStack() as stack, Load() as load:
        workers = [
            stack.enter_context(ProcessPoolExecutor(1, mp_context=get_context("spawn"))) for _ in range(options.cores)
        ]
        for kind in options.kinds:
            alone, together = compared(workers, course, kind, count)
            goal: Goal | None = GOAL if kind == "warm bank" else None
            made.append(Row(f"{kind}: times as fast as one after the other", ratios(alone, together), goal))
            notes[kind] = f"{spread(alone).median:.1f} s alone, {spread(together).median:.1f} s together"
    title = f"{course.pair}, five trials on {options.cores} cores: {count} rounds"
    print_rows(f"{title} of {course.epochs * course.steps} steps of {BATCH} each; {load}", made)
    print_notes(notes)


def compared(
    workers: Sequence[ProcessPoolExecutor], course: Course, kind: str, count: int
) -> tuple[list[float], list[float]]:
    """Seconds of both sides, round by round. Raises RuntimeError where they come to other numbers."""
    shares = [ALPHAS[start :: len(workers)] for start in range(len(workers))]
    found: dict[bool, Numbers] = {}
    sides: dict[bool, Callable[[], float]] = {
        together: partial(turn, workers, [Part(course, kind, share, together) for share in shares], found)
        for together in (False, True)
    }
    took = rounds(sides, count)
    if found[False] != found[True]:
        raise RuntimeError(f"with {kind}, trials of a cohort have other numbers than alone")
    return took[False], took[True]


if __name__ == "__main__":
    main()
