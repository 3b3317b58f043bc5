"""The test that rows are told apart by: against SciPy, against numbers worked by hand, and what it must not do."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sweep.statistics.noise import Column, Contrast, corrected, noise
from sweep.statistics.paired import LEVEL

accuracies = st.floats(0, 100).map(lambda value: round(value, 2))


def contrast(values: dict[str, list[float]], row: str, reference: str) -> Contrast | None:
    column = Column({name: dict(enumerate(some)) for name, some in values.items()})
    return column.against(reference, [row])[row]


def between(values: dict[str, list[float]], row: str, reference: str) -> Contrast:
    found = contrast(values, row, reference)
    assert found is not None
    return found


QUIET = {
    "kd": [70.0, 72.0, 71.0],
    "a": [70.4, 72.1, 71.3],
    "b": [70.1, 72.3, 71.0],
    "c": [69.9, 72.0, 71.2],
    "d": [70.2, 71.9, 71.1],
    "mine": [71.1, 73.0, 72.2],
}
"""Rows that follow their seeds closely; `mine` is better by a point."""


@given(st.lists(st.tuples(accuracies, accuracies), min_size=3, max_size=12))
def test_of_two_or_three_rows_it_is_the_paired_t_test_of_scipy(pairs: list[tuple[float, float]]) -> None:
    ours, theirs = (list(some) for some in zip(*pairs, strict=True))
    differences = [a - b for a, b in pairs]
    if np.std(differences, ddof=1) < 1e-3:
        return
    expected = stats.ttest_rel(ours, theirs)
    ends = expected.confidence_interval(0.95)
    for beside in ({}, {"c": [value + place for place, value in enumerate(theirs)]}):
        found = between({"a": ours, "b": theirs} | beside, "a", "b")
        assert found.p == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
        assert found.interval == pytest.approx((ends.low, ends.high), rel=1e-6, abs=1e-6)


def test_the_common_noise_is_that_of_a_table_worked_by_hand() -> None:
    """Residuals (0, 0, 0), (0, ½, −½), (0, −½, ½): their squares sum to 1, over (3 − 1)(3 − 1) degrees. Against the
    mean of the other two rows they are 3/2 as large, a variance of 9/16; half the common noise is those rows'."""
    found = noise(np.array([[[1.0, 2.0, 3.0], [2.0, 3.5, 3.5], [6.0, 6.5, 8.5]]]))
    assert (found.common[0], found.freedom[0]) == (pytest.approx(0.25), 4)
    assert found.own[0] == pytest.approx([-0.125, 0.4375, 0.4375])


def test_other_rows_make_the_noise_known_better_than_two_rows_alone() -> None:
    """Six rows of three seeds leave up to ten degrees of freedom; two rows leave two."""
    beside, alone = between(QUIET, "mine", "kd"), between({name: QUIET[name] for name in ("mine", "kd")}, "mine", "kd")
    assert beside.difference == pytest.approx(alone.difference)
    assert beside.freedom > alone.freedom == pytest.approx(2)
    assert beside.p_common < alone.p_common


@pytest.mark.parametrize("rows", [("kd", "mine"), (*tuple(QUIET)[1:4], "kd", "mine"), tuple(QUIET)])
def test_a_row_gone_wild_takes_no_power_from_the_others(rows: tuple[str, ...]) -> None:
    quiet = {name: QUIET[name] for name in rows}
    wild = quiet | {"wild": [20.0, 75.0, 40.0]}
    with_it, without = between(wild, "mine", "kd"), between(quiet, "mine", "kd")
    assert (with_it.error, with_it.freedom, with_it.p) == pytest.approx((without.error, without.freedom, without.p))


def test_a_row_gone_wild_is_tested_by_its_own_spread() -> None:
    """Its mean is far above kd's, by one seed of three."""
    found = between(QUIET | {"wild": [70.0, 72.0, 99.0]}, "wild", "kd")
    assert found.freedom < 2.1
    assert found.p > 0.3


