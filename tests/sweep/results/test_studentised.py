"""The quantile of the studentised range, against the published table and scipy's."""

from __future__ import annotations

import pytest
from scipy.stats import studentized_range

from sweep.results.studentised import quantile


@pytest.mark.parametrize(
    ("level", "groups", "freedom", "published"),
    [(0.95, 2, 1, 17.97), (0.95, 3, 10, 3.88), (0.95, 5, 20, 4.23), (0.95, 10, 60, 4.65), (0.99, 4, 12, 5.50)],
)
def test_it_is_the_table_s(level: float, groups: int, freedom: int, published: float) -> None:
    """Pearson and Hartley, *Biometrika Tables for Statisticians*."""
    assert quantile(level, groups, freedom) == pytest.approx(published, abs=0.005)


@pytest.mark.parametrize(("groups", "freedom"), [(2, 1), (2, 2), (3, 1), (3, 4), (6, 5), (4, 30), (40, 5), (10, 900)])
def test_it_is_scipy_s(groups: int, freedom: int) -> None:
    assert quantile(0.95, groups, freedom) == pytest.approx(studentized_range.ppf(0.95, groups, freedom), rel=1e-9)
