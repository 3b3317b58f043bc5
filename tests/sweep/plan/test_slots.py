"""Slots and searched cells: their ids, their trials, and their journey through JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan, SearchedCell
from tests.support.examples import SPEC, slot_of, small_spec
from tests.sweep.plan.test_labels import labels
from trainers.config import TeacherConfig
from trainers.recipes import RECIPES


def test_a_trials_key_holds_the_hash_of_its_teacher(small_plan: Plan) -> None:
    slot = slot_of(small_plan, "kd")
    first, second = (TeacherConfig(architecture="resnet20", hash=digit * 16) for digit in "12")
    assert slot.trial(first).key != slot.trial(second).key
    assert slot.trial(first).key == slot.trial(first).key
    assert slot.trial(first).teacher == first
    assert slot.trial(first).model_copy(update={"teacher": None}).key == slot.trial().key


def test_a_key_that_was_asked_for_too_early_does_not_stick() -> None:
    slot = slot_of(build_plan(small_spec()), "kd")
    early = slot.trial().key
    taught = slot.trial(TeacherConfig(architecture="resnet20", hash="1" * 16))
    assert taught.key != early
    assert taught.key == type(taught).model_validate(taught.model_dump()).key


def test_a_slot_without_a_teacher_is_named_by_its_trials_key(small_plan: Plan) -> None:
    for slot in (*small_plan.teachers, slot_of(small_plan, "scratch")):
        assert slot.trial().key == slot.id


# -- JSON ------------------ ------------------------------------------------------------------------------------


def test_a_plan_is_the_same_after_a_journey_through_json() -> None:
    plan = build_plan(small_spec(recipe=SPEC["recipe"] | {"lr": [0.05, 0.1]}, methods=["kd", "kd", "scratch"]))
    assert plan.notes
    copy = Plan.from_json(json.loads(json.dumps(plan.to_json())))
    assert copy == plan
    assert [slot.trial().key for slot in copy.slots] == [slot.trial().key for slot in plan.slots]


# -- searched cells ---------------------------------------------------------------------------------------------------

GDKD = {"gdkd": {"w2": {"range": [1, 4]}, "k": {"range": [2, 9]}}}
SEARCHED: dict[str, Any] = {"methods": ["kd", GDKD], "search": {"trials": 4}}


def only_cell(**changes: Any) -> SearchedCell:
    (cell,) = build_plan(small_spec(**(SEARCHED | changes))).cells
    return cell


def test_a_plan_that_an_earlier_release_has_noted_is_no_other_plan(small_plan: Plan) -> None:
    """It noted neither networks nor parts; a finished sweep of it has nothing new to do."""
    noted = json.loads(json.dumps(small_plan.to_json()))
    assert noted["networks"].keys() == {"resnet20", "resnet8"}
    assert small_plan.is_noted_as(noted)
    del noted["networks"], noted["parts"]
    assert small_plan.is_noted_as(noted)
    assert Plan.from_json(noted).is_noted_as(noted)
    assert not small_plan.is_noted_as(noted | {"seeds": [7]})


def test_a_searched_method_is_a_cell_and_no_slot() -> None:
    plan = build_plan(small_spec(**SEARCHED))
    (cell,) = plan.cells
    assert labels(plan) == ["kd"]
    assert (cell.name, cell.method, cell.recipe) == ("resnet20→resnet8 · gdkd tuned", "gdkd", "digits")
    assert (cell.teacher, cell.seeds, cell.varied) == (plan.teachers[0].id, (0, 1), {})
    assert list(cell.space) == ["w2", "k"]
    assert cell.config["teacher"] is None
    assert cell.config["seed"] == 0


def test_a_plan_counts_what_searches_cost_at_most() -> None:
    plan = build_plan(small_spec(**(SEARCHED | {"search": {"trials": 4, "confirm": 2}, "seeds": 3})))
    assert plan.cells[0].trials == 4 + 2 * 2  # the first seed of what is confirmed is the search's own
    assert plan.count == 1 + 3 + 8
    assert plan.epochs == 12 * 3
    fixed = build_plan(small_spec(methods=["kd"], seeds=3))
    assert (fixed.count, fixed.cells) == (4, ())


def test_a_plan_without_a_race_is_that_of_earlier_releases() -> None:
    (cell,) = build_plan(small_spec(**SEARCHED)).cells
    assert "race" not in cell.search
    assert (cell.racing, cell.race_trials) == (0, 0)


def test_a_race_has_seeds_of_its_own_and_one_winner() -> None:
    search = {"trials": 6, "confirm": 4, "race": 5}
    (cell,) = build_plan(small_spec(**(SEARCHED | {"search": search, "seeds": 3}))).cells
    assert (cell.racing, cell.race_trials, cell.trials) == (5, 4 * 5, 6 + 4 * 5 + 2)
    (few,) = build_plan(small_spec(**(SEARCHED | {"search": search | {"trials": 1}}))).cells
    assert (few.race_trials, few.trials) == (0, 1 + 1), "one has nobody to race"
    slot = cell.slot({"w2": 2.0, "k": 3}, "race", 1_000_000)
    assert (slot.name, slot.label) == ("resnet20→resnet8 · gdkd w2=2 k=3 · race · seed 1000000", "gdkd w2=2 k=3")
    assert slot.row == slot.label


def test_where_epochs_are_searched_the_most_are_counted() -> None:
    for epochs in ({"range": [3, 7]}, {"choice": [7, 3, 5]}):
        plan = build_plan(small_spec(recipe=SPEC["recipe"] | {"epochs": epochs}, methods=["kd"], search={"trials": 2}))
        assert plan.cells[0].epochs == 7
        assert plan.epochs == plan.teachers[0].epochs + 7 * 3


@pytest.mark.parametrize(
    "changes",
    [
        {"search": {"trials": 9, "sampler": "random", "seed": 3, "pruner": "none", "confirm": 2}},
        {"search": {"trials": 4, "deterministic": True, "metrics": ["val_acc", "student_macs"]}},
        {"budget": {"max_trials": 100, "deadline": "2030-01-01 08:00"}},
        {"seeds": 5},
        {"methods": [GDKD, "kd", "scratch"]},
        {"methods": [{"gdkd": {"k": {"range": [2, 9], "log": False}, "w2": {"range": [1.0, 4.0]}}}]},
        {"pairs": ["resnet14 -> resnet8", "resnet20 -> resnet8"]},
        {"name": "other"},
    ],
    ids=str,
)
def test_a_cells_id_does_not_depend_on_its_budget_or_how_the_spec_is_written(changes: dict[str, Any]) -> None:
    cells = build_plan(small_spec(**(SEARCHED | changes))).cells
    assert only_cell().id in {cell.id for cell in cells}


@pytest.mark.parametrize(
    "changes",
    [
        {"methods": [{"gdkd": {"w2": {"range": [1, 5]}, "k": {"range": [2, 9]}}}]},
        {"methods": [{"gdkd": {"w2": {"range": [1, 4], "log": True}, "k": {"range": [2, 9]}}}]},
        {"methods": [{"gdkd": {"w2": {"range": [1, 4]}, "k": {"range": [2, 9], "step": 2}}}]},
        {"methods": [{"gdkd": {"w2": {"range": [1, 4]}, "k": {"choice": [2, 9]}}}]},
        {"methods": [{"gdkd": {"w2": {"range": [1, 4]}}}]},
        {"methods": [{"gdkd": {"w2": {"range": [1, 4]}, "k": {"range": [2, 9]}, "w1": 3}}]},
        {"recipe": SPEC["recipe"] | {"lr": 0.01}},
        {"recipe": SPEC["recipe"] | {"lr": {"range": [0.05, 0.1]}}},
        {"pairs": ["resnet20 -> resnet14"]},
        {"pairs": ["resnet14 -> resnet8"]},
        {"teachers": {"seed": 1}},
        {"dataset": {"digits": {"image_size": 9}}},
    ],
    ids=str,
)
def test_a_cells_id_depends_on_its_space_and_content(changes: dict[str, Any]) -> None:
    cells = build_plan(small_spec(**(SEARCHED | changes))).cells
    assert only_cell().id not in {cell.id for cell in cells}


@pytest.mark.parametrize("stage", ["search", "confirm"])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_searched_point_is_the_same_trial_as_a_fixed_one(stage: Any, seed: int) -> None:
    recipe = SPEC["recipe"] | {"lr": {"range": [0.01, 0.1]}, "epochs": {"choice": [3, 4]}}
    cell = only_cell(recipe=recipe, methods=[GDKD])
    slot = cell.slot({"w2": 2.0, "k": 3, "recipe.lr": 0.05, "recipe.epochs": 4}, stage, seed)
    fixed = build_plan(
        small_spec(recipe=SPEC["recipe"] | {"lr": 0.05, "epochs": 4}, methods=[{"gdkd": {"w2": 2, "k": 3}}])
    )
    same = slot_of(fixed, "gdkd", seed)
    taught = TeacherConfig(architecture="resnet20", hash="1" * 16)
    assert slot.trial(taught).key == same.trial(taught).key
    assert slot.config == same.config
    assert (slot.epochs, slot.seed, slot.stage) == (4, seed, stage)
    # the slots' ids hold the teacher's own trial, which takes its epochs from the spec
    longer = build_plan(
        small_spec(
            recipe=SPEC["recipe"] | {"lr": 0.05, "epochs": 4},
            teachers={"recipe": {"epochs": RECIPES["digits"].epochs}},
            methods=[{"gdkd": {"w2": 2, "k": 3}}],
        )
    )
    assert slot.id == slot_of(longer, "gdkd", seed).id


def test_a_methods_searched_point_has_the_id_of_the_fixed_grids_slot() -> None:
    cell = only_cell()
    grid = build_plan(small_spec(methods=[{"gdkd": {"w2": [1, 2.5], "k": [3, 5]}}]))
    for slot in grid.students:
        assert cell.slot(slot.varied, "search", slot.seed).id == slot.id
        assert cell.slot(slot.varied, "confirm", slot.seed).id == slot.id


def test_a_slot_says_what_it_tries_and_what_it_confirms() -> None:
    cell = only_cell()
    tried = cell.slot({"w2": 2.0, "k": 3}, "search", 0)
    confirmed = cell.slot({"w2": 2.0, "k": 3}, "confirm", 1)
    assert tried.name == "resnet20→resnet8 · gdkd w2=2 k=3 · search · seed 0"
    assert confirmed.name == "resnet20→resnet8 · gdkd w2=2 k=3 tuned · seed 1"
    assert confirmed.label == "gdkd tuned"
    assert tried.varied == confirmed.varied == {"w2": 2.0, "k": 3}
    assert (tried.teacher, confirmed.teacher) == (cell.teacher, cell.teacher)


def test_a_plan_with_cells_is_the_same_after_a_journey_through_json() -> None:
    methods = [
        "kd",
        GDKD,
        {"dhkd": {"main": {"choice": ["kd", {"gdkd": {"w2": 4}}]}, "alpha_epochs": {"choice": [None, 2]}}},
    ]
    budget = {"max_trials": 90, "deadline": "2030-01-01 08:00:00+02:00"}
    plan = build_plan(small_spec(methods=methods, search={"trials": 4}, budget=budget))
    copy = Plan.from_json(json.loads(json.dumps(plan.to_json())))
    assert copy.cells[1].space == plan.cells[1].space
    assert json.dumps(copy.to_json()) == json.dumps(plan.to_json())
    point = {"w2": 2.0, "k": 3}
    assert copy.cells[0].slot(point, "confirm", 1) == plan.cells[0].slot(point, "confirm", 1)
    assert (copy.count, copy.epochs, copy.seeds, copy.budget) == (plan.count, plan.epochs, plan.seeds, plan.budget)
