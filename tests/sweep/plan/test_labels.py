"""How hyperparameters are written, and that no two trials are called the same."""

from __future__ import annotations

from sweep.plan.expand import build_plan
from sweep.plan.labels import label, printed_name, shown
from sweep.plan.slots import Plan
from tests.support.examples import SPEC, slot_of, small_spec


def labels(plan: Plan) -> list[str]:
    return list(dict.fromkeys(slot.label for slot in plan.students))


def test_a_label_names_the_hyperparameters_that_differ(small_plan: Plan) -> None:
    assert labels(small_plan) == ["scratch", "kd", "dhkd α=0.5", "dhkd α=1"]
    assert slot_of(small_plan, "dhkd α=0.5").varied == {"alpha": 0.5}
    assert slot_of(small_plan, "kd").varied == {}


def test_a_label_names_all_hyperparameters_that_differ() -> None:
    plan = build_plan(
        small_spec(methods=[{"dhkd": {"alpha": [0.5, 2], "head": ["linear", "shared"], "ce_weight": 0.5}}])
    )
    assert labels(plan) == [
        "dhkd α=0.5 head=linear",
        "dhkd α=0.5 head=shared",
        "dhkd α=2 head=linear",
        "dhkd α=2 head=shared",
    ]


def test_entries_of_one_method_are_told_apart() -> None:
    plan = build_plan(small_spec(methods=["dhkd", {"dhkd": {"align": True}}, {"kd": {"temperature": 2}}]))
    assert labels(plan) == ["dhkd align=false", "dhkd align=true", "kd"]


def test_values_are_shown_as_a_spec_has_them() -> None:
    assert label("m", {"alpha": 1.0, "gamma": 0.25, "temperature": 1e-05, "k": 3}) == "m α=1 γ=0.25 T=1e-05 k=3"
    assert [shown(value) for value in (True, False, 2.0, 0.1, 7, "linear")] == [
        "true",
        "false",
        "2",
        "0.1",
        "7",
        "linear",
    ]


def test_null_is_shown_as_a_spec_has_it() -> None:
    plan = build_plan(small_spec(methods=[{"dhkd": {"alpha_epochs": [None, 50]}}]))
    assert labels(plan) == ["dhkd alpha_epochs=null", "dhkd alpha_epochs=50"]


def test_a_grid_over_the_recipe_gives_labels_and_shares_the_teacher() -> None:
    plan = build_plan(small_spec(recipe=SPEC["recipe"] | {"lr": [0.05, 0.1], "flip": [True, False]}, methods=["kd"]))
    assert list(dict.fromkeys(slot.recipe for slot in plan.students)) == [
        "digits lr=0.05 flip=true",
        "digits lr=0.05 flip=false",
        "digits lr=0.1 flip=true",
        "digits lr=0.1 flip=false",
    ]
    assert len(plan.students) == 4 * 2
    assert len(plan.teachers) == 1
    assert plan.teachers[0].recipe == "digits"
    assert {slot.label for slot in plan.students} == {"kd"}


def test_no_two_trials_of_a_plan_have_the_same_name() -> None:
    spec = small_spec(
        recipe=SPEC["recipe"] | {"lr": [0.05, 0.1]},
        pairs=["resnet20 -> resnet8", "resnet14 -> resnet8"],
        methods=["kd", {"kd": {"temperature": 2}}, {"dhkd": {"alpha": [0.5, 1]}}, "dkd"],
    )
    plan = build_plan(spec)
    assert len(plan.students) == 2 * 2 * 5 * 2
    assert len({slot.name for slot in plan.slots}) == len(plan.slots)
    assert plan.students[0].name == "resnet20→resnet8 · kd T=4 · lr=0.05 · seed 0"


def test_rows_of_a_front_are_printed_under_the_name_of_their_search() -> None:
    front = "gdkd tuned k=4 kl=both"
    assert printed_name(front, {"gdkd tuned": "Ours", "gdkd": "GDKD"}, "gdkd") == "Ours k=4 kl=both"
    assert printed_name(front, {"gdkd": "GDKD"}, "gdkd") == "GDKD tuned k=4 kl=both"
    assert printed_name(front, {front: "This one", "gdkd tuned": "Ours"}, "gdkd") == "This one"
    assert printed_name("kd", {"gdkd tuned": "Ours"}, "kd") == "kd"


def test_options_are_written_as_a_person_reads_them() -> None:
    adamw = {"adamw": {"betas": [0.9, 0.98], "eps": 1e-8}}
    assert label("deit", {"optimizer": adamw}) == "deit optimizer=adamw(betas=[0.9, 0.98], eps=1e-08)"
    assert label("deit", {"ema": {"decay": 0.99, "predicts": True}}) == "deit ema=(decay=0.99, predicts=true)"
