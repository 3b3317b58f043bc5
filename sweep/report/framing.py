"""What a panel of a swept number shows: the baseline, scratch and the teacher beside its lines, and which part of the
axis."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from sweep.plan.labels import teacher_of
from sweep.report.colors import INK
from sweep.report.history import Configuration, History
from sweep.report.looks import LINES
from sweep.report.style import Reference

MOST = 4
"""References of the students in one panel, the baselines first: of several recipes each has its own."""
REACH = 1.5
"""How far from a panel's numbers a reference may lie to be drawn, in spans of these numbers."""
ROOM = 0.06
"""Share of the axis that is left free at both ends."""
FLATTEST = 0.5
"""Percentage points of an axis at least: what spans less is no finding."""
ALIKE = 2.0
"""How many times the largest span of one panel all panels may span together and still have one axis."""


@dataclass(frozen=True)
class Frame:
    """The part of the y axis that a panel shows, in percent, and what is drawn there beside the lines."""

    low: float
    high: float
    drawn: tuple[Reference, ...] = ()
    beyond: tuple[Reference, ...] = ()
    """Too far away to be drawn."""

    @property
    def span(self) -> float:
        """Of the axis, in percentage points."""
        return self.high - self.low

    @property
    def remark(self) -> str:
        """What is not drawn: ``not in the picture: teacher 97.90``; empty where all is."""
        named = ", ".join(f"{one.name} {one.value:.2f}" for one in self.beyond)
        return f"not in the picture: {named}" if named else ""


def frame(numbers: Iterable[float], baselines: Sequence[Reference], others: Sequence[Reference]) -> Frame:
    """The frame of one panel.

    Args:
        numbers: in percent, all of which are to be seen.
        baselines: which are to be seen too.
        others: which are drawn where they lie near the rest.
    """
    seen = [*numbers, *(one.value for one in baselines)]
    low, high = min(seen), max(seen)
    reach = max(high - low, FLATTEST) * REACH
    near = [one for one in others if low - reach <= one.value <= high + reach]
    values = [low, high, *(one.value for one in near)]
    middle, half = (min(values) + max(values)) / 2, max(max(values) - min(values), FLATTEST) / 2
    room = half * (1 + 2 * ROOM)
    beyond = tuple(one for one in others if one not in near)
    return Frame(middle - room, middle + room, (*baselines, *near), beyond)


def alike(frames: Mapping[str, Frame]) -> dict[str, Frame]:
    """One axis for all panels, where none of them would be squeezed by it."""
    low, high = min(one.low for one in frames.values()), max(one.high for one in frames.values())
    if high - low > ALIKE * max(one.span for one in frames.values()):
        return dict(frames)
    return {name: Frame(low, high, one.drawn, one.beyond) for name, one in frames.items()}


# -- references -------------------------------------------------------------------------------------------------------


def beside(history: History, pairs: Sequence[str], parameter: str) -> tuple[list[Reference], list[Reference]]:
    """The baselines, and scratch with the teacher: means over these pairs of what all of them have."""
    base: list[Reference] = []
    scratch: list[Reference] = []
    for name, members in _everywhere(history, pairs, parameter).items():
        look = history.looks.row(members[0].row)
        mean = mean_over([config.row.values for config in members])
        if mean:
            reference = Reference(name, fmean(mean.values()), look.color, look.line)
            (base if members[0].row.label == history.board.baseline else scratch).append(reference)
    return base[:MOST], [*scratch[: max(MOST - len(base), 1)], *_teacher(history, pairs)]


def _everywhere(history: History, pairs: Sequence[str], parameter: str) -> dict[str, list[Configuration]]:
    """The baseline's and scratch's configurations that every pair has, by name; not what is a point of a line."""
    by_name: dict[str, list[Configuration]] = {}
    for config in (config for pair in pairs for config in history.of(pair)):
        wanted = config.row.label == history.board.baseline or (config.row.method == "scratch" and not config.row.tuned)
        if wanted and parameter not in config.settings:
            by_name.setdefault(config.name, []).append(config)
    return {name: members for name, members in by_name.items() if len(members) == len(pairs)}


def _teacher(history: History, pairs: Sequence[str]) -> list[Reference]:
    known = [history.board.teachers.get(teacher_of(pair)) for pair in pairs]
    accuracies = [accuracy for accuracy in known if accuracy is not None]
    several = "s" * (len({teacher_of(pair) for pair in pairs}) > 1)
    return [Reference(f"teacher{several}", fmean(accuracies), INK, LINES[3])] if len(accuracies) == len(known) else []


def mean_over(members: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """Means over pairs, for the seeds that all of them have.

    Args:
        members: accuracy by seed, of each pair.
    """
    seeds = set.intersection(*(set(values) for values in members))
    return {seed: math.fsum(values[seed] for values in members) / len(members) for seed in sorted(seeds)}
