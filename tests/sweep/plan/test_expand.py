"""From a spec to trials: how many, in which order, under which names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sweep.plan import expand
from sweep.plan.expand import build_plan
from sweep.plan.labels import label, shown
from sweep.plan.slots import Plan, SearchedCell
from tests.support.examples import SPEC, slot_of, small_spec
from trainers.config import DatasetConfig, TeacherConfig
from trainers.data import DATASETS
from trainers.errors import CheckpointError, InputError
from trainers.fit import seeded_model
from trainers.recipes import RECIPES
from trainers.teacher.passport import Passport
from trainers.teacher.pretrained import read
from trainers.teacher.store import TeacherStore


def labels(plan: Plan) -> list[str]:
    return list(dict.fromkeys(slot.label for slot in plan.students))


def keys(plan: Plan) -> set[str]:
    return {slot.id for slot in plan.slots}


def test_every_combination_is_planned_once(small_plan: Plan) -> None:
    assert len(small_plan.teachers) == 1
    assert len(small_plan.students) == 4 * 2
    assert len(keys(small_plan)) == len(small_plan.slots) == 9
    assert small_plan.epochs == 9 * 3
    assert small_plan.notes == ()


def test_the_plan_carries_what_the_spec_says_of_the_sweep() -> None:
    spec = small_spec(description="why", protocol="paper", baseline="scratch", compute={"cpus": 2, "retries": 0})
    plan = build_plan(spec)
    assert (plan.name, plan.description, plan.dataset) == ("small", "why", "digits")
    assert (plan.protocol, plan.baseline) == ("paper", "scratch")
    assert plan.compute == {"cpus": 2, "gpus": 0.0, "retries": 0, "bank_gb": None, "workers": 1}


def test_teachers_come_first_and_then_one_seed_after_the_other() -> None:
    plan = build_plan(small_spec(pairs=["resnet20 -> resnet8", "resnet14 -> resnet8"], methods=["kd", "dhkd"]))
    assert [slot.name for slot in plan.slots] == [
        "teacher resnet20 · seed 0",
        "teacher resnet14 · seed 0",
        "resnet20→resnet8 · kd · seed 0",
        "resnet20→resnet8 · dhkd · seed 0",
        "resnet14→resnet8 · kd · seed 0",
        "resnet14→resnet8 · dhkd · seed 0",
        "resnet20→resnet8 · kd · seed 1",
        "resnet20→resnet8 · dhkd · seed 1",
        "resnet14→resnet8 · kd · seed 1",
        "resnet14→resnet8 · dhkd · seed 1",
    ]


def test_a_teacher_shared_by_pairs_is_trained_once() -> None:
    plan = build_plan(small_spec(pairs=["resnet20 -> resnet8", "resnet20 -> resnet14"], methods=["kd"]))
    assert [slot.pair for slot in plan.teachers] == ["resnet20"]
    assert {slot.teacher for slot in plan.students} == {plan.teachers[0].id}


def test_listed_seeds_are_taken_as_listed() -> None:
    plan = build_plan(small_spec(methods=["kd"], seeds=[7, 3]))
    assert [(slot.seed, slot.config["seed"]) for slot in plan.students] == [(7, 7), (3, 3)]


def test_teachers_take_their_own_recipe_and_seed() -> None:
    plan = build_plan(small_spec(teachers={"recipe": {"epochs": 5, "samples_per_class": None}, "seed": 4}))
    teacher = plan.teachers[0].trial()
    assert (teacher.recipe.epochs, teacher.recipe.samples_per_class, teacher.seed) == (5, None, 4)
    assert (teacher.model, teacher.method.name, teacher.teacher) == ("resnet20", "scratch", None)
    assert {slot.epochs for slot in plan.students} == {3}


def test_a_spec_that_only_trains_from_scratch_has_no_teachers() -> None:
    plan = build_plan(small_spec(methods=["scratch"], baseline="scratch"))
    assert plan.teachers == []
    assert [slot.teacher for slot in plan.students] == [None, None]


def test_only_teachers_that_somebody_needs_are_trained(small_plan: Plan) -> None:
    assert slot_of(small_plan, "scratch").teacher is None
    assert slot_of(small_plan, "kd").teacher == small_plan.teachers[0].id


# -- names by content ---------------------------------------------------------------------------------------------


def test_ids_are_the_same_in_every_plan_of_the_same_spec(small_plan: Plan) -> None:
    assert build_plan(small_spec()) == small_plan


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"description": "other words"},
        {"methods": list(reversed(SPEC["methods"]))},
        {"methods": ["scratch", {"kd": {"alpha": 0.9}}, {"dhkd": {"alpha": [1, 0.5]}}]},
        {"seeds": [1, 0]},
        {"baseline": "scratch"},
        {"compute": {"cpus": 2, "retries": 5}},
    ],
    ids=str,
)
def test_ids_do_not_depend_on_how_a_spec_is_written_or_run(small_plan: Plan, changes: dict[str, Any]) -> None:
    assert keys(build_plan(small_spec(**changes))) == keys(small_plan)


def test_more_seeds_methods_or_pairs_only_add_trials(small_plan: Plan) -> None:
    for changes in (
        {"seeds": 3},
        {"methods": [*SPEC["methods"], {"kd": {"temperature": 2.0}}]},
        {"pairs": [*SPEC["pairs"], "resnet14 -> resnet8"]},
    ):
        assert keys(small_plan) < keys(build_plan(small_spec(**changes)))


RECIPE = {
    "epochs": 4,
    "batch_size": 16,
    "lr": 0.01,
    "momentum": 0.8,
    "nesterov": True,
    "weight_decay": 1e-3,
    "schedule": "step",
    "milestones": [1, 2],
    "lr_decay": 0.5,
    "warmup_epochs": 1,
    "views": "none",
    "pad": 2,
    "flip": True,
    "cutout": 8,
    "randaugment_ops": 1,
    "strong_cutout": 0.25,
    "precision": "bf16",
    "teacher_logits": "fp32",
    "compile": True,
    "sync_batch_norm": False,
    "diagnostics": True,
    "diagnostics_every": 2,
    "val_fraction": 0.5,
    "samples_per_class": 9,
    "test_per_class": 50,
    "split_seed": 1,
}


def test_every_field_of_the_recipe_can_be_checked() -> None:
    from trainers.config import Recipe

    assert set(RECIPE) == set(Recipe.model_fields)


@pytest.mark.parametrize("field", RECIPE)
def test_another_recipe_is_another_trial(small_plan: Plan, field: str) -> None:
    plan = build_plan(small_spec(recipe=SPEC["recipe"] | {field: RECIPE[field]}))
    assert len(plan.slots) == len(small_plan.slots)
    assert not keys(plan) & keys(small_plan)


def test_another_teacher_is_another_trial_for_those_who_learn_from_it(small_plan: Plan) -> None:
    plan = build_plan(small_spec(teachers={"seed": 1}))
    same = keys(plan) & keys(small_plan)
    assert same == {slot.id for slot in small_plan.students if slot.method == "scratch"}


def test_another_method_seed_or_student_is_another_trial(small_plan: Plan) -> None:
    kd = {slot.id for slot in small_plan.students if slot.method == "kd"}
    for changes in (
        {"methods": [{"kd": {"alpha": 0.5}}]},
        {"methods": [{"kd": {"temperature": 1}}]},
        {"methods": ["kd"], "seeds": [5, 6]},
        {"methods": ["kd"], "pairs": ["resnet20 -> resnet14"]},
        {"methods": ["kd"], "pairs": ["resnet14 -> resnet8"]},
    ):
        assert not kd & keys(build_plan(small_spec(**changes)))


def test_other_data_or_data_options_are_other_trials(small_plan: Plan) -> None:
    plan = build_plan(small_spec(dataset={"digits": {"image_size": 9}}))
    assert not keys(plan) & keys(small_plan)
    datasets = [slot.config["dataset"] for slot in (*small_plan.slots, *plan.slots)]
    assert len({dataset["content"] for dataset in datasets}) == 2
    assert all(len(dataset["content"]) == 16 for dataset in datasets)


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


# -- labels -------------------------------------------------------------------------------------------------------


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


# -- duplicates ---------------------------------------------------------------------------------------------------


def test_a_trial_that_stands_twice_in_the_spec_runs_once_and_is_noted() -> None:
    plan = build_plan(small_spec(methods=["kd", {"kd": {"alpha": 0.9}}, {"dhkd": {"alpha": [0.5, 1]}}, "dhkd"]))
    assert labels(plan) == ["kd", "dhkd α=0.5", "dhkd α=1"]
    assert len(plan.students) == 3 * 2
    assert plan.notes == ("trials that stand in the spec more than once, and run once: 4",)


def test_what_is_trained_from_scratch_has_its_place_in_every_pair_of_its_student() -> None:
    plan = build_plan(small_spec(pairs=["resnet20 -> resnet8", "resnet14 -> resnet8"], methods=["scratch", "kd"]))
    scratch = [slot for slot in plan.students if slot.method == "scratch"]
    assert {slot.pair for slot in scratch} == {"resnet20→resnet8", "resnet14→resnet8"}
    assert len({slot.trial().key for slot in scratch}) == 2


# -- JSON, and what is refused ------------------------------------------------------------------------------------


def test_a_plan_is_the_same_after_a_journey_through_json() -> None:
    plan = build_plan(small_spec(recipe=SPEC["recipe"] | {"lr": [0.05, 0.1]}, methods=["kd", "kd", "scratch"]))
    assert plan.notes
    copy = Plan.from_json(json.loads(json.dumps(plan.to_json())))
    assert copy == plan
    assert [slot.trial().key for slot in copy.slots] == [slot.trial().key for slot in plan.slots]


def test_too_many_trials_are_refused_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expand, "LARGEST", 7)
    with pytest.raises(InputError, match=r"small.yaml expands to 8 trials; the most that one sweep takes is 7"):
        build_plan(small_spec())
    monkeypatch.setattr(expand, "LARGEST", 8)
    assert len(build_plan(small_spec()).students) == 8


def test_a_slip_of_the_pen_is_refused_at_once() -> None:
    spec = small_spec(methods=[{"dhkd": {"alpha": [n / 100 for n in range(1, 101)]}}], seeds=10_000)
    with pytest.raises(InputError, match="expands to 1,000,000 trials"):
        build_plan(spec)


def test_too_few_images_for_the_recipe_are_told_before_anything_runs() -> None:
    with pytest.raises(InputError, match="samples_per_class asks for 1000"):
        build_plan(small_spec(recipe={"base": "digits", "samples_per_class": 1000}))


def test_too_few_images_for_the_teachers_recipe_are_told_too() -> None:
    with pytest.raises(InputError, match="samples_per_class asks for 900"):
        build_plan(small_spec(teachers={"recipe": {"samples_per_class": 900}}))


# -- teachers that are there already ----------------------------------------------------------------------------------


@pytest.fixture
def stored(tmp_path: Path) -> tuple[TeacherStore, Passport, Path]:
    """A store with one untrained resnet14, and the file that it came from."""
    source = DATASETS["digits"].model_validate(SPEC["dataset"]["digits"])
    data = source.load()
    file = tmp_path / "resnet14_vanilla.pth"
    torch.save({"model": seeded_model("resnet14", 10, seed=5).state_dict()}, file)
    store = TeacherStore(tmp_path / "teachers")
    dataset = DatasetConfig(name="digits", options=source.identity, content=data.content)
    return store, store.adopt(read(file), data, dataset), file


def test_a_stored_teacher_is_not_trained(stored: tuple[TeacherStore, Passport, Path]) -> None:
    store, passport, file = stored
    by_hash = build_plan(small_spec(pairs=[f"resnet14@{passport.hash[:8]} -> resnet8"]), store)
    assert by_hash.teachers == []
    kd = slot_of(by_hash, "kd")
    assert kd.teacher is None
    assert kd.trial().teacher == passport.reference
    assert kd.pair == f"resnet14@{passport.hash[:8]}→resnet8"
    by_file = build_plan(small_spec(pairs=[f"{file} -> resnet8"]), None)
    assert by_file.slots == by_hash.slots


def test_scratch_does_not_depend_on_how_the_teacher_is_named(
    small_plan: Plan, stored: tuple[TeacherStore, Passport, Path]
) -> None:
    store, passport, _ = stored
    named = build_plan(small_spec(pairs=[f"resnet14@{passport.hash[:8]} -> resnet8"]), store)
    assert slot_of(named, "scratch").id == slot_of(small_plan, "scratch").id


def test_a_stored_teacher_of_other_data_is_refused(stored: tuple[TeacherStore, Passport, Path]) -> None:
    store, passport, _ = stored
    pairs = [f"resnet14@{passport.hash[:8]} -> resnet8"]
    with pytest.raises(InputError, match="was measured on other data"):
        build_plan(small_spec(pairs=pairs, dataset={"digits": {"image_size": 16}}), store)
    with pytest.raises(InputError, match="there is no store"):
        build_plan(small_spec(pairs=pairs))
    with pytest.raises(InputError, match="no stored teacher is named by"):
        build_plan(small_spec(pairs=["resnet14@00000000 -> resnet8"]), store)


def test_a_damaged_stored_teacher_is_refused(stored: tuple[TeacherStore, Passport, Path]) -> None:
    store, passport, _ = stored
    (store.folder / passport.hash / "weights.pt").write_bytes(b"torn")
    with pytest.raises(CheckpointError, match="damaged"):
        build_plan(small_spec(pairs=[f"resnet14@{passport.hash[:8]} -> resnet8"]), store)


def test_a_pair_s_own_values_are_no_variation(small_plan: Plan) -> None:
    pairs = [
        {"resnet20 -> resnet8": {"recipe": {"lr": 0.02}, "methods": {"kd": {"alpha": 0.4}}}},
        "resnet20 -> resnet14",
    ]
    plan = build_plan(small_spec(pairs=pairs))
    assert labels(plan) == labels(small_plan)
    assert {slot.recipe for slot in plan.students} == {"digits"}
    found = [slot.config for slot in plan.students if slot.method == "kd" and slot.pair == "resnet20→resnet8"]
    assert {config["recipe"]["lr"] for config in found} == {0.02}
    assert {config["method"]["params"]["alpha"] for config in found} == {0.4}


def test_where_the_data_lie_is_no_part_of_a_key() -> None:
    class Elsewhere(DATASETS["digits"]):  # type: ignore[misc, name-defined]
        whereabouts = frozenset({"place"})
        place: str = "here"

    assert Elsewhere(place="there").identity == DATASETS["digits"]().identity


# -- searched cells ---------------------------------------------------------------------------------------------------

GDKD = {"gdkd": {"w2": {"range": [1, 4]}, "k": {"range": [2, 9]}}}
SEARCHED: dict[str, Any] = {"methods": ["kd", GDKD], "search": {"trials": 4}}


def only_cell(**changes: Any) -> SearchedCell:
    (cell,) = build_plan(small_spec(**(SEARCHED | changes))).cells
    return cell


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


def test_each_point_of_a_grid_pair_and_recipe_is_a_cell_of_its_own() -> None:
    plan = build_plan(
        small_spec(
            recipe=SPEC["recipe"] | {"lr": [0.05, 0.1]},
            pairs=["resnet20 -> resnet8", "resnet14 -> resnet8"],
            methods=[{"gdkd": {"w2": {"range": [1, 4]}, "kl": ["forward", "reverse"]}}],
        )
    )
    assert len({cell.id for cell in plan.cells}) == len(plan.cells) == 8
    assert {cell.label for cell in plan.cells} == {"gdkd kl=forward tuned", "gdkd kl=reverse tuned"}
    assert {cell.recipe for cell in plan.cells} == {"digits lr=0.05", "digits lr=0.1"}
    assert plan.cells[0].varied == {"kl": "forward"}
    assert "kl=forward w2=3" in plan.cells[0].slot({"w2": 3.0}, "search", 0).label


def test_a_search_and_fixed_values_of_one_method_have_rows_of_their_own() -> None:
    plan = build_plan(small_spec(methods=["gdkd", GDKD, {"gdkd": {"w2": 2}}]))
    assert labels(plan) == ["gdkd w2=8", "gdkd w2=2"]
    assert [cell.label for cell in plan.cells] == ["gdkd tuned"]


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


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ({"gdkd": {"k": {"range": [2, 10]}}}, "gdkd k=10: k must be smaller than the number of classes (10), found 10"),
        ({"gdkd": {"k": {"choice": [3, 12, 5]}}}, "gdkd k=12: k must be smaller than the number of classes (10)"),
        ({"gdkd": {"w2": {"range": [1, 2]}, "k": [5, 10]}}, "k must be smaller than the number of classes (10)"),
        ({"dhkd": {"init": {"choice": ["main", "copy"]}, "head": "nonlinear"}}, "init: copy takes the main head's"),
        (
            {"dhkd": {"init": {"choice": ["main", "copy", "zeros"]}, "head": {"choice": ["linear", "nonlinear"]}}},
            "dhkd init=copy head=nonlinear: init: copy takes the main head's weights",
        ),
        (
            {"kd": {"alpha": {"range": [0, 1]}, "ce_weight": {"choice": [1, 0]}}},
            "kd α=0 ce_weight=0: method 'kd': every loss weight is 0 in epoch 1",
        ),
    ],
    ids=str,
)
def test_a_space_with_a_corner_that_cannot_be_built_is_refused(method: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        build_plan(small_spec(methods=[method]))
    assert message in str(caught.value)


def test_a_steps_last_value_counts_and_not_the_ranges_end() -> None:
    (cell,) = build_plan(small_spec(methods=[{"gdkd": {"k": {"range": [2, 10], "step": 3}}}])).cells
    assert cell.space["k"]["range"] == [2, 8]


def test_macs_are_counted_where_a_search_asks_for_them() -> None:
    asked = only_cell(search={"trials": 4, "metrics": ["val_acc", "student_macs"]})
    assert asked.student_macs > 100_000
    assert only_cell().student_macs == 0
    assert asked.id == only_cell().id
