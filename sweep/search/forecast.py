"""Where learning curves will end: a Gaussian process over hyperparameters and epochs, one for each searched cell.

A value of configuration `x` after a share `t` of its epochs is taken for the sum of

- a mean curve that all share: a constant, a part that grows with the logarithm of the epoch, and one that comes as the
  learning rate goes (in a step schedule a curve jumps at each milestone), each with a broad prior;
- what the hyperparameters do, near ones alike: Matérn 5/2 in `x`, exponential in `t`;
- the trial's own offset, which fades in `t` likewise; and noise,

in units of the spread between configurations. The kind of model is that of Swersky, Snoek and Adams, "Freeze-thaw
Bayesian optimization" (arXiv 1406.3896). Its scales are fixed: that is more reliable than fitting them to a few short
curves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

LENGTH = 0.6
"""In unit coordinates of a plane: how far what a hyperparameter does reaches."""
TIME = 0.5
"""In shares of the epochs."""
EFFECT, OWN, NOISE = 1.0, 0.15, 0.02
"""Variances, in squares of the spread."""
AROUND, SMALLEST = 1.5, 0.5
"""The spread: so often the deviation around the mean curve; at least so many points."""
SHARED = np.array([24.0, 24.0, 2.4])
"""Of the mean curve's parts: the constant, with the logarithm of the epoch, with the learning rate's fall."""
MOST_OBSERVED = 300
"""Epochs of all trials together that the model sees; of more, evenly spaced ones, and the last of each trial."""


@dataclass(frozen=True)
class Course:
    """A trial's epochs: what each of them is to the schedule."""

    share: Numbers
    """Of the trial's epochs that are over after each, above 0 up to 1."""
    annealed: Numbers
    """How far the learning rate has come down at the beginning of each: 0 at its peak and before, 1 at nothing."""


@dataclass(frozen=True)
class Observed:
    """A trial so far."""

    at: Numbers
    """Its coordinates."""
    course: Course
    epochs: tuple[int, ...]
    """That are known, in order, counted from 0; there may be none."""
    values: tuple[float, ...]
    """After each of these."""

    @property
    def is_over(self) -> bool:
        """Whether its last epoch is known."""
        return bool(self.epochs) and self.epochs[-1] + 1 == len(self.course.share)


class Forecast:
    """What is known of the ends of a cell's trials.

    Args:
        trials: all so far.
    """

    def __init__(self, trials: Sequence[Observed]) -> None:
        self.trials = trials
        step = math.ceil(sum(len(trial.epochs) for trial in trials) / MOST_OBSERVED)
        seen = [(number, *one) for number, trial in enumerate(trials) for one in _latest_of_each(trial, step)]
        self._of = np.array([number for number, _, _ in seen], dtype=int)
        self._at = np.stack([trials[number].at for number, _, _ in seen])
        self._share = np.array([trials[number].course.share[epoch] for number, epoch, _ in seen])
        self._features = np.stack([_features(trials[number].course, epoch) for number, epoch, _ in seen])
        values = np.array([value for _, _, value in seen])
        self._middle, self._spread = float(values.mean()), _spread(values, self._features)
        covariance = self._covariance(self._at, self._share, self._features, self._of)
        self._root = np.linalg.cholesky(covariance + (NOISE + 1e-8) * np.eye(len(values)))
        self._weights = np.linalg.solve(self._root, (values - self._middle) / self._spread)

    @property
    def noise(self) -> float:
        """The standard deviation of what is chance in a value."""
        return math.sqrt(NOISE) * self._spread

    def ends(self, trials: Sequence[int]) -> tuple[Numbers, Numbers]:
        """Mean and standard deviation of what some of the trials will have after their last epoch.

        Args:
            trials: their numbers, counted from 0.
        """
        some = [self.trials[number] for number in trials]
        last = [(trial.course, -1) for trial in some]
        return self._predicted([trial.at for trial in some], last, np.array(trials))

    def along(self, number: int, epochs: Sequence[int]) -> tuple[Numbers, Numbers]:
        """Mean and standard deviation of what one of the trials has, or will have, after some of its epochs.

        Args:
            number: the trial's, counted from 0.
            epochs: counted from 0.
        """
        trial = self.trials[number]
        some = [(trial.course, epoch) for epoch in epochs]
        return self._predicted([trial.at] * len(some), some, np.full(len(some), number))

    def new(self, at: Sequence[Numbers], course: Course) -> tuple[Numbers, Numbers]:
        """The same of trials that have not begun.

        Args:
            at: their coordinates.
            course: that all of them would take.
        """
        return self._predicted(at, [(course, -1)] * len(at), np.full(len(at), -1))

    def _predicted(
        self, at: Sequence[Numbers], epochs: Sequence[tuple[Course, int]], of: NDArray[np.int_]
    ) -> tuple[Numbers, Numbers]:
        places = np.stack(list(at))
        share = np.array([course.share[epoch] for course, epoch in epochs])
        features = np.stack([_features(course, epoch) for course, epoch in epochs])
        cross = self._covariance(places, share, features, of)
        inner = np.linalg.solve(self._root, cross.T)
        prior = EFFECT + OWN + features**2 @ SHARED
        variance = np.maximum(prior - (inner**2).sum(0), 1e-9)
        return inner.T @ self._weights * self._spread + self._middle, np.sqrt(variance) * self._spread

    def _covariance(self, at: Numbers, share: Numbers, features: Numbers, of: NDArray[np.int_]) -> Numbers:
        """Of values elsewhere with those that were seen, without noise."""
        near = _matern(at, self._at) * EFFECT + OWN * (of[:, None] == self._of[None])
        fading = np.exp(-np.abs(share[:, None] - self._share[None]) / TIME)
        return np.asarray(near * fading + features * SHARED @ self._features.T)


def expected_improvement(mean: Numbers, deviation: Numbers, best: float) -> Numbers:
    """By how much normal values exceed `best`, where they do, on average."""
    z = (mean - best) / deviation
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    below = 0.5 * (1 + np.vectorize(math.erf)(z / math.sqrt(2)))
    return np.asarray((mean - best) * below + deviation * density)


def _spread(values: Numbers, features: Numbers) -> float:
    """By how much configurations differ: values around the mean curve that fits them best, or the curve's own rise
    while they are few; never less than a tenth of that."""
    rise = float(values.std())
    free = len(values) - features.shape[1]
    if free < features.shape[1]:
        return max(rise, SMALLEST)
    fitted = features @ np.linalg.lstsq(features, values, rcond=None)[0]
    around = math.sqrt(float(((values - fitted) ** 2).sum()) / free)
    return max(AROUND * around, rise / 10, SMALLEST)


def _latest_of_each(trial: Observed, step: int) -> list[tuple[int, float]]:
    """A trial's last epoch and value, and of those before it each `step`-th."""
    return list(zip(trial.epochs, trial.values, strict=True))[::-step][::-1]


def _features(course: Course, epoch: int) -> Numbers:
    epochs = len(course.share)
    done = course.share[epoch] * epochs
    return np.array([1.0, math.log(done) / math.log(max(epochs, 2)), course.annealed[epoch]])


def _matern(at: Numbers, others: Numbers) -> Numbers:
    """Matérn 5/2. Its length grows with the root of the dimensions, as the distances of random points do."""
    squares = ((at[:, None] - others[None]) ** 2).sum(-1)
    scaled = np.sqrt(5 * squares) / (LENGTH * math.sqrt(at.shape[1] / 2))
    return np.asarray((1 + scaled + scaled**2 / 3) * np.exp(-scaled))
