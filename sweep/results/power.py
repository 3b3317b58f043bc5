"""How many seeds would show a difference: the power of the test that two rows are compared by."""

from __future__ import annotations

import math

from sweep.statistics.noise import Contrast
from sweep.statistics.paired import FEWEST, LEVEL, NO_SPREAD

POWER = 0.8
"""Chance with which a difference of this size would be shown."""
MOST = 1000
"""Seeds, beyond which no number is told."""


def power(contrast: Contrast, seeds: int, comparisons: int = 1) -> float:
    """The chance that so many seeds show a difference as large as this one is, if it is as noisy as it seems.

    By the noncentral t distribution, at the level that Holm's correction sets the smallest p-value of the family; never
    more than the paired t test of the two rows alone has, which must bear the finding out.

    Args:
        contrast: of at least three seeds.
        seeds: how many there would be.
        comparisons: in the family that the p-value is corrected for.
    """
    from scipy.special import nctdtr, stdtrit

    size = abs(contrast.difference) / (contrast.error * math.sqrt(contrast.places)) * math.sqrt(seeds)

    def shown(freedom: float, level: float) -> float:
        return 1 - float(nctdtr(freedom, size, float(stdtrit(freedom, 1 - level / 2))))

    in_common = contrast.freedom * (seeds - 1) / (contrast.places - 1)
    return min(shown(in_common, LEVEL / comparisons), shown(seeds - 1.0, LEVEL))


def seeds_needed(contrast: Contrast, comparisons: int = 1) -> int | None:
    """The fewest seeds of :data:`POWER`; None where more than :data:`MOST` would be needed."""
    if contrast.error < NO_SPREAD or power(contrast, MOST, comparisons) < POWER:
        return None
    low, high = FEWEST - 1, MOST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(contrast, middle, comparisons) >= POWER else (middle, high)
    return high
