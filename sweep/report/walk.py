"""One walk through the events of a sweep: what its trials were measured at, what they cost, and when they ran."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sweep.cost.prices import Bill
from sweep.ledger.columns import Chunk
from sweep.ledger.kinds import Kind
from sweep.ledger.origin import origin_of
from sweep.ledger.store import Ledger
from sweep.report.blocks import ACCURACIES, DIAGNOSTICS, LIVE, Block, is_read
from sweep.report.use import Use

WORK: tuple[Kind, ...] = ("sweep", "start", "epoch", "pruned", "final", "failed", "interrupted", "stop")
"""What tells of a driver at work."""
PRICED: tuple[Kind, ...] = ("plan", "former-start", "former-epoch")
"""What decides the cost besides."""


@dataclass
class Curve:
    """What a trial was measured at, epoch by epoch: accuracies in percent, diagnostics by their own names."""

    numbers: dict[str, array[float]] = field(default_factory=dict)
    """By name; the first is epoch 1; NaN where an epoch has no such number."""

    def note(self, epochs: NDArray[np.int64], numbers: Mapping[str, NDArray[np.float64]]) -> None:
        """Take over results of some epochs, NaN where there is none."""
        for name, values in numbers.items():
            known = ~np.isnan(values)
            if known.any():
                self._line(name, int(epochs[known].max()))[epochs[known] - 1] = values[known]

    def _line(self, name: str, length: int) -> NDArray[np.float64]:
        """A number's line, at least so long, to be written to."""
        line = self.numbers.setdefault(name, array("d"))
        line.extend([math.nan] * (length - len(line)))
        return np.frombuffer(line)

    def last(self, name: str) -> float | None:
        """The latest value; None where there is none."""
        known = [value for value in self.numbers.get(name, ()) if not math.isnan(value)]
        return known[-1] if known else None


@dataclass(frozen=True)
class Effort:
    """What the sweep has cost, from the ledger's epochs and times."""

    device_seconds: float
    """Of all epochs, each times the devices that its trial had then."""
    wall_seconds: float
    """In which a driver was at work."""
    taught_epochs: int
    """Of trials with a teacher, that say how many images it was run on."""
    served_epochs: int
    """Of those, the ones in which it was run on none: a logit bank had everything."""
    teacher_images: int
    use: Use = field(default_factory=Use)
    """What its epochs took of the machines."""


@dataclass(frozen=True)
class Walked:
    """What a walk has found."""

    curves: dict[str, Curve]
    """Of the wanted trials, by key."""
    effort: Effort
    dates: tuple[float, float] | None
    """When the first trial began that was trained here, and the last one ended, in seconds since 1970; None before
    one has ended."""


def walk(ledger: Ledger, wanted: set[str]) -> Walked:
    """Read all events once, with the curves of the wanted trials."""
    measured, told = _Measured(wanted), _Told()
    for chunk in ledger.chunks(is_read, *WORK, *PRICED):
        terms = told.terms(chunk)
        for places, numbers in chunk.columns:
            measured.take(_block([chunk.rows[place] for place in places], [terms[place] for place in places], numbers))
    paid = told.bill.device_seconds + measured.device_seconds
    return Walked(measured.curves, measured.effort(paid, told.work.seconds), told.dates.known)


class Terms(NamedTuple):
    """On which a trial runs since its last start."""

    price: float
    """Of a second (see :class:`sweep.cost.prices.Bill`)."""
    devices: float
    """1 where that was not noted."""
    taught: bool
    """Whether it has a teacher, and is trained here."""


def _block(rows: list[Sequence[Any]], terms: list[Terms], numbers: dict[str, NDArray[np.float64]]) -> Block:
    """Of some epochs' rows."""
    return Block(
        trials=[row[3] for row in rows],
        epochs=np.array([row[4] or 1 for row in rows]),
        prices=np.array([one.price for one in terms]),
        devices=np.array([one.devices for one in terms]),
        taught=np.array([one.taught for one in terms]),
        numbers=numbers,
    )


