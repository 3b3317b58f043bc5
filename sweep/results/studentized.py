"""The distribution of the studentized range, which Tukey's range test reads its limit off.

`k` means, each of the same number of normal values with one expectation, span `q` of their standard errors, which are
estimated with ν degrees of freedom. With Φ and φ of the normal distribution::

    P(Q ≤ q) = ∫ f(s) W(q s) ds,    W(w) = k ∫ φ(z) (Φ(z) - Φ(z - w))^(k - 1) dz,    f: of s = √(χ²(ν) / ν)

(Tukey, The Problem of Multiple Comparisons, 1953.) `scipy.stats.studentized_range` computes the same, and takes seconds
to import. Both integrands are smooth and vanish at both ends, `f` in log s, where sums over equal steps are exact to
the last digits but a few.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEPS = 600
"""Of the integral over the deviation."""
NORMAL_STEPS = 160
"""Of the one over the normal distribution."""
FARTHEST = 8.5
"""Standard deviations; beyond lies less than 10⁻¹⁶."""
NEGLIGIBLE = 37.0
"""Minus the logarithm of 10⁻¹⁶."""
HALVINGS = 60
"""Of the interval in which a quantile lies."""


def quantile(level: float, k: int, freedom: int) -> float:
    """The span of `k` means, in standard errors, that chance exceeds with the probability 1 - `level`.

    Args:
        level: between 0 and 1.
        k: how many means, at least two.
        freedom: degrees of freedom of the standard error, at least one.
    """
    deviations, weights = _deviations(k, freedom)
    low, high = 0.0, 1.0
    while weights @ _within(high * deviations, k) < level:
        low, high = high, 2 * high
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if weights @ _within(middle * deviations, k) < level:
            low = middle
        else:
            high = middle
    return high


def _deviations(k: int, freedom: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values of s in equal steps of its logarithm, and the probability of each, whose sum is 1."""
    spread = FARTHEST / math.sqrt(2 * freedom)
    lowest = -NEGLIGIBLE / (freedom + k - 1) - spread  # W falls with s to the power k - 1 there
    logs = np.linspace(lowest, math.log1p(2 * NEGLIGIBLE / freedom) / 2 + spread, STEPS)
    constant = math.log(2) + freedom / 2 * math.log(freedom / 2) - math.lgamma(freedom / 2)
    density = np.exp(constant + freedom * logs - freedom / 2 * np.exp(2 * logs))
    return np.exp(logs), density * (logs[1] - logs[0])


def _within(widths: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """W: the probability that `k` normal values lie within each of the widths."""
    from scipy.special import ndtr  # a quarter of the time that scipy.stats takes to import

    z = np.linspace(-FARTHEST, FARTHEST, NORMAL_STEPS)
    density = np.exp(-z * z / 2) * ((z[1] - z[0]) / math.sqrt(2 * math.pi))
    inside: NDArray[np.float64] = k * ((ndtr(z) - ndtr(z - widths[:, None])) ** (k - 1) @ density)
    return inside
