"""Deviations and corrections, against SciPy and against examples worked by hand."""

from __future__ import annotations

import itertools
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from sweep.statistics.paired import LEVEL, deviation, holm, paired, shows, spread

ps = st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=8)


def test_differences_are_taken_at_common_seeds_in_their_order() -> None:
    assert paired({2: 5.0, 0: 1.0, 7: 9.0}, {0: 3.0, 1: 4.0, 2: 1.0}) == [-2.0, 4.0]
    assert paired({0: 1.0}, {1: 1.0}) == []


def test_one_value_has_no_spread() -> None:
    assert spread([3.0]) == 0.0
    assert spread([1.0, 2.0, 6.0]) == deviation([1.0, 2.0, 6.0])


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=12))
def test_the_deviation_is_the_sample_standard_deviation(values: list[float]) -> None:
    assert deviation(values) == pytest.approx(statistics.stdev(values), rel=1e-9, abs=1e-9)


def test_holms_correction_worked_by_hand() -> None:
    """p sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06 and 0.04, which may not fall below 0.06."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_a_test_that_was_not_made_is_not_corrected_for() -> None:
    assert holm([None, 0.04, None, 0.5]) == [None, 0.08, None, 0.5]
    assert holm([]) == []
    assert holm([None]) == [None]


@given(ps)
def test_holm_is_monotone_and_between_no_correction_and_bonferronis(raw: list[float | None]) -> None:
    corrected = holm(raw)
    made = [(p, c) for p, c in zip(raw, corrected, strict=True) if p is not None and c is not None]
    assert len(made) == sum(p is not None for p in raw)
    assert all(p <= c <= min(1.0, p * len(made)) for p, c in made)
    assert all(a[1] <= b[1] for a, b in itertools.pairwise(sorted(made)))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_stricter_than_control_of_the_false_discovery_rate(raw: list[float]) -> None:
    lenient = false_discovery_control(raw)
    assert all(c is not None and c >= value - 1e-12 for c, value in zip(holm(raw), lenient, strict=True))


def test_the_level_itself_shows_nothing() -> None:
    assert [shows(p) for p in (None, LEVEL, LEVEL * 0.99)] == [False, False, True]
