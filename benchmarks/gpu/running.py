"""Stages as processes: each with a limit, all within a time, and what became of each written down."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gpu.findings import Findings

PART_SECONDS = 290.0
"""That the stages of a part may take together: so many minutes of a card are lent at a time."""
QUICK_FACTOR = 4
"""Of limits where a run is quick: no lease runs out, and the machine has other work."""
FINISHED = "finished"
LEAST_SECONDS = 5.0
"""With less left a stage is not begun."""
TAIL = 1500
"""Characters of what a stage printed that are kept where it did not finish."""


@dataclass(frozen=True)
class Stage:
    """One stage of the script."""

    name: str
    module: str
    """Has a function ``run(asked)``."""
    seconds: float
    """That it may take."""
    settles: str
    """What is known after it."""


@dataclass(frozen=True)
class Run:
    """How stages are run."""

    findings: Findings
    device: str
    quick: bool
    seconds: float
    """That all of them together may take."""

    @property
    def environment(self) -> dict[str, str]:
        """Of a stage's process. Where it is quick, of one thread: beside other work on a few cores, several wait for
        each other more than they compute."""
        alone = {"OMP_NUM_THREADS": "1", "TORCHINDUCTOR_COMPILE_THREADS": "1"} if self.quick else {}
        return os.environ | {"PYTHONUNBUFFERED": "1"} | alone

    @property
    def log(self) -> Path:
        """Where all that stages print goes."""
        return self.findings.path.with_suffix(".log")

    def command(self, stage: Stage) -> list[str]:
        """Runs the stage."""
        asked = ["--name", stage.name, "--out", str(self.findings.path), "--device", self.device]
        quick = ["--quick"] if self.quick else []
        return [sys.executable, "-m", "benchmarks.gpu.stage", stage.module, *asked, *quick]


def limit(stage: Stage, *, quick: bool) -> float:
    """Seconds that a stage may take."""
    return stage.seconds * (QUICK_FACTOR if quick else 1)


def run_all(stages: Sequence[Stage], run: Run, tell: Callable[[str], None] = print) -> bool:
    """Run stages one after the other; whether all of them finished."""
    until = time.monotonic() + run.seconds
    results = [_run_within(stage, run, until - time.monotonic(), tell) for stage in stages]
    return all(result == FINISHED for result in results)


def _run_within(stage: Stage, run: Run, left: float, tell: Callable[[str], None]) -> str:
    """Run one stage in what is left of the time; how it ended."""
    started, most = time.monotonic(), min(limit(stage, quick=run.quick), left)
    begun_at = run.log.stat().st_size if run.log.exists() else 0
    ended = "interrupted"
    try:
        ended = _ended(run.command(stage), run, most) if left >= LEAST_SECONDS else "not begun: no time was left"
    finally:
        taken = time.monotonic() - started
        printed = {} if ended == FINISHED else {"printed": _tail(run.log, begun_at)}
        seen = {"ended": ended, "seconds": taken, "limit": max(most, 0.0)}
        run.findings.add({"stage": stage.name} | seen | printed)
        tell(f"{stage.name}: {ended}, {taken:.0f} s of {max(most, 0):.0f}")
    return ended


def _ended(command: Sequence[str], run: Run, seconds: float) -> str:
    """Run a command to its end or for so long, and end whatever it has started; how it ended."""
    with run.log.open("ab") as printed:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            env=run.environment,
            start_new_session=True,  # so that its processes can be ended with it
        )
        try:
            return _said(process.wait(seconds))
        except subprocess.TimeoutExpired:
            return f"out of time after {seconds:.3g} s"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _said(code: int) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return FINISHED if code == 0 else f"failed with exit code {code}"


def _tail(log: Path, begin: int) -> str:
    """The end of what was printed since the log had `begin` bytes."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(begin)
        return file.read().decode(errors="replace")[-TAIL:]
