"""From a spec to trials: how many, in which order, under which names."""

from __future__ import annotations

from typing import Any

import pytest

from sweep.plan import expand
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from tests.support.examples import SPEC, slot_of, small_spec
from tests.sweep.plan.test_labels import labels
from tests.sweep.plan.test_slots import GDKD, only_cell
from trainers.data import DATASETS, TrainingData
from trainers.errors import InputError


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
    given = {"cpus": 2, "gpus": 0.0, "retries": 0, "bank_gb": None, "workers": 1, "max_epoch_minutes": None}
    assert plan.compute == given


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
    "tf32": True,
    "deterministic": True,
    "diagnostics": True,
    "diagnostics_every": 2,
    "val_fraction": 0.5,
    "samples_per_class": 9,
    "test_per_class": 50,
    "split_seed": 1,
    "optimizer": {"adamw": {"betas": [0.9, 0.95]}},
    "decay_norms_and_biases": False,
    "warmup_start": 0.1,
    "min_lr": 1e-4,
    "label_loss": "bce",
    "label_smoothing": 0.1,
    "clip_norm": 5,
    "drop_path": 0.1,
    "layer_decay": 0.75,
    "ema": {"decay": 0.99},
    "randaugment": {"magnitude": 6},
    "random_erasing": 0.25,
    "mixup": 0.8,
    "cutmix": 1,
    "labelled_fraction": 0.5,
}


def test_the_plan_says_that_mixed_images_cost_the_teacher(small_plan: Plan) -> None:
    assert not any("mixed" in note for note in small_plan.notes)
    for field in ("mixup", "cutmix"):
        plan = build_plan(small_spec(recipe=SPEC["recipe"] | {field: 0.5}))
        assert any("teachers are run on every mixture" in note for note in plan.notes)
    searched = build_plan(small_spec(recipe=SPEC["recipe"] | {"mixup": {"range": [0, 1]}}))
    assert any("teachers are run on every mixture" in note for note in searched.notes)
    alone = build_plan(small_spec(recipe=SPEC["recipe"] | {"mixup": 0.5}, methods=["scratch"]))
    assert not any("mixed" in note for note in alone.notes)


def test_the_plan_says_how_many_images_keep_their_label(small_plan: Plan) -> None:
    assert not any("label" in note for note in small_plan.notes)
    plan = build_plan(small_spec(recipe=SPEC["recipe"] | {"labelled_fraction": 0.25}))
    (note,) = (note for note in plan.notes if "label" in note)
    assert note.startswith("recipe.labelled_fraction: 20 of 80 training images keep their label")
    assert [part["labelled"] for part in plan.parts] == [20]
    assert [part["labelled"] for part in small_plan.parts] == [80]


def test_the_plan_says_what_of_the_recipe_changes_nothing() -> None:
    plan = build_plan(small_spec(recipe=SPEC["recipe"] | {"schedule": "step", "min_lr": 1e-4}))
    assert "recipe.min_lr changes nothing here: it is read under `schedule: cosine` alone" in plan.notes


def test_methods_that_read_every_label_are_refused_with_few_all_in_one_message() -> None:
    with pytest.raises(InputError) as refused:
        build_plan(
            small_spec(recipe=SPEC["recipe"] | {"labelled_fraction": 0.25}, methods=["kd", "dkd", "sld", "mlkd"])
        )
    assert "dkd: method 'dkd' reads the label of every image, and recipe.labelled_fraction 0.25" in str(refused.value)
    assert "sld: method 'sld' reads the label of every image" in str(refused.value)
    assert "mlkd" not in str(refused.value)


def test_a_class_without_a_label_is_refused() -> None:
    with pytest.raises(InputError, match="leaves none of its 8 training images a label"):
        build_plan(small_spec(recipe=SPEC["recipe"] | {"labelled_fraction": 0.01}))


def test_methods_that_need_one_label_are_refused_with_mixed_images_all_in_one_message() -> None:
    with pytest.raises(InputError) as refused:
        build_plan(small_spec(recipe=SPEC["recipe"] | {"cutmix": 1}, methods=["kd", "dkd", "sld"]))
    assert "dkd: method 'dkd' takes every image to have one label" in str(refused.value)
    assert "sld: method 'sld' compares two views of one image" in str(refused.value)
    assert "kd: method 'kd'" not in str(refused.value)


def test_every_field_of_the_recipe_can_be_checked() -> None:
    from trainers.config import Recipe

    assert set(RECIPE) == set(Recipe.model_fields)


OF_TIMM = ("drop_path", "layer_decay")


@pytest.mark.parametrize("field", OF_TIMM)
def test_what_only_timm_s_networks_have_is_refused_of_others(field: str) -> None:
    with pytest.raises(InputError, match=f"model 'resnet8' .*leave out recipe.{field}"):
        build_plan(small_spec(recipe=SPEC["recipe"] | {field: RECIPE[field]}))


def test_a_teacher_that_cannot_be_trained_by_its_recipe_is_refused_before_anything_starts() -> None:
    recipes = {"recipe": SPEC["recipe"], "teachers": {"recipe": {"drop_path": 0.1}}}
    with pytest.raises(InputError, match=r"model 'resnet20' has no drop path; leave out recipe.drop_path"):
        build_plan(small_spec(**recipes))


@pytest.mark.parametrize("field", [field for field in RECIPE if field not in OF_TIMM])
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


@pytest.mark.parametrize(
    ("searched", "message"),
    [
        ({"val_fraction": {"range": [0.001, 0.3]}}, "val_fraction 0.001 holds out none of a class's"),
        ({"val_fraction": {"choice": [0.2, 0.3, 0.002]}}, "val_fraction 0.002 holds out none of a class's"),
        ({"samples_per_class": {"range": [5, 700]}}, "samples_per_class asks for 700"),
        ({"val_fraction": {"range": [0.1, 0.9]}, "samples_per_class": {"range": [5, 50]}}, "asks for 50"),
    ],
    ids=str,
)
def test_a_searched_cut_that_the_data_do_not_allow_is_told_before_anything_runs(
    searched: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        build_plan(small_spec(recipe={"base": "digits", "epochs": 3} | searched, methods=["kd"]))


def test_data_are_cut_once_for_recipes_that_cut_them_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    cut = TrainingData.cut
    monkeypatch.setattr(TrainingData, "cut", lambda *args: made.append(args) or cut(*args))  # type: ignore[func-returns-value]
    build_plan(small_spec(recipe=SPEC["recipe"] | {"lr": [0.1, 0.2, 0.3], "val_fraction": [0.2, 0.3]}))
    assert len(made) <= 3  # the teacher's, and the students' two


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


def test_what_teachers_make_of_a_swept_recipe_is_said() -> None:
    swept = {"base": "digits", "epochs": [4, 6], "samples_per_class": 8}
    assert build_plan(small_spec(recipe=swept)).notes == (
        "teachers are trained with epochs=4: the first of the values that their students take, or what the spec has"
        " under teachers: recipe",
    )
    assert build_plan(small_spec(recipe=swept, methods=["scratch"])).notes == ()
    assert build_plan(small_spec()).notes == ()
