"""How many seeds would show a difference: against tables, and against a simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from sweep.results.power import MOST, POWER, power, seeds_needed
from sweep.statistics.noise import Contrast


def alone(size: float, places: int = 5) -> Contrast:
    """Of two rows whose difference is so many of its standard deviations, with no other row beside them."""
    error = 1 / math.sqrt(places)
    return Contrast(places, size, error, places - 1.0, 0.5, error, 0.5)


@pytest.mark.parametrize(("size", "seeds"), [(0.5, 34), (0.8, 15), (1.0, 10), (2.0, 5)])
def test_the_seeds_of_a_paired_t_test_are_those_of_cohens_tables(size: float, seeds: int) -> None:
    assert seeds_needed(alone(size)) == seeds
    assert power(alone(size), seeds) >= POWER > power(alone(size), seeds - 1)


def test_so_many_seeds_show_it_so_often() -> None:
    draws = np.random.default_rng(0).normal(0.8, 1, (4000, 15))
    shown = (stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05).mean()
    assert shown == pytest.approx(power(alone(0.8), 15), abs=0.03)


def test_a_stricter_level_and_a_smaller_difference_need_more() -> None:
    one, four = seeds_needed(alone(1.0)), seeds_needed(alone(1.0), comparisons=4)
    assert one is not None
    assert four is not None
    assert one < four
    assert seeds_needed(alone(0.01)) is None
    assert seeds_needed(alone(0.0)) is None
    assert power(alone(0.05), MOST) < POWER


def test_the_direction_is_no_matter() -> None:
    assert seeds_needed(alone(-1.0)) == seeds_needed(alone(1.0))
