"""No point is tried twice, whichever sampler proposes it, until all of a space were tried."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from search_spaces.space import all_points, count
from sweep.search.suggest import Asked, suggest
from sweep.search.untried import DRAWN, first_untried, left, untried

SPACE: dict[str, dict[str, Any]] = {
    "k": {"choice": [1, 2, 4]},
    "head": {"choice": ["linear", None, [1, 2]]},
    "flag": {"choice": [True, False]},
}
WIDE: dict[str, dict[str, Any]] = {
    "alpha": {"range": [0.1, 10.0], "log": True},
    "k": {"range": [1, 4], "integer": True},
}
STEPPED: dict[str, dict[str, Any]] = {
    "alpha": {"range": [0.1, 0.9], "step": 0.1},
    "k": {"range": [1, 3], "step": 2, "integer": True},
}
SAMPLERS = ("tpe", "gp", "random", "qmc", "grid", "brute_force")
DRAWING = ("tpe", "gp", "random", "qmc")


def search(sampler: str, space: dict[str, dict[str, Any]], trials: int, **how: Any) -> list[dict[str, Any]]:
    """What is asked of a space where a large `k` is good, until there is nothing left."""
    history: list[Asked] = []
    for number in range(trials):
        by = "random" if sampler == "gp" and number < 13 else sampler  # as it begins itself; each takes it long
        params = suggest(space, history, sampler=by, metrics=["val_acc"], seed=3, **how)
        if params is None:
            break
        state = ("finished", "finished", "pruned", "failed")[number % 4]
        value = 10.0 * params["k"] + number / 100
        values = (value,) if state == "finished" else None
        history.append(Asked(params, state, values, {1: value}))  # type: ignore[arg-type]
    return [asked.params for asked in history]


def repeats(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [point for place, point in enumerate(points) if point in points[:place]]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_point_is_tried_once_and_then_there_is_none(sampler: str) -> None:
    found = search(sampler, SPACE, 25)
    assert repeats(found) == []
    assert len(found) == count(SPACE) == 18
    assert sampler == "gp" or search(sampler, SPACE, 25) == found  # whose suggestions take it long


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_steps_come_to_the_numbers_that_a_person_writes(sampler: str) -> None:
    found = search(sampler, STEPPED, 30)
    assert sorted(found, key=str) == sorted(all_points(STEPPED), key=str)
    assert {point["alpha"] for point in found} == {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9}


@pytest.mark.parametrize("sampler", DRAWING)
def test_by_the_first_rules_a_sampler_may_come_back(sampler: str) -> None:
    assert repeats(search(sampler, SPACE, 20, rules=1))


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
def test_a_sampler_that_proposes_something_new_has_its_way(sampler: str) -> None:
    assert search(sampler, WIDE, 16) == search(sampler, WIDE, 16, rules=1)


def test_running_ones_count_as_tried() -> None:
    history = [Asked(point) for point in list(all_points(SPACE))[:-1]]
    last = suggest(SPACE, history, sampler="tpe", metrics=["val_acc"], seed=0)
    assert last == {"k": 4, "head": [1, 2], "flag": False}


# -- where nothing new is proposed ------------------------------------------------------------------------------------


def test_a_point_from_anywhere_is_taken_then_and_of_a_space_of_which_little_is_left_that() -> None:
    points = list(all_points(SPACE))
    drawn = {str(first_untried([], SPACE, [], seed)) for seed in range(30)}
    assert len(drawn) > 5
    assert first_untried([points[3]], SPACE, points[:3], 0) == points[3]
    assert first_untried(points[:3], SPACE, points[:-1], 0) == points[-1]
    assert first_untried(points[:3], SPACE, points, 0) is None
    many = {"k": {"range": [1, 1000], "step": 1, "integer": True}}
    rest = {"k": 1000}
    assert first_untried([], many, [point for point in all_points(many) if point != rest], 0) == rest
    assert DRAWN < 1000


def test_a_space_without_end_is_not_listed() -> None:
    assert list(left(WIDE, [])) == []
    assert len(list(left(SPACE, [{"k": 1, "head": None, "flag": True}]))) == 17


def test_proposals_are_drawn_one_by_one() -> None:
    def proposals() -> Iterator[dict[str, Any]]:
        yield {"k": 1}
        yield {"k": 2}
        raise AssertionError("one more than was needed")

    assert next(untried(proposals(), [{"k": 1}])) == {"k": 2}
