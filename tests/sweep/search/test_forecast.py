"""What is foretold of curves: near ones alike, the own curve first, and a schedule's jump once it was seen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from sweep.search.curves import course
from sweep.search.forecast import MOST_OBSERVED, Course, Forecast, Observed, expected_improvement
from trainers.config import Recipe

COSINE = course(Recipe(epochs=10, schedule="cosine", warmup_epochs=0))
STEP = course(Recipe(epochs=10, schedule="step", milestones=(6, 8), warmup_epochs=0))


def trial(at: float, values: list[float], along: Course = COSINE) -> Observed:
    return Observed(np.array([at]), along, tuple(range(len(values))), tuple(values))


def rising(top: float, epochs: int) -> list[float]:
    return [top - 30 / epoch for epoch in range(1, epochs + 1)]


def test_a_trial_that_ended_is_known_and_a_new_one_is_not() -> None:
    forecast = Forecast([trial(0.0, rising(60, 10)), trial(1.0, rising(50, 10))])
    (first, second), sure = forecast.ends([0, 1])
    assert (first, second) == (pytest.approx(57, abs=1), pytest.approx(47, abs=1))
    (between, beside), unsure = forecast.new([np.array([0.5]), np.array([0.01])], COSINE)
    assert 48 < between < 56 and beside == pytest.approx(first, abs=1)
    assert unsure[0] > unsure[1] > max(sure)


def test_a_curve_that_has_begun_ends_above_its_last_value_where_others_did() -> None:
    ended = [trial(at, rising(60 - 10 * at, 10)) for at in (0.0, 0.4, 1.0)]
    ((end,), (sure,)) = Forecast([*ended, trial(0.2, rising(58, 3))]).ends([3])
    assert end == pytest.approx(rising(58, 10)[-1], abs=2.5)
    ((_,), (later,)) = Forecast([*ended, trial(0.2, rising(58, 8))]).ends([3])
    assert later < sure


def test_a_step_schedules_jump_is_expected_once_it_was_seen() -> None:
    jumping = [30.0, 34, 36, 37, 38, 38, 50, 51, 53, 53]
    lower = [value - 4 for value in jumping]
    ends = Forecast([trial(0.0, jumping, STEP), trial(1.0, lower, STEP), trial(0.5, jumping[:6], STEP)]).ends([2])
    assert ends[0][0] == pytest.approx(53, abs=3)


def test_the_learning_rates_fall_counts_from_the_end_of_the_warm_up() -> None:
    found = course(Recipe(epochs=8, schedule="step", milestones=(4, 6), lr_decay=0.1, warmup_epochs=2))
    assert found.annealed == pytest.approx([0, 0, 0, 0, 0.9, 0.9, 0.99, 0.99])
    assert found.share == pytest.approx(np.arange(1, 9) / 8)


def test_more_epochs_than_it_looks_at_are_thinned_and_the_latest_stay() -> None:
    long = course(Recipe(epochs=240, schedule="cosine"))
    many = [Observed(np.array([at]), long, tuple(range(240)), tuple(np.linspace(0, 50 + at, 240))) for at in range(12)]
    forecast = Forecast(many)
    assert len(forecast._weights) <= MOST_OBSERVED
    assert forecast.ends([0, 11])[0] == pytest.approx([50, 61], abs=1)


def test_equal_values_everywhere_are_no_division_by_nothing() -> None:
    mean, deviation = Forecast([trial(0.0, [10.0, 10.0]), trial(1.0, [10.0])]).ends([0, 1])
    assert np.isfinite(mean).all() and (deviation > 0).all()


@pytest.mark.parametrize(("mean", "deviation", "best"), [(50, 2, 49), (40, 3, 50), (50, 1, 50)])
def test_the_expected_improvement_is_the_integral_that_it_is(mean: float, deviation: float, best: float) -> None:
    def gain(value: float) -> float:
        return max(value - best, 0.0) * float(stats.norm.pdf(value, mean, deviation))

    found = expected_improvement(np.array([float(mean)]), np.array([float(deviation)]), best)[0]
    assert found == pytest.approx(integrate.quad(gain, best, best + 20 * deviation)[0], rel=1e-6, abs=1e-9)
    assert math.isfinite(found)
