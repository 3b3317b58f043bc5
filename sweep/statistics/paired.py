"""The statistics of the leaderboard: what two rows differ by, and whether their seeds show it.

Seeds are paired: seed s is the same initial student, data order and views in every row (see :mod:`trainers.fit`), so
rows are compared by their differences, seed by seed. Nothing here knows of sweeps.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

Place = TypeVar("Place", int, str)

LEVEL = 0.05
"""Of significance, after the correction."""
FEWEST = 3
"""Differences that a test needs. Two leave one degree of freedom, where |t| must exceed 12.7 at 5 %."""
NO_SPREAD = 1e-9
"""Standard deviation of differences, in their own unit, below which they are taken for all equal: what rounding
leaves."""


def paired(ours: Mapping[Place, float], theirs: Mapping[Place, float]) -> list[float]:
    """``ours - theirs`` at each common place (seed or pair), in the places' order."""
    return [ours[place] - theirs[place] for place in sorted(ours.keys() & theirs.keys())]


def mean(values: Iterable[float]) -> float | None:
    """Their mean; None of no values."""
    some = list(values)
    return statistics.fmean(some) if some else None


def deviation(values: Iterable[float]) -> float | None:
    """Sample standard deviation, with n - 1 below; None of fewer than two values.

    In floating point: :func:`statistics.stdev` counts in fractions, which takes thirty times as long.
    """
    some = list(values)
    if len(some) < 2:
        return None
    middle = statistics.fmean(some)
    return math.sqrt(math.fsum((value - middle) ** 2 for value in some) / (len(some) - 1))


def spread(values: Iterable[float]) -> float:
    """Sample standard deviation as it is drawn and printed beside a mean: 0 of fewer than two values."""
    return deviation(values) or 0.0


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """p-values corrected for their number, so that the chance of any false finding among them stays below the level.

    Holm's step-down procedure (Scandinavian Journal of Statistics 6, 1979): with ``p(1) ≤ … ≤ p(m)``::

        adjusted p(i) = min(1, max over j ≤ i of (m - j + 1) p(j))

    It holds however the tests depend on each other (here they share the best row) and rejects all that Bonferroni's
    correction rejects.

    Args:
        ps: of one family; None where no test was made, which then does not count.
    """
    made = sorted((p, place) for place, p in enumerate(ps) if p is not None)
    adjusted: list[float | None] = [None] * len(ps)
    highest = 0.0
    for rank, (p, place) in enumerate(made):
        highest = max(highest, min(1.0, (len(made) - rank) * p))
        adjusted[place] = highest
    return adjusted


def shows(p: float | None) -> bool:
    """Whether a corrected p-value shows a difference at :data:`LEVEL`."""
    return p is not None and p < LEVEL
