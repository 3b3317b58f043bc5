"""What the report is made of: the leaderboard, and behind each of its rows the trials with their epochs."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from sweep.cost.prices import Bill
from sweep.ledger.kinds import Kind
from sweep.ledger.origin import origin_of
from sweep.ledger.store import Event, Ledger
from sweep.plan.labels import label
from sweep.plan.slots import Plan, Slot
from sweep.report.looks import Looks
from sweep.report.use import Use
from sweep.results.board import Leaderboard, leaderboard
from sweep.results.read import Trial, distinct, trials
from sweep.results.rows import Row
from sweep.search.cell_search import CellSearch
from sweep.search.searches import Searches

ACCURACIES = ("train_acc", "val_acc", "test_acc")
LIVE = "teacher_images"
"""Of an epoch: how many images the teacher itself was run on, where a logit bank may serve them."""


@dataclass
class Curve:
    """What a trial was measured at, epoch by epoch: accuracies in percent, diagnostics by their own names."""

    numbers: dict[str, array[float]] = field(default_factory=dict)
    """By name; the first is epoch 1; NaN where an epoch has no such number."""

    def note(self, epoch: int, body: dict[str, Any]) -> None:
        """Take over one epoch's result."""
        for name in ACCURACIES:
            if (value := body.get(name)) is not None:
                self._note(epoch, name, value)
        for name, value in (body.get("diagnostics") or {}).items():
            if value is not None:
                self._note(epoch, name, value)

    def _note(self, epoch: int, name: str, value: float) -> None:
        line = self.numbers.get(name)
        if line is None:
            line = self.numbers[name] = array("d")
        if len(line) < epoch:
            line.extend([math.nan] * (epoch - len(line)))
        line[epoch - 1] = value

    def last(self, name: str) -> float | None:
        """The latest value; None where there is none."""
        known = [value for value in self.numbers.get(name, ()) if not math.isnan(value)]
        return known[-1] if known else None


@dataclass(frozen=True)
class Summary:
    """A number epoch by epoch, over seeds."""

    epochs: list[int]
    means: list[float]
    spreads: list[float]
    """Sample standard deviations; 0 for one seed."""


@dataclass(frozen=True)
class Configuration:
    """A row of the leaderboard with what its trials went through."""

    row: Row
    name: str
    """Its label, with the recipe where the sweep has several."""
    settings: dict[str, Any]
    """Hyperparameters, and recipe fields as ``recipe.lr``, in which it differs from others of its pair."""
    curves: dict[int, Curve]
    """Of the finished trials, by seed."""

    @property
    def pair(self) -> str:
        """The teacher and the student that it was trained with."""
        return self.row.pair

    def has(self, name: str) -> bool:
        """Whether some trial was measured at this."""
        return any(name in curve.numbers for curve in self.curves.values())

    def finals(self, name: str) -> list[float]:
        """The last value of each seed that has one."""
        latest = [curve.last(name) for curve in self.curves.values()]
        return [value for value in latest if value is not None]

    def summary(self, name: str) -> Summary:
        """Mean and deviation of each epoch in which all seeds have the number."""
        lines = [curve.numbers[name] for curve in self.curves.values() if name in curve.numbers] or [array("d")]
        values = np.array([line[: min(map(len, lines))] for line in lines])  # (seeds, epochs)
        measured = ~np.isnan(values).any(axis=0)
        told = values[:, measured]
        return Summary(
            epochs=(1 + np.flatnonzero(measured)).tolist(),
            means=told.mean(axis=0).tolist(),
            spreads=(told.std(axis=0, ddof=1) if len(lines) > 1 else np.zeros(told.shape[1])).tolist(),
        )


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
class History:
    """A sweep, as its ledger has it now."""

    board: Leaderboard
    spec: str
    """The text as it was last run."""
    trials: list[Trial]
    """Each once."""
    searched: list[Trial]
    """What the searches tried; the best of it is among the others' confirming trials too."""
    configurations: list[Configuration]
    """Those that belong in the table, in its order."""
    searches: list[CellSearch]
    effort: Effort
    runs: list[Event]
    """The beginning of each."""
    dates: tuple[float, float] | None = None
    """When the first trial began and the last one ended, in seconds since 1970; None before the first has ended."""

    @property
    def plan(self) -> Plan:
        """What was planned when the sweep last ran."""
        return self.board.plan

    @property
    def pairs(self) -> list[str]:
        """In the order of the leaderboard's columns."""
        return self.board.pairs

    @cached_property
    def looks(self) -> Looks:
        """How each row is drawn, in every figure."""
        return Looks(self.board)

    def of(self, pair: str) -> list[Configuration]:
        """The configurations of a pair that have a result."""
        return [config for config in self.configurations if config.pair == pair and config.row.values]


def read(ledger: Ledger) -> History:
    """Read a sweep. Raises InputError where it has no plan yet."""
    board = leaderboard(ledger)
    plan, planned = trials(ledger)
    runs = list(ledger.events("sweep"))
    wanted = {trial.key for trial in planned if trial.key and trial.slot.stage == "confirm"}
    curves, effort, dates = _epochs(ledger, wanted)
    return History(
        board=board,
        spec=runs[-1].body["spec"] if runs else "",
        trials=distinct(planned),
        searched=[trial for trial in planned if trial.slot.stage == "search"],
        configurations=_configurations(board, planned, curves),
        searches=Searches.read(plan, ledger),
        effort=effort,
        runs=runs,
        dates=dates,
    )


