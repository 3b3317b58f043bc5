"""What a stage is asked, and how it says what it finds."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.findings import Findings

if TYPE_CHECKING:
    from benchmarks.common import Goal

OURS = Path(__file__).parents[2]
LONGEST = 400
"""Characters of an error that are kept."""


@dataclass(frozen=True)
class Asked:
    """One stage's part of a run."""

    stage: str
    findings: Findings
    device: str
    """torch's name of it."""
    quick: bool
    """As little as shows that the stage works: its figures mean nothing."""

    @property
    def on_a_card(self) -> bool:
        """Whether there is a GPU's memory, kernels and graphs to look at."""
        return self.device.startswith("cuda")

    def say(self, what: str, **seen: Any) -> None:
        """Write a finding down."""
        self.findings.add({"stage": self.stage, "what": what} | seen)

    def check(self, what: str, value: float, goal: Goal, **seen: Any) -> None:
        """Write down a number that no clock is in, or a truth as 1 or 0, with its goal."""
        self.say(what, value=value + 0, goal=str(goal), met=goal.met(value), **seen)

    def figure(self, what: str, values: Sequence[float], goal: Goal | None = None, **seen: Any) -> None:
        """Write down what the rounds of a measurement came to; where the run is quick, nothing is met or missed."""
        from benchmarks.common import spread  # which imports torch: the first stage must say that this is slow

        median, low, high = spread(values)
        stated = {} if goal is None else {"goal": str(goal)}
        judged = {} if goal is None or self.quick else {"met": goal.met(median)}
        self.say(what, value=median, quartiles=[low, high], rounds=len(values), **stated, **judged, **seen)

    @contextmanager
    def trying(self, what: str, **seen: Any) -> Iterator[None]:
        """A context in which an error is a finding, and what follows goes on."""
        try:
            yield
        except Exception as error:
            self.say(what, **seen, **told(error))
            traceback.print_exc()


def told(error: BaseException) -> dict[str, str]:
    """What an error says, and the last line of ours that it passed."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(OURS)]
    ours = [frame for frame in frames if "site-packages" not in frame.filename]
    said = f"{type(error).__name__}: {error}"[:LONGEST]
    return {"error": said} | ({"at": _place(ours[-1])} if ours else {})


def _place(frame: traceback.FrameSummary) -> str:
    return f"{Path(frame.filename).relative_to(OURS)}:{frame.lineno}"
