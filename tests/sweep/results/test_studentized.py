"""The limits of Tukey's range test are SciPy's, and those of the tables."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest

from sweep.results.studentized import quantile


@pytest.mark.parametrize(("k", "freedom"), [(2, 1), (2, 2), (3, 4), (5, 1), (7, 12), (20, 38), (3, 200), (40, 2000)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_quantiles_are_scipy_s(level: float, k: int, freedom: int) -> None:
    from scipy.stats import studentized_range

    assert studentized_range.cdf(quantile(level, k, freedom), k, freedom) == pytest.approx(level, abs=1e-9)


def test_two_means_span_what_student_s_t_allows() -> None:
    from scipy.special import stdtrit

    for freedom in (1, 2, 5, 30, 1000):
        assert quantile(0.95, 2, freedom) == pytest.approx(math.sqrt(2) * stdtrit(freedom, 0.975), rel=1e-9)


def test_it_is_the_table_s() -> None:
    assert round(quantile(0.95, 3, 4), 2) == 5.04
    assert round(quantile(0.95, 10, 20), 2) == 5.01


def test_it_does_without_the_slow_import() -> None:
    code = "import sys; from sweep.results.studentized import quantile; quantile(0.95, 3, 4)"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'scipy.stats' not in sys.modules"], check=True)
