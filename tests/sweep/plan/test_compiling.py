"""What a plan makes of `compile: auto`, before and after it is decided."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from search_spaces.schema import Spec
from sweep.cost.compiling import decide
from sweep.plan.compiling import trained_as, undecided
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from tests.support.examples import SPEC, small_spec
from trainers.errors import InputError

PAIRS = ["resnet14 -> resnet8", "resnet20 -> resnet8", "resnet20 -> resnet14"]


def spec_with(compiled: Any, **changes: Any) -> Spec:
    return small_spec(pairs=PAIRS, recipe=SPEC["recipe"] | {"compile": compiled}, **changes)


def with_decisions(spec: Spec, **by_network: bool) -> Spec:
    """The spec with a decision for each network."""
    found = {
        kind: asdict(replace(decide(network, 3, 1.0, 1.0, 1.0), compile=by_network[network]))
        for kind, network in undecided(spec).items()
    }
    return replace(spec, compiled=found)


def ids(plan: Plan) -> set[str]:
    return {slot.id for slot in plan.slots}


def test_it_is_decided_for_each_network_that_asks_once() -> None:
    assert sorted(undecided(spec_with("auto")).values()) == ["resnet14", "resnet20", "resnet8"]
    assert not undecided(spec_with(True)) and not undecided(spec_with(False))


def test_a_network_is_asked_about_once_more_where_its_recipe_trains_it_otherwise() -> None:
    teachers = {"recipe": {"epochs": 5}}
    asked = list(undecided(spec_with("auto", teachers=teachers)).values())
    assert sorted(asked) == ["resnet14", "resnet14", "resnet20", "resnet8"]  # of resnet14 a teacher and a student


def test_teachers_may_ask_alone() -> None:
    assert sorted(undecided(spec_with(False, teachers={"recipe": {"compile": "auto"}})).values()) == [
        "resnet14",
        "resnet20",
    ]


def test_what_several_workers_train_is_not_compiled() -> None:
    spec = spec_with("auto", compute={"workers": 2})
    assert not undecided(spec)
    assert ids(build_plan(spec)) == ids(build_plan(spec_with(False, compute={"workers": 2})))


def test_before_it_is_decided_nothing_is_compiled() -> None:
    assert ids(build_plan(spec_with("auto"))) == ids(build_plan(spec_with(False)))


@pytest.mark.parametrize("said", [True, False])
def test_trials_are_those_of_a_spec_that_says_it(said: bool) -> None:
    decided = with_decisions(spec_with("auto"), resnet8=said, resnet14=said, resnet20=said)
    assert ids(build_plan(decided)) == ids(build_plan(spec_with(said)))


def test_each_network_goes_by_its_own() -> None:
    decided = with_decisions(spec_with("auto"), resnet8=True, resnet14=False, resnet20=False)
    slots = build_plan(decided).slots
    assert {(slot.config["model"], slot.config["recipe"]["compile"]) for slot in slots} == {
        ("resnet8", True),
        ("resnet14", False),
        ("resnet20", False),
    }


def test_searches_go_by_it_too() -> None:
    searched: dict[str, Any] = {"methods": ["kd", {"dkd": {"beta": {"range": [1, 8]}}}], "baseline": "kd"}
    decided = with_decisions(spec_with("auto", **searched), resnet8=True, resnet14=True, resnet20=True)
    cells = build_plan(decided).cells
    assert cells and {cell.id for cell in cells} == {cell.id for cell in build_plan(spec_with(True, **searched)).cells}


def test_what_was_decided_is_noted_and_makes_no_other_plan() -> None:
    spec = with_decisions(spec_with("auto"), resnet8=True, resnet14=True, resnet20=True)
    plan = build_plan(spec)
    assert Plan.from_json(plan.to_json()).compiled == spec.compiled
    assert plan.is_noted_as(json.loads(json.dumps(build_plan(spec_with(True)).to_json())))
    assert "compiled" not in build_plan(spec_with(True)).to_json()


def test_the_length_of_the_training_decides_and_the_learning_rate_does_not() -> None:
    recipe = spec_with("auto").recipes[0].value.model_dump(mode="json")
    same, others = [{"lr": 0.3}, {"compile": True}], [{"epochs": 9}, {"batch_size": 128}, {"precision": "bf16"}]
    known = trained_as("resnet8", recipe)
    assert all(trained_as("resnet8", recipe | change) == known for change in same)
    assert all(trained_as("resnet8", recipe | change) != known for change in others)
    assert trained_as("resnet14", recipe) != known


def test_it_is_no_value_to_search() -> None:
    with pytest.raises(InputError, match=r"compile: auto is decided by a sweep .* it is no value to search"):
        build_plan(spec_with({"choice": [False, "auto"]}))
