"""The quantile of the studentised range, by two sums: `scipy.stats` takes a second to be imported alone.

The range of `k` standard normal numbers is at most `w` with the probability (Tukey 1949)::

    P(w; k) = k ∫ φ(z) (Φ(z) - Φ(z - w))^(k - 1) dz

and divided by the root `s` of an independent mean square of `f` degrees of freedom at most `q` with the probability
``E[P(q s; k)]``. In ``u = log s`` the density is ``∝ exp(f (u + (1 - exp(2 u)) / 2))``. Both integrands are
analytic and vanish at both ends, so the trapezoid rule is exact to ten digits with the points below.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

FARTHEST, STEP = 9.0, 0.2
"""In standard deviations: how far out and how finely φ is summed up."""
POINTS = 250
"""Of `u`."""
SMALLEST = 40.0
"""``exp(-SMALLEST)`` is nothing."""
EXACT = 1e-10
"""Relative error of a quantile."""


@lru_cache
def quantile(level: float, groups: int, freedom: int) -> float:
    """The studentised range of so many means that is not exceeded in a share `level` of all samples.

    Args:
        level: between 0 and 1.
        groups: `k`, at least 2.
        freedom: `f`, at least 1.
    """
    below = _probability(groups, freedom)
    low, high = 0.0, 1.0
    while below(high) < level:
        low, high = high, 2 * high
    while high - low > EXACT * high:
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) < level else (low, middle)
    return (low + high) / 2


def _probability(groups: int, freedom: int) -> Callable[[float], float]:
    """Of a studentised range of at most `q`."""
    from scipy.special import ndtr

    z = np.arange(-FARTHEST, FARTHEST + STEP / 2, STEP)
    density, up_to = groups * STEP * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi), ndtr(z)
    width = math.sqrt(SMALLEST / freedom)
    u = np.linspace(-width - SMALLEST / freedom, width, POINTS)
    weights = np.exp(freedom * (u + (1 - np.exp(2 * u)) / 2))
    weights, s = weights / weights.sum(), np.exp(u)

    def below(q: float) -> float:
        within = up_to - ndtr(z - q * s[:, None])  # [u, z]
        return float(weights @ (within ** (groups - 1) @ density))

    return below