class _Told:
    """What is known of the sweep at each of its events."""

    def __init__(self) -> None:
        self.work, self.dates, self.bill = _Work(), _Dates(), Bill()
        self._terms: dict[str | None, Terms] = {}

    def terms(self, chunk: Chunk) -> list[Terms]:
        """Take over the next events; of each the terms of its trial then."""
        terms = []
        for place, row in enumerate(chunk.rows):
            _, time, kind, trial = row[:4]
            if place in chunk.bodies:
                self._hear(time, kind, trial, chunk.bodies[place])
            if kind not in PRICED:
                self.work.hear(time, kind)
            terms.append(self._terms.get(trial) or self._unknown())
        return terms

    def _unknown(self) -> Terms:
        return Terms(self.bill.price(None), 1.0, taught=False)

    def _hear(self, time: float, kind: Kind, trial: str | None, body: dict[str, Any]) -> None:
        self.dates.hear(time, kind, body)
        if kind == "plan":
            self.bill.plan(body["compute"])
        elif kind == "former-epoch":
            self.bill.epoch(trial, body.get("seconds"))
        elif kind in ("start", "former-start"):
            self.bill.start(trial, body.get("devices"))
            former = self._terms.get(trial) or self._unknown()
            self._terms[trial] = former._replace(price=self.bill.price(trial))
        if kind == "start":
            taught = bool(body["config"]["teacher"]) and origin_of(body) is None
            terms = self._terms[trial]
            self._terms[trial] = Terms(terms.price, body.get("devices", 1.0), taught or terms.taught)


class _Measured:
    """Adds up blocks of epochs."""

    def __init__(self, wanted: set[str]) -> None:
        self.curves = {key: Curve() for key in wanted}
        self._use = Use()
        self.device_seconds = 0.0
        self._taught = self._served = self._images = 0

    def take(self, block: Block) -> None:
        """Take over some epochs."""
        self._use.note(block)
        self._note_live(block)
        if "seconds" in block.numbers:
            self.device_seconds += float(np.nansum(block.numbers["seconds"] * block.prices))
        numbers = {name: block.numbers[name] for name in ACCURACIES if name in block.numbers}
        numbers |= block.part(DIAGNOSTICS)
        for trial, places in _by_trial(block.trials).items():
            if trial in self.curves:
                self.curves[trial].note(block.epochs[places], {name: all_[places] for name, all_ in numbers.items()})

    def _note_live(self, block: Block) -> None:
        images = block.numbers.get(LIVE)
        if images is not None:
            own = images[block.taught & ~np.isnan(images)]
            self._taught += len(own)
            self._served += int((own == 0).sum())
            self._images += int(own.sum())

    def effort(self, device_seconds: float, wall_seconds: float) -> Effort:
        """What all that cost."""
        return Effort(device_seconds, wall_seconds, self._taught, self._served, self._images, self._use)


def _by_trial(trials: Sequence[str | None]) -> dict[str | None, list[int]]:
    """Where each trial's epochs stand."""
    places: dict[str | None, list[int]] = {}
    for place, trial in enumerate(trials):
        places.setdefault(trial, []).append(place)
    return places


class _Dates:
    """When the first trial began that was trained here, and the last one ended."""

    def __init__(self) -> None:
        self._first, self._last = math.inf, -math.inf

    @property
    def known(self) -> tuple[float, float] | None:
        """Both, where there are both."""
        times = (self._first, self._last)
        return times if all(map(math.isfinite, times)) else None

    def hear(self, time: float, kind: Kind, body: dict[str, Any]) -> None:
        """Take over the next event."""
        if kind in ("start", "final") and origin_of(body) is None:
            if kind == "start":
                self._first = min(self._first, time)
            else:
                self._last = max(self._last, time)


class _Work:
    """Adds up the time in which a driver was at work, from one event to the next: a clock that is set back in between
    takes nothing away from what went before."""

    def __init__(self) -> None:
        self._seconds, self._doubtful, self._latest = 0.0, 0.0, 0.0

    @property
    def seconds(self) -> float:
        """So far."""
        return self._seconds + self._doubtful

    def hear(self, time: float, kind: Kind) -> None:
        """Take over the next event."""
        passed, self._latest = (time - self._latest if time > self._latest else 0.0), time
        if kind == "interrupted":
            self._doubtful += passed
        elif kind == "sweep":  # it was this driver that noted them, before it began: of one that was killed
            self._doubtful = 0.0
        else:
            self._seconds += self._doubtful + (passed if kind != "stop" else 0.0)
            self._doubtful = 0.0
