"""What one cell's search draws, hears and wins: by its own seed, its first metric, the epoch that the table shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml

from sweep.ledger.bodies import final_body
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan, SearchedCell
from sweep.search.cell_search import CellSearch
from sweep.search.pruning import MEDIAN_NEEDS, MedianStopping
from tests.support.examples import epoch_body, small_spec

SAMPLERS = ("tpe", "random", "qmc", "brute_force")
"""Those that draw; `grid` goes through its points in their order, and `gp` begins as `tpe` does."""
EPOCHS = 3
SPACE = {"w2": {"range": [1, 9], "step": 1}, "k": {"choice": [2, 3, 4, 5, 6, 7, 8]}}


def searched_plan(**changes: Any) -> Plan:
    """A plan that searches one method under two pairs, in the same space."""
    pairs = ["resnet20 -> resnet8", "resnet20 -> resnet14"]
    return build_plan(small_spec(**({"pairs": pairs, "methods": ["kd", {"gdkd": SPACE}], "seeds": 1} | changes)))


@pytest.fixture(scope="module")
def plan() -> Plan:
    return searched_plan()


def searching(cell: SearchedCell, **search: Any) -> CellSearch:
    return CellSearch(replace(cell, search=cell.search | search, student_macs=1000))


def draws(cell: SearchedCell, **search: Any) -> list[dict[str, Any]]:
    """The first three points of a search whose trials end alike."""
    one = searching(cell, **search)
    for _ in range(3):
        params = one.suggest()
        one.ask(params, str(params))
        one.tell(str(params), "finished", finished([50.0]))
    return [asked.params for asked in one.asked]


def finished(val_accs: list[float], test_accs: list[float] | None = None, protocol: str = "validation") -> Any:
    """The final event of a trial with these accuracies by epoch."""
    both = zip(val_accs, test_accs or val_accs, strict=True)
    epochs = [epoch_body(n, test, val) for n, (val, test) in enumerate(both, start=1)]
    return final_body("finished", epochs, protocol)


@pytest.mark.parametrize("sampler", [*SAMPLERS, "grid", "gp", "curves"])
def test_points_that_are_named_come_first_and_once(sampler: str) -> None:
    recipe = {"base": "digits", "lr": {"choice": [0.01, 0.1]}}
    first = [{"w2": 4, "k": 5, "lr": 0.1}, {"w2": 2, "k": 8, "lr": 0.01}, {"w2": 4, "k": 5, "lr": 0.1}]
    cells = searched_plan(recipe=recipe, search={"sampler": sampler, "first": first, "trials": 4}).cells
    assert {len(cell.space) for cell in cells} == {1, 3}  # kd's searches are over the learning rate alone
    for cell in cells:
        drawn = draws(cell) if cell.budget > 2 else []
        own = (
            [{"w2": 4, "k": 5, "recipe.lr": 0.1}, {"w2": 2, "k": 8, "recipe.lr": 0.01}] if len(cell.space) == 3 else []
        )
        assert drawn[: len(own)] == own
        assert not drawn or sampler in ("tpe", "gp") or drawn[-1] not in own  # those two may come back to a point
        assert all(isinstance(point.get("w2", 1.0), float) for point in drawn)


def test_a_plan_without_named_points_names_none(plan: Plan) -> None:
    assert all("first" not in cell.search for cell in plan.cells)


# -- what it begins with ----------------------------------------------------------------------------------------------

PAIRS = ["resnet20 -> resnet8", "resnet20 -> resnet14: {recipe: {lr: 0.1}, methods: {gdkd: {w2: 6, k: 7}}}"]
RATES = {"base": "digits", "lr": {"range": [0.01, 0.2], "log": True}}


def begins(**changes: Any) -> list[Any]:
    """The point that each search of gdkd begins with; None where it has none."""
    cells = searched_plan(**changes).cells
    return [cell.search.get("begins") for cell in cells if cell.method == "gdkd"]


@pytest.mark.parametrize("sampler", [*SAMPLERS, "grid", "gp", "curves"])
def test_a_search_begins_with_the_values_that_are_usual(sampler: str) -> None:
    """The method's defaults and the recipe's value, or what the pair has of its own."""
    rates = RATES | {"lr": {"choice": [0.2, 0.1, 0.05]}}
    pairs = [PAIRS[0], yaml.safe_load(PAIRS[1])]
    cells = searched_plan(recipe=rates, pairs=pairs, search={"sampler": sampler}).cells
    cells = tuple(cell for cell in cells if cell.method == "gdkd")
    usual = [{"w2": w2, "k": k, "recipe.lr": lr} for w2, k, lr in ((8.0, 5, 0.05), (6.0, 7, 0.1))]
    assert [draws(cell)[0] for cell in cells] == usual
    assert [draws(cell).count(point) for cell, point in zip(cells, usual, strict=True)] == [1, 1]


def test_a_search_whose_space_lacks_a_usual_value_begins_anywhere() -> None:
    assert begins(recipe=RATES, pairs=PAIRS[:1]) == [{"w2": 8.0, "k": 5, "recipe.lr": 0.05}]
    for lacks in (
        {"methods": ["kd", {"gdkd": {"w2": {"range": [1, 3]}}}]},
        {"methods": ["kd", {"gdkd": {"w2": {"range": [1, 9], "step": 2}}}]},
        {"methods": ["kd", {"gdkd": {"k": {"choice": [4, 6]}}}]},
        {"recipe": RATES | {"lr": {"choice": [0.04, 0.06]}}},
        {"methods": ["kd", {"dhkd": {"alpha_epochs": {"range": [1, 3]}}}]},
    ):
        plan = searched_plan(**lacks)
        assert all("begins" not in cell.search for cell in plan.cells if cell.method != "kd")


def test_named_points_are_tried_instead_of_the_usual_ones_and_none_where_none_are_named() -> None:
    named = {"w2": 2, "k": 8}
    for first, drawn in (([named], {"w2": 2.0, "k": 8}), ([], None)):
        (cell, _) = searched_plan(search={"first": first}).cells
        assert "begins" not in cell.search
        assert drawn in (None, draws(cell)[0])
    (usual, _) = searched_plan().cells
    assert draws(usual)[0] == usual.search["begins"] == {"w2": 8.0, "k": 5}


def test_a_search_that_has_begun_otherwise_does_not_come_back_to_its_beginning(plan: Plan) -> None:
    search = searching(plan.cells[0], sampler="random", deterministic=False, trials=30)
    search.ask({"w2": 1.0, "k": 2}, "a")
    assert search.suggest() != plan.cells[0].search["begins"]


# -- what is drawn ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_another_seed_of_the_spec_draws_other_points(plan: Plan, sampler: str) -> None:
    (cell, *_) = plan.cells
    assert draws(cell, sampler=sampler, seed=0) == draws(cell, sampler=sampler, seed=0)
    assert draws(cell, sampler=sampler, seed=0) != draws(cell, sampler=sampler, seed=1)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_cell_draws_points_of_its_own(plan: Plan, sampler: str) -> None:
    first, second = plan.cells
    assert first.space == second.space
    assert draws(first, sampler=sampler) != draws(second, sampler=sampler)


def test_the_seed_of_a_search_is_the_specs() -> None:
    assert {cell.search["seed"] for cell in searched_plan(search={"seed": 7}).cells} == {7}


# -- what the pruner hears --------------------------------------------------------------------------------------------


def test_the_median_says_nothing_before_it_has_its_company() -> None:
    for others in range(MEDIAN_NEEDS + 2):
        rule = MedianStopping(grace=1)
        for number in range(others):
            rule.report(f"t{number}", 1, 50.0)
        assert rule.report("low", 1, 10.0) == (others >= MEDIAN_NEEDS), others
    assert MEDIAN_NEEDS == 4


@pytest.mark.parametrize("metrics", [["val_acc", "test_acc"], ["test_acc", "val_acc"]], ids=" ".join)
def test_of_several_metrics_the_pruner_hears_the_first(plan: Plan, metrics: list[str]) -> None:
    search = searching(plan.cells[0], metrics=metrics, grace=1, reduction=2, pruner="asha")
    good, poor = ({metrics[0]: first, metrics[1]: 100 - first} for first in (60.0, 40.0))
    for number, (key, accs) in enumerate([("good", good), ("poor", poor)]):
        search.ask({"w2": float(number + 1), "k": 3}, key)
        search.report(key, epoch_body(1, accs["test_acc"], accs["val_acc"]))
    assert [asked.state for asked in search.asked] == ["running", "pruned"]
    assert [asked.epochs for asked in search.asked] == [{1: 60.0}, {1: 40.0}]


# -- what is won ------------------------------------------------------------------------------------------------------


def won(search: CellSearch, bodies: dict[str, Any]) -> list[str]:
    for number, (key, body) in enumerate(bodies.items()):
        search.ask({"w2": float(number + 1), "k": 3}, key)
        search.tell(key, "finished", body)
    return [search.keys[one.number] for one in search.chosen()]


def test_the_last_epoch_wins_and_not_the_best(plan: Plan) -> None:
    search = searching(plan.cells[0])
    assert search.cell.search["metrics"] == ["val_acc"]
    assert won(search, {"fell": finished([99.0, 20.0, 70.0]), "rose": finished([10.0, 20.0, 80.0])}) == ["rose"]
    assert search.chosen()[0].values == (80.0,)


def test_under_the_papers_protocol_the_best_epoch_on_the_test_set_wins() -> None:
    recipe = {"base": "digits", "epochs": EPOCHS, "samples_per_class": 8, "val_fraction": 0}
    search = searching(searched_plan(protocol="paper", recipe=recipe).cells[0])
    assert search.cell.search["metrics"] == ["test_acc"]
    fell, rose = ([99.0, 20.0, 70.0], [10.0, 20.0, 80.0])
    assert won(search, {"rose": finished(rose, rose, "paper"), "fell": finished(fell, fell, "paper")}) == ["fell"]
    assert search.chosen()[0].values == (99.0,)


def test_what_is_confirmed_is_chosen_by_the_validation_set(plan: Plan) -> None:
    """The test set would choose otherwise, and is not asked."""
    search = searching(plan.cells[0], confirm=2)
    bodies = {
        "tested well": finished([50.0] * 3, [99.0] * 3),
        "held out well": finished([80.0] * 3, [10.0] * 3),
        "between": finished([60.0] * 3, [50.0] * 3),
    }
    assert won(search, bodies) == ["held out well", "between"]
    assert [one.values for one in search.chosen()] == [(80.0,), (60.0,)]
