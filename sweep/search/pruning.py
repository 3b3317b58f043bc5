"""When to give up a search trial: it is compared with trials of its own cell and stage, and with nothing else.

A hard pair must not lose its trials to an easy one, so every cell has rules of its own. They are rebuilt by replaying
the ledger: a report that was seen before changes nothing and is answered as it was then.
"""

from __future__ import annotations

import bisect
import math
from abc import ABC, abstractmethod
from typing import Any

MEDIAN_NEEDS = 4
"""Other trials with a value at the same epoch, before the median says anything."""


class Ranked:
    """A number of each of some trials, in ascending order."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self._of: dict[str, float] = {}

    @property
    def median(self) -> float:
        """Of all numbers; NaN where there is none."""
        count, middle = len(self.values), len(self.values) // 2
        if not count:
            return math.nan
        return self.values[middle] if count % 2 else (self.values[middle - 1] + self.values[middle]) / 2

    def put(self, key: str, value: float) -> None:
        """Note a trial's number, in place of the one before."""
        self.drop(key)
        self._of[key] = value
        bisect.insort(self.values, value)

    def drop(self, key: str) -> None:
        """Forget a trial's number, if there is one."""
        if key in self._of:
            del self.values[bisect.bisect_left(self.values, self._of.pop(key))]


class Pruner(ABC):
    """The rule of one cell. Values are maximised."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, int], bool] = {}
        self.stopped: dict[str, int] = {}
        """Trials that were given up, with the epoch."""
        self.bars: dict[str, float] = {}
        """What those should have had then, by a rule that compares values."""
        self._bar: float | None = None

    def report(self, key: str, epoch: int, value: float, *, last: bool = False) -> bool:
        """Note a trial's value after an epoch (counted from 1); True where it should stop, never after its `last`."""
        if (key, epoch) not in self._answers:
            stop = self._judge(key, epoch, value) and not last
            self._answers[key, epoch] = stop
            if stop:
                self.stopped.setdefault(key, epoch)
                self.bars |= {key: self._bar} if self._bar is not None else {}
        return self._answers[key, epoch]

    def goes_on(self, key: str, epoch: int) -> None:
        """Note that a trial goes on after an epoch, whatever was said of it before."""
        self._answers[key, epoch] = False
        self.stopped.pop(key, None)

    replays = True
    """Whether its answers are found again from the reports alone. Otherwise the ledger's word counts."""

    @abstractmethod
    def _judge(self, key: str, epoch: int, value: float) -> bool:
        """Note a new value and decide."""

    @abstractmethod
    def forget(self, key: str) -> None:
        """Compare no trial with this one any longer: it broke, and cannot be what the others lose to."""


class NoPruner(Pruner):
    """Every trial runs to its end."""

    def _judge(self, key: str, epoch: int, value: float) -> bool:
        return False

    def forget(self, key: str) -> None:
        """Nothing is compared here."""


class Asha(Pruner):
    """Asynchronous successive halving, the stopping form (Li et al., arXiv 1810.05934).

    At the rungs, epochs `grace`, `grace * reduction`, `grace * reduction²`, …, a trial goes on when it is among the
    best 1/`reduction` (rounded up) of those that have reached the rung so far and have not broken, itself included.
    """

    def __init__(self, grace: int, reduction: int, epochs: int) -> None:
        super().__init__()
        self.reduction = reduction
        self.rungs: dict[int, Ranked] = {}
        rung = grace
        while rung < epochs:
            self.rungs[rung] = Ranked()
            rung *= reduction

    def _judge(self, key: str, epoch: int, value: float) -> bool:
        if epoch not in self.rungs:
            return False
        rung = self.rungs[epoch]
        rung.put(key, value)
        kept = math.ceil(len(rung.values) / self.reduction)
        self._bar = rung.values[-kept]
        return value < self._bar

    def forget(self, key: str) -> None:
        """Take the trial off every rung that it has reached."""
        for rung in self.rungs.values():
            rung.drop(key)


class MedianStopping(Pruner):
    """Stop a trial whose best value so far is below the median of the others' values at the same epoch.

    Golovin et al., "Google Vizier" (KDD 2017), with values instead of running averages, from epoch `grace` on.
    """

    def __init__(self, grace: int) -> None:
        super().__init__()
        self.grace = grace
        self._values: dict[int, Ranked] = {}
        self._best: dict[str, float] = {}

    def _judge(self, key: str, epoch: int, value: float) -> bool:
        here = self._values.setdefault(epoch, Ranked())
        others, median = len(here.values), here.median
        here.put(key, value)
        self._best[key] = max(value, self._best.get(key, value))
        if epoch < self.grace or others < MEDIAN_NEEDS:
            return False
        self._bar = median
        return self._best[key] < median

    def forget(self, key: str) -> None:
        """Take the trial's values out of the medians of all epochs."""
        for here in self._values.values():
            here.drop(key)


def make_pruner(search: dict[str, Any], epochs: int) -> Pruner:
    """The rule that a plan's `search` section asks for, for trials of so many epochs."""
    grace = search["grace"] or max(1, epochs // search["reduction"] ** 2)
    if search["pruner"] == "curves":
        raise ValueError("who looks ahead is a rule of its own: sweep.search.curves.CurveSearch")
    if search["pruner"] == "asha":
        return Asha(grace, search["reduction"], epochs)
    return MedianStopping(grace) if search["pruner"] == "median" else NoPruner()
