"""Which of the searched values decides."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from sweep.plan.expand import build_plan
from sweep.plan.slots import SearchedCell
from sweep.search.cell_search import CellSearch
from sweep.search.importance import ENOUGH, importances, judged
from sweep.search.looking_back import expected_ends
from tests.support.examples import small_spec
from tests.sweep.search.test_looking_back import accuracy, plan_of, searched

SPACE = {"w2": {"range": [0.5, 16], "log": True}, "k": {"choice": [2, 3, 5]}}


def cell_of(space: dict[str, Any] = SPACE, **search: Any) -> SearchedCell:
    asked = {"trials": 40, "sampler": "random", "pruner": "none"} | search
    return build_plan(small_spec(methods=["kd", {"gdkd": space}], search=asked)).cells[0]


def told(cell: SearchedCell, trials: int, value: Any) -> CellSearch:
    """A search whose trials came out as `value` says."""
    search = CellSearch(cell)
    for number in range(trials):
        params = search.suggest()
        search.ask(params, str(number))
        search.tell(str(number), "finished", {"last": {"val_acc": value(params)}, "seconds": 1.0})
    return search


def test_the_value_that_decides_comes_first(subtests: pytest.Subtests) -> None:
    for trials in (ENOUGH, 20, 40):
        with subtests.test(trials=trials):
            search = told(cell_of(), trials, lambda params: 80.0 - params["w2"])
            found = importances(search)
            assert list(found) == ["w2", "k"]
            assert sum(found.values()) == pytest.approx(1.0)
            assert found["w2"] > 0.8
            assert importances(search) == found, "the same history says the same"


def test_a_choice_that_decides_comes_first() -> None:
    chance = random.Random(0)
    search = told(cell_of(), 30, lambda params: {2: 80.0, 3: 50.0, 5: 50.0}[params["k"]] + chance.random())
    assert importances(search)["k"] > 0.7


def test_nothing_is_said_of_few_trials_of_equal_ones_and_of_one_value_alone() -> None:
    chance = random.Random(0)
    assert importances(told(cell_of(), ENOUGH - 1, lambda params: chance.random())) == {}
    assert importances(told(cell_of(), 20, lambda params: 50.0)) == {}
    assert importances(told(cell_of({"w2": SPACE["w2"]}), 20, lambda params: params["w2"])) == {}


def test_of_several_metrics_the_first_counts() -> None:
    search = CellSearch(cell_of(metrics=["val_acc", "device_seconds"]))
    for number in range(20):
        params = search.suggest()
        search.ask(params, str(number))
        body = {"last": {"val_acc": 80.0 - params["w2"]}, "seconds": float(params["k"])}
        search.tell(str(number), "finished", body)
    assert importances(search)["w2"] > 0.8


@pytest.mark.slow(1)
def test_what_a_search_that_looks_ahead_gave_up_counts_with_its_foretold_end(tmp_path: Path) -> None:
    search = searched(tmp_path, plan_of(sampler="curves", trials=16), accuracy)
    ends = expected_ends(search)
    finished = [asked for asked in search.asked if asked.state == "finished"]
    assert ends and ENOUGH < len(judged(search)) == len(finished) + len(ends)
    values = {number: one.values for number, one in zip(sorted(range(len(search.asked))), judged(search), strict=True)}
    assert all(values[number] == (mean,) for number, (mean, _) in ends.items())
    assert set(importances(search)) == {"w2", "k"}