def test_no_row_is_taken_for_quieter_than_its_own_seeds_show() -> None:
    found = between(QUIET | {"loose": [70.0, 73.0, 70.5]}, "loose", "kd")
    assert found.error >= between(QUIET, "a", "kd").error


def test_no_claim_is_made_that_the_two_rows_own_seeds_do_not_bear_out() -> None:
    uneven = QUIET | {"mine": [70.2, 72.7, 71.9]}
    found = between(uneven, "mine", "kd")
    assert found.p >= stats.ttest_rel(uneven["mine"], uneven["kd"]).pvalue > LEVEL
    low, high = found.interval
    assert low < 0 < high


def test_rows_that_are_not_equally_noisy_have_no_noise_in_common() -> None:
    """Half of them are: two quiet rows are then compared by the paired t test alone."""
    draw = np.random.default_rng(3)
    scale = np.array([0.1] * 5 + [3.0] * 5)[:, None]
    table = draw.normal(70, 1, (10, 10)) * scale
    values = {f"row{k}": list(row) for k, row in enumerate(table)}
    found = between(values, "row1", "row0")
    assert found.p_common == pytest.approx(stats.ttest_rel(table[1], table[0]).pvalue)


def test_the_noise_is_that_of_the_rows_which_have_the_seeds() -> None:
    """A row of other seeds says nothing, and a row that lacks one is compared over those that it has."""
    column = {name: dict(enumerate(some)) for name, some in QUIET.items()}
    elsewhere = Column(column | {"other": {7: 1.0, 8: 90.0, 9: 3.0}, "less": {0: 71.0, 1: 73.0}})
    found = elsewhere.against("kd", ["mine", "other", "less"])
    assert (found["other"], found["less"]) == (None, None)
    assert found["mine"] == Column(column).against("kd", ["mine"])["mine"]


@pytest.mark.parametrize(
    "differences", [[1.0], [1.0, 2.0], [0.3, 0.3, 0.3], [0.0] * 5, [90.1 - 90.0, 80.1 - 80.0, 70.1 - 70.0]]
)
def test_too_few_or_equal_differences_are_no_test(differences: list[float]) -> None:
    kd = [70.0 + place**2 for place in range(len(differences))]
    ours = [base + difference for base, difference in zip(kd, differences, strict=True)]
    assert contrast({"kd": kd, "mine": ours, "third": [*reversed(kd)]}, "mine", "kd") is None


def test_an_interval_misses_zero_where_the_test_rejects() -> None:
    for row in QUIET.keys() - {"kd"}:
        found = between(QUIET, row, "kd")
        low, high = found.interval
        assert (low > 0 or high < 0) == (found.p < LEVEL)


def test_a_family_is_corrected_by_holm_and_never_below_its_own_seeds() -> None:
    def one(p: float, own: float) -> Contrast:
        return Contrast(3, 1.0, 0.1, 8.0, p, 0.1, own)

    family = [one(0.01, 0.001), None, one(0.02, 0.03), one(0.001, 0.04)]
    assert corrected(family) == pytest.approx([0.02, None, 0.03, 0.04])
    assert corrected(family, choice=2) == pytest.approx([0.04, None, 0.04, 0.04])
    assert corrected([one(0.9, 0.9), one(0.8, 0.8)]) == [1.0, 1.0]


@given(st.permutations(sorted(QUIET)))
def test_the_order_of_rows_is_no_matter(order: list[str]) -> None:
    found = between({name: QUIET[name] for name in order}, "mine", "kd")
    assert found.p == pytest.approx(between(QUIET, "mine", "kd").p)


def test_the_same_table_in_other_units_has_the_same_p() -> None:
    scaled = {name: [100 - value * 3 for value in some] for name, some in QUIET.items()}
    assert between(scaled, "mine", "kd").p == pytest.approx(between(QUIET, "mine", "kd").p)
    assert not math.isnan(between(scaled, "mine", "kd").p)
