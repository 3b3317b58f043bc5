"""Where points lie, and which are looked at."""

from __future__ import annotations

import numpy as np
import pytest

from search_spaces.space import Space
from sweep.search.geometry import MOST_LISTED, NEIGHBOURS, candidates, coordinates

SPACE: Space = {
    "alpha": {"range": [0.1, 10], "log": True},
    "k": {"range": [2, 6], "integer": True},
    "lr": {"choice": [0.1, 0.001, 0.01]},
    "head": {"choice": ["linear", "nonlinear", "none"]},
}
MIDDLE = {"alpha": 1.0, "k": 4, "lr": 0.01, "head": "none"}


def test_numbers_lie_on_a_line_and_listed_ones_in_their_order() -> None:
    assert coordinates(SPACE, MIDDLE)[:3] == pytest.approx([0.5, 0.5, 0.5])
    assert coordinates(SPACE, MIDDLE | {"alpha": 10, "k": 2, "lr": 0.1})[:3] == pytest.approx([1.0, 0.0, 1.0])


def test_any_two_values_without_order_are_one_length_apart() -> None:
    places = [coordinates(SPACE, MIDDLE | {"head": head}) for head in ("linear", "nonlinear", "none")]
    assert [np.linalg.norm(places[one] - places[other]) for one, other in ((0, 1), (0, 2), (1, 2))] == pytest.approx(
        [1.0, 1.0, 1.0]
    )


def test_yes_and_no_have_no_order() -> None:
    assert len(coordinates({"double": {"choice": [False, True]}}, {"double": True})) == 2


def test_a_small_space_is_listed_whole() -> None:
    small: Space = {name: SPACE[name] for name in ("k", "lr", "head")}
    found = list(candidates(small, [], seed=0))
    assert len(found) == 5 * 3 * 3
    assert len({str(point) for point in found}) == len(found)


def test_of_a_large_one_a_sample_and_neighbours_of_the_best_are_within_it() -> None:
    found = list(candidates(SPACE, [MIDDLE], seed=3))
    assert len(found) == MOST_LISTED + NEIGHBOURS
    assert found == list(candidates(SPACE, [MIDDLE], seed=3)) != list(candidates(SPACE, [MIDDLE], seed=4))
    for point in found:
        assert 0.1 <= point["alpha"] <= 10
        assert point["k"] in range(2, 7) and isinstance(point["k"], int)
        assert point["lr"] in SPACE["lr"]["choice"] and point["head"] in SPACE["head"]["choice"]
    far = [np.linalg.norm(coordinates(SPACE, point) - coordinates(SPACE, MIDDLE)) for point in found]
    assert np.median(far[MOST_LISTED:]) < np.median(far[:MOST_LISTED]) / 2


def test_the_ends_of_a_range_have_neighbours_too() -> None:
    space: Space = {"alpha": {"range": [0.1, 10], "log": True}}
    for end in (0.1, 10.0):
        assert all(0.1 <= point["alpha"] <= 10 for point in candidates(space, [{"alpha": end}], seed=0))
