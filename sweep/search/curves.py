"""A search that looks ahead: which configuration to try next, and when to give one up for another.

A trial goes on while no untried configuration promises more expected improvement at its last epoch for each epoch that
it still needs; otherwise it is given up, and that configuration is tried. What is tried is a function of the cell's
history and the seed, and what is given up one of the history (:mod:`sweep.search.forecast` has the model).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from sweep.plan.slots import SearchedCell, filled
from sweep.search.forecast import Course, Forecast, Numbers, Observed, expected_improvement
from sweep.search.geometry import candidates, coordinates, is_listed
from sweep.search.pruning import Pruner
from sweep.search.suggest import Asked
from sweep.search.untried import left, untried
from trainers.config import Recipe
from trainers.loop.schedule import learning_rate

LOOKS = 9
"""How often a trial of many epochs is looked at: every so many of them, whole ones."""
BEST = 3
"""Configurations near which more are looked at."""
BESIDE = 0.05
"""How near two points may not be, in unit lengths."""
FEWEST = 2
"""Epochs of all trials together, before anything is foretold."""


@dataclass(frozen=True)
class Weighed:
    """A trial that runs, weighed against what could be tried in its stead."""

    number: int
    """Of the suggestion, counted from 0."""
    epoch: int
    """After which it was weighed, counted from 1."""
    forecast: Forecast
    """In which it is the trial of that number."""
    best: float
    """What is to be improved."""
    gain: float
    """Expected improvement at its last epoch, for each epoch that it still needs."""
    instead: dict[str, Any]
    """The point not tried yet that promises most for each of its epochs."""
    promise: float
    """What it promises for each."""
    instead_end: tuple[float, float]
    """Mean and standard deviation of what it would end with."""

    @property
    def is_worse(self) -> bool:
        """Whether the trial promises less, and is given up."""
        return self.gain < self.promise

    @property
    def end(self) -> tuple[float, float]:
        """Mean and standard deviation of what the trial would end with."""
        mean, deviation = self.forecast.ends([self.number])
        return float(mean[0]), float(deviation[0])


@dataclass(frozen=True)
class Other:
    """What could be trained instead of a trial."""

    params: dict[str, Any]
    promise: float
    """Its expected improvement for each epoch that it needs."""
    end: tuple[float, float]
    """Mean and standard deviation of what it would end with."""


@dataclass(frozen=True)
class Outlook:
    """What one more trial promises."""

    params: dict[str, Any]
    """The point not tried yet that promises most."""
    gain: float
    """Its expected improvement, in points."""
    best: float
    """What is to be improved."""
    end: tuple[float, float]
    """Mean and standard deviation of what it would end with."""


class CurveSearch(Pruner):
    """The look ahead of one cell.

    Args:
        cell: what is searched.
        history: the cell's suggestions; the list grows, and so do their epochs.
        keys: of the trial that each suggestion is.
    """

    replays = False  # what is given up depends on the budget, and to look at every epoch again takes long

    def __init__(self, cell: SearchedCell, history: Sequence[Asked], keys: Sequence[str]) -> None:
        super().__init__()
        self._cell, self._history, self._keys = cell, history, keys
        self._courses: dict[str, Course] = {}

    def suggest(self, seed: int) -> dict[str, Any] | None:
        """The next point to try; None where all points were tried.

        Args:
            seed: for this suggestion.
        """
        untried = self._untried(seed)
        if not untried:
            return None
        trials = self._trials()
        if known_epochs(trials) < FEWEST:
            return untried[seed % len(untried)]
        forecast = Forecast(self._believed(trials))
        return untried[int(np.argmax(self._promises(forecast, untried, self._best(forecast))))]

    def _judge(self, key: str, epoch: int, value: float) -> bool:
        number = max(number for number, known in enumerate(self._keys) if known == key)
        weighed = self.weigh(number, epoch)
        return weighed is not None and weighed.is_worse

    def weigh(self, number: int, epoch: int) -> Weighed | None:
        """A trial that runs, weighed after an epoch; None where it goes on unweighed.

        Args:
            number: of the suggestion, counted from 0.
            epoch: counted from 1.
        """
        epochs = len(self._course(self._history[number].params).share)
        if epoch % max(1, epochs // LOOKS) or epoch >= epochs or not self._has_others:
            return None
        trials = self._trials()
        if known_epochs(trials) < FEWEST:
            return None
        forecast = self._beside(number, trials)
        best = self._best(forecast)
        other = self._other(forecast, best, epoch)
        if other is None:
            return None
        own = expected_improvement(*forecast.ends([number]), best)[0] / (epochs - epoch)
        return Weighed(number, epoch, forecast, best, float(own), other.params, other.promise, other.end)

    @property
    def _has_others(self) -> bool:
        """Whether there may be what could be trained instead of a trial."""
        return len(self._history) < self._cell.budget

    def _other(self, forecast: Forecast, best: float, seed: int) -> Other | None:
        """What promises most of all that could be trained instead; None where there is nothing."""
        untried = self._untried(seed)
        if not untried:
            return None
        promises = self._promises(forecast, untried, best)
        params = untried[int(np.argmax(promises))]
        return Other(params, float(promises.max()), self._end_of(forecast, params))

    def outlook(self, seed: int) -> Outlook | None:
        """What one more trial promises; None where all points were tried, and while nothing can be foretold.

        Args:
            seed: of the points that are looked at.
        """
        trials, untried = self._trials(), self._untried(seed)
        if known_epochs(trials) < FEWEST or not untried:
            return None
        forecast = Forecast(self._believed(trials))
        best = self._best(forecast)
        epochs = np.array([len(self._course(params).share) for params in untried])
        gains = self._promises(forecast, untried, best) * epochs
        most = untried[int(np.argmax(gains))]
        return Outlook(most, float(gains.max()), best, self._end_of(forecast, most))

    def ends(self, numbers: Sequence[int]) -> list[tuple[float, float]]:
        """Mean and standard deviation of what some trials end with, or would have ended with, by all that is known."""
        means, deviations = Forecast(self._trials()).ends(numbers)
        return list(zip(means.tolist(), deviations.tolist(), strict=True))

    def _end_of(self, forecast: Forecast, params: Mapping[str, Any]) -> tuple[float, float]:
        mean, deviation = forecast.new([coordinates(self._cell.space, params)], self._course(params))
        return float(mean[0]), float(deviation[0])

    def forget(self, key: str) -> None:
        """Nothing to do: a suggestion that broke has that state, and counts as the worst that was seen."""

    def _promises(self, forecast: Forecast, untried: Sequence[Mapping[str, Any]], best: float) -> Numbers:
        """Expected improvement for each epoch, of points that were not tried."""
        promises = np.empty(len(untried))
        courses = [self._course(params) for params in untried]
        for course in {id(course): course for course in courses}.values():
            some = [place for place, its in enumerate(courses) if its is course]
            at = [coordinates(self._cell.space, untried[place]) for place in some]
            promises[some] = expected_improvement(*forecast.new(at, course), best) / len(course.share)
        return promises

    def _best(self, forecast: Forecast) -> float:
        """What is to be improved: the best last value that is known or believed, or else the best that is expected."""
        sound = [number for number, asked in enumerate(self._history) if asked.state != "failed"]
        begun = [number for number in sound if forecast.trials[number].epochs]
        ended = [trial.values[-1] for number in begun if (trial := forecast.trials[number]).is_over]
        if ended:
            return max(ended)
        expected, _ = forecast.ends(begun or list(range(len(self._history))))
        return float(expected.max())

    def _untried(self, seed: int) -> list[dict[str, Any]]:
        """Points to choose from. Of a large space, where others are left, none that lies beside one that was tried: it
        would promise the luck of another trial, and nothing else."""
        space, tried = self._cell.space, [asked.params for asked in self._history]
        ranked = sorted(self._history, key=lambda asked: -max(asked.epochs.values(), default=-np.inf))
        sample = candidates(space, [asked.params for asked in ranked[:BEST]], seed)
        points = list(untried(sample, tried)) or list(islice(left(space, tried), 1))
        if not tried or is_listed(space):
            return points
        places = np.stack([coordinates(space, params) for params in tried])
        far = [point for point in points if np.linalg.norm(places - coordinates(space, point), axis=1).min() > BESIDE]
        return far or points

    # -- the history as the model has it ------------------------------------------------------------------------------

    def _trials(self) -> list[Observed]:
        seen = [value for asked in self._history for value in asked.epochs.values()]
        worst = min(seen, default=0.0)
        return [self._observed(asked, worst) for asked in self._history]

    def _observed(self, asked: Asked, worst: float) -> Observed:
        course = self._course(asked.params)
        known = {epoch - 1: value for epoch, value in sorted(asked.epochs.items()) if epoch <= len(course.share)}
        if asked.state == "failed":
            known[len(course.share) - 1] = worst
        return Observed(coordinates(self._cell.space, asked.params), course, tuple(known), tuple(known.values()))

    def _beside(self, number: int, trials: Sequence[Observed]) -> Forecast:
        """The forecast that one that runs beside others is judged by: those others have ended as expected, which takes
        away what nobody knows yet of any of them. The most promising one is judged as if it ran alone."""
        forecast = Forecast(trials)
        running = [other for other in self._running() if trials[other].epochs]
        ends, _ = forecast.ends(running)
        if running[int(np.argmax(ends))] == number:
            return forecast
        others = {other: end for other, end in zip(running, ends, strict=True) if other != number}
        return Forecast(_with_ends(trials, others))

    def _believed(self, trials: Sequence[Observed]) -> Sequence[Observed]:
        """The trials, those that run as if they had ended as expected: a new one need not try what they try."""
        running = self._running()
        if not running:
            return trials
        return _with_ends(trials, dict(zip(running, Forecast(trials).ends(running)[0], strict=True)))

    def _running(self) -> list[int]:
        return [number for number, asked in enumerate(self._history) if asked.state == "running"]

    def _course(self, params: Mapping[str, Any]) -> Course:
        """Of a configuration's trials; one object for each recipe that differs in its schedule."""
        recipe = filled(self._cell.config, dict(params))["recipe"]
        schedule = repr([recipe[name] for name in SCHEDULE])
        if schedule not in self._courses:
            self._courses[schedule] = course(Recipe.model_validate(recipe))
        return self._courses[schedule]


SCHEDULE = ("epochs", "schedule", "milestones", "lr_decay", "warmup_epochs")
"""Fields of a recipe that say how the learning rate goes, beside its peak."""


def course(recipe: Recipe) -> Course:
    """What each epoch is to a recipe's schedule."""
    epochs = range(1, recipe.epochs + 1)
    rates = [learning_rate(recipe, epoch, 0, 1) if epoch > recipe.warmup_epochs else recipe.lr for epoch in epochs]
    return Course(np.array(epochs) / recipe.epochs, 1 - np.array(rates) / recipe.lr)


def _with_ends(trials: Sequence[Observed], ends: Mapping[int, float]) -> list[Observed]:
    return [_ended(trial, ends[number]) if number in ends else trial for number, trial in enumerate(trials)]


def _ended(trial: Observed, value: float) -> Observed:
    if trial.is_over:
        return trial
    last = len(trial.course.share) - 1
    return replace(trial, epochs=(*trial.epochs, last), values=(*trial.values, float(value)))


def known_epochs(trials: Sequence[Observed]) -> int:
    """Epochs of some trials together that are known."""
    return sum(len(trial.epochs) for trial in trials)
