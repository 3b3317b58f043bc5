"""What the report is made of: the leaderboard, and behind each of its rows the trials with their epochs."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sweep.ledger.store import Event, Ledger
from sweep.plan.labels import label
from sweep.plan.slots import Plan, Slot
from sweep.report.looks import Looks
from sweep.report.walk import Curve, Effort, walk
from sweep.results.board import Leaderboard, board_of
from sweep.results.read import Trial, distinct
from sweep.results.read import read as results_of
from sweep.results.rows import Row
from sweep.search.cell_search import CellSearch
from sweep.search.searches import Searches


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
    results = results_of(ledger, counts_epochs=True)
    board, plan, planned = board_of(results), results.plan, results.trials
    runs = list(ledger.events("sweep"))
    wanted = {trial.key for trial in planned if trial.key and trial.slot.stage == "confirm"}
    walked = walk(ledger, wanted)
    return History(
        board=board,
        spec=runs[-1].body["spec"] if runs else "",
        trials=distinct(planned),
        searched=[trial for trial in planned if trial.slot.stage == "search"],
        configurations=_configurations(board, planned, walked.curves),
        searches=Searches.read(plan, ledger),
        effort=walked.effort,
        runs=runs,
        dates=walked.dates,
    )


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
