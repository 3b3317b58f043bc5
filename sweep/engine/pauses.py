"""The end of a sweep: when a running trial makes room for one that waits, so that no device idles beside the last one.

Five equal trials on two cores, one after the other, take as long as three; with one pause they take as long as two and
a half. Where jobs may pause, m machines need no longer than the longest job, or the average load where that is more
(McNaughton, "Scheduling with deadlines and loss functions", Management Science 6, 1959), and a job has to run without
interruption from the moment on when it alone would take as long as the average load. So a waiting trial takes the place
of the running one with the least left, and of no other, at that moment.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sweep.plan.kinds import kind_of
from sweep.plan.slots import Slot

WORTH_SECONDS = 5.0
"""A trial with less than this left is let finish: to take one up again costs about a second."""

LATEST = 99
"""Epochs of a kind of trial that its pace is judged by."""


def makes_room(left: float, epoch: float, beside: Sequence[float], waiting: Sequence[float], room: int) -> bool:
    """Whether a trial that has done an epoch should pause, and the longest of those that wait go on instead.

    Args:
        left: seconds that the trial would yet take.
        epoch: seconds of one of its epochs. Those beside it are half as much further than they have told, on average.
        beside: as `left`, of the trials that run beside it, after the epochs that they have told of.
        waiting: as `left`, of those that wait, all of which could start now.
        room: trials side by side.
    """
    if not waiting or left < WORTH_SECONDS or left > min(beside, default=left):
        return False
    longest = max(waiting)
    return longest > left and (longest + epoch / 2) * room >= left + sum(beside) + sum(waiting)


class Left:
    """Seconds that trials would yet take, judged by the epochs that this run has heard of."""

    def __init__(self) -> None:
        self._done: dict[str, int] = {}
        self._seconds: dict[tuple[Any, ...], deque[float]] = {}

    def note(self, slot: Slot, epoch: dict[str, Any]) -> None:
        """An epoch of a slot's trial."""
        if epoch["epoch"] > self._done.get(slot.id, 0):
            self._done[slot.id] = epoch["epoch"]
            self._seconds.setdefault(_kind(slot), deque(maxlen=LATEST)).append(epoch["seconds"])

    def epoch(self, slot: Slot) -> float | None:
        """Of an epoch of one slot's; None where none of its kind was heard of."""
        seconds = self._seconds.get(_kind(slot))
        return None if seconds is None else statistics.median(seconds)

    def of(self, slot: Slot) -> float | None:
        """Of one slot's to its end; None where no epoch of its kind was heard of."""
        seconds = self.epoch(slot)
        return None if seconds is None else seconds * (slot.epochs - self._done.get(slot.id, 0))

    def of_all(self, slots: Collection[Slot]) -> dict[str, float] | None:
        """Of each of some slots, by its id; None where of one it is not known."""
        left = {slot.id: self.of(slot) for slot in slots}
        known = {slot: seconds for slot, seconds in left.items() if seconds is not None}
        return known if len(known) == len(left) else None

    def part(self, waiting: int, live: Iterable[Slot], room: int) -> int:
        """How many trials a worker has where all have as much to do.

        Args:
            waiting: how many wait.
            live: those that run, which count as far as they have yet to go.
            room: workers side by side.
        """
        left = waiting + sum(1 - self._done.get(slot.id, 0) / slot.epochs for slot in live)
        return math.ceil(round(left, 6) / room)

    def makes_room(self, own: Slot, beside: Collection[Slot], waiting: Collection[Slot], room: int) -> bool:
        """Whether a slot that has done an epoch should pause (:func:`makes_room`); not where too little was heard.

        Args:
            own: the slot.
            beside: those that run beside it.
            waiting: those that wait.
            room: trials side by side.
        """
        seconds = self.of_all([own, *beside, *waiting])
        if seconds is None:
            return False
        run, wait = [seconds[slot.id] for slot in beside], [seconds[slot.id] for slot in waiting]
        return makes_room(seconds[own.id], self.epoch(own) or 0.0, run, wait, room)


def _kind(slot: Slot) -> tuple[Any, ...]:
    return kind_of(slot.pair, slot.config)