class _Dates:
    """When the first trial began that was trained here, and the last one ended."""

    def __init__(self) -> None:
        self._first, self._last = math.inf, -math.inf

    @property
    def known(self) -> tuple[float, float] | None:
        """Both, where there are both."""
        times = (self._first, self._last)
        return times if all(map(math.isfinite, times)) else None

    def hear(self, event: Event) -> None:
        """Take over the next event."""
        if event.kind in ("start", "final") and origin_of(event.body) is None:
            if event.kind == "start":
                self._first = min(self._first, event.time)
            else:
                self._last = max(self._last, event.time)


class _Work:
    """Adds up the time in which a driver was at work, from one event to the next: a clock that is set back in between
    takes nothing away from what went before."""

    def __init__(self) -> None:
        self._seconds, self._doubtful, self._latest = 0.0, 0.0, 0.0

    @property
    def seconds(self) -> float:
        """So far."""
        return self._seconds + self._doubtful

    def hear(self, event: Event) -> None:
        """Take over the next event."""
        passed, self._latest = max(event.time - self._latest, 0.0), event.time
        if event.kind == "interrupted":
            self._doubtful += passed
        elif event.kind == "sweep":  # it was this driver that noted them, before it began: of one that was killed
            self._doubtful = 0.0
        else:
            self._seconds += self._doubtful + (passed if event.kind != "stop" else 0.0)
            self._doubtful = 0.0


def _epochs(ledger: Ledger, wanted: set[str]) -> tuple[dict[str, Curve], Effort, tuple[float, float] | None]:
    """One walk through the events: curves of the wanted trials, what everything cost, and its dates."""
    curves = {key: Curve() for key in wanted}
    with_teacher: set[str | None] = set()
    use, devices = Use(), dict[str | None, float]()
    live: list[int] = []
    work, dates, bill = _Work(), _Dates(), Bill()
    for event in ledger.events(*WORK, *PRICED):
        _, _, kind, trial, epoch, body = event
        if kind in PRICED:
            _charge(bill, event)
            continue
        work.hear(event)
        if kind == "epoch":
            bill.epoch(trial, body.get("seconds"))
            use.note(body, devices.get(trial, 1.0))
            if trial in with_teacher and LIVE in body:
                live.append(body[LIVE])
            if trial in curves:
                curves[trial].note(epoch or 1, body)
        else:
            dates.hear(event)
        if kind == "start":
            bill.start(trial, body.get("devices"))
            devices[trial] = body.get("devices", 1.0)
            if body["config"]["teacher"] and origin_of(body) is None:
                with_teacher.add(trial)
    cost = Effort(bill.device_seconds, work.seconds, len(live), live.count(0), sum(live), use)
    return curves, cost, dates.known


WORK: tuple[Kind, ...] = ("sweep", "start", "epoch", "pruned", "final", "failed", "interrupted", "stop")
"""What tells of a driver at work."""
PRICED: tuple[Kind, ...] = ("plan", "former-start", "former-epoch")
"""What decides the cost besides."""


def _charge(bill: Bill, event: Event) -> None:
    if event.kind == "plan":
        bill.plan(event.body["compute"])
    elif event.kind == "former-start":
        bill.start(event.trial, event.body.get("devices"))
    else:
        bill.epoch(event.trial, event.body.get("seconds"))


def _configurations(board: Leaderboard, planned: list[Trial], curves: dict[str, Curve]) -> list[Configuration]:
    members: dict[tuple[str, str, str], list[Trial]] = {}
    for trial in planned:
        if trial.slot.stage == "confirm":
            members.setdefault((trial.slot.pair, trial.slot.recipe, trial.slot.label), []).append(trial)
    recipes = {pair: _varying(board.plan.students, pair) for pair in board.pairs}
    several = len({row.recipe for row in board.rows}) > 1
    configurations = []
    for row in board.rows:
        own = [trial for trial in members.get((row.pair, row.recipe, row.label), ()) if trial.slot.varied == row.varied]
        recipe = own[0].slot.config["recipe"] if own else {}
        settings = row.varied | {f"recipe.{name}": recipe[name] for name in recipes[row.pair] if name in recipe}
        done = {trial.slot.seed: curves[trial.key] for trial in own if trial.key and trial.slot.seed in row.values}
        name = f"{row.recipe} · {row.label}" if several else row.label
        configurations.append(Configuration(row, name, settings, done))
    return configurations


def _varying(students: Iterable[Slot], pair: str) -> list[str]:
    """Fields of the recipe in which a pair's planned students differ."""
    recipes = [slot.config["recipe"] for slot in students if slot.pair == pair]
    first: dict[str, Any] = next(iter(recipes), {})
    return [name for name, value in first.items() if any(recipe[name] != value for recipe in recipes)]


def rest(method: str, settings: dict[str, Any], parameter: str) -> str:
    """A configuration's name without one of its settings: ``dhkd head=linear``."""
    return label(method, {name: value for name, value in settings.items() if name != parameter})
