"""Tuned rows where nothing differs: whole searches over noise, whose table must not favour what was tuned."""

from __future__ import annotations

import math
from statistics import fmean

import pytest

from benchmarks.tuned_noise import SETTINGS, Found, measured, noise_plan, shown

SWEEPS = 300
RACES = 100
MOST = 0.075
"""Share of false claims: of 300 sweeps, 5 % exceed it in one case of 40, 10 % stay below it in one of 15."""


def favoured(found: list[Found]) -> float:
    """How far the mean difference is above the truth, in its own standard errors."""
    errors = [one.error for one in found]
    middle = fmean(errors)
    spread = math.sqrt(fmean((error - middle) ** 2 for error in errors) / len(errors))
    return middle / spread


@pytest.mark.slow(4)
@pytest.mark.parametrize("protocol", SETTINGS)
def test_of_noise_few_tuned_rows_are_shown_to_differ(protocol: str) -> None:
    name, correlation = SETTINGS[protocol]
    found = measured(noise_plan(name, seeds=4), correlation, SWEEPS)
    assert all(len(one.row.values) == 3 and one.row.p_delta is not None for one in found)
    assert 0 < shown(found) <= MOST
    assert abs(favoured(found)) < 3


@pytest.mark.slow(3)
def test_what_has_won_a_race_is_not_favoured_either() -> None:
    found = measured(noise_plan("paper", seeds=4, confirm=4, race=5), 1.0, RACES)
    assert all(len(one.row.values) == 3 and "in a race over 5 seeds, not told" in one.row.tuned for one in found[:3])
    assert 0 < shown(found) <= MOST
    assert abs(favoured(found)) < 3


@pytest.mark.slow(1)
def test_the_best_of_several_by_the_seeds_of_its_row_is_favoured() -> None:
    """What a race is for; the notes say so."""
    assert favoured(measured(noise_plan("paper", seeds=4, confirm=4), 1.0, 60)) > 5


@pytest.mark.slow(1)
def test_of_three_seeds_two_are_left_which_show_nothing() -> None:
    found = measured(noise_plan("paper", seeds=3), 1.0, 60)
    assert {tuple(one.row.values) for one in found} == {(1, 2)}
    assert {one.row.p_delta for one in found} == {None}
    assert abs(favoured(found)) < 3
