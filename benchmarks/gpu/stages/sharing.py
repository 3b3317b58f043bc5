"""Several trials on one card, each a process: what they train together, with NVIDIA's MPS and without.

Processes that share a card take turns on it; with the daemon of MPS their kernels run side by side. It is started for
these processes alone, in a folder of its own, and changes no setting of the card.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.common import Goal, at_least
from benchmarks.gpu import beside
from benchmarks.gpu.asked import Asked
from benchmarks.gpu.contest import THEIRS, their_turns
from benchmarks.gpu.material import empty_bank, fill, size, some_data, teacher_of
from trainers.accelerator import given_back
from trainers.mps import daemon

COUNTS = (1, 2, 5, 8)
"""Trials side by side; five are a paper's sweep over alpha."""
ROUNDS = 2
FIVE = 5
GOAL = at_least(25)
"""Of five processes, in the images per second of the authors' loop, which trains one after the other; evaluation
included, on both sides."""


class Trial:
    """A process with a trial that waits after its first epoch."""

    def __init__(self, asked: Asked, bank: Path, environment: Mapping[str, str]) -> None:
        words = [asked.device, str(bank), str(_epochs(asked)), *(["--quick"] if asked.quick else [])]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.gpu.beside", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | dict(environment),
        )

    def told(self) -> int:
        """Images of the epoch that it has just trained. Raises RuntimeError where it has ended."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a trial's process ended with exit code {self._process.wait()}; see the log")
        return int(line)

    def go(self) -> None:
        """Have it train another epoch."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def end(self) -> None:
        """Have it end."""
        self._process.kill()
        self._process.communicate()


def run(asked: Asked) -> None:
    """Train side by side without MPS, then with it."""
    pair = size(asked).pair
    theirs = their_turns(pair, asked, tested=True)
    theirs()
    rate = theirs()
    asked.figure(THEIRS, [rate], unit="images/s")
    with empty_bank() as bank:
        config = beside.config(asked, _epochs(asked))
        fill(bank, config, some_data(asked), teacher_of(pair.teacher, asked), asked.device)
        given_back()
        with asked.trying("without MPS"):
            _together(asked, "without MPS", bank.folder, {}, rate)
        if not asked.on_a_card:
            asked.say("with MPS", skipped="only a card has it")
            return
        with asked.trying("with MPS"), daemon() as environment:
            _together(asked, "with MPS", bank.folder, environment, rate)


def _counts(asked: Asked) -> Sequence[int]:
    return COUNTS[:2] if asked.quick else COUNTS


def _rounds(asked: Asked) -> int:
    return 1 if asked.quick else ROUNDS


def _epochs(asked: Asked) -> int:
    """Of each trial: one before the others, and its turns."""
    return 1 + len(_counts(asked)) * _rounds(asked)


def _together(asked: Asked, how: str, bank: Path, environment: Mapping[str, str], theirs: float) -> None:
    """All trials at once, some of which train at a time."""
    counts = _counts(asked)
    with ExitStack() as stack:
        trials = [Trial(asked, bank, environment) for _ in range(max(counts))]
        for trial in trials:
            stack.callback(trial.end)
        for trial in trials:
            trial.told()
        alone = 0.0
        for count in counts:
            rates = [_rate(trials[:count]) for _ in range(_rounds(asked))]
            alone = alone or rates[0]
            asked.figure(
                f"{count} side by side, {how}",
                [rate / theirs for rate in rates],
                _goal(count),
                unit="times the authors' images/s",
                images_per_second=rates,
                times_one=max(rates) / alone,
            )


def _goal(count: int) -> Goal | None:
    return GOAL if count == FIVE else None


def _rate(trials: Sequence[Trial]) -> float:
    """Images per second of one more epoch of each, evaluation included."""
    started = time.perf_counter()
    for trial in trials:
        trial.go()
    return sum(trial.told() for trial in trials) / (time.perf_counter() - started)
