"""Configs are frozen, strict, and named by all of their content."""

from __future__ import annotations

import typing
from typing import Any

import pytest
from pydantic import ValidationError

from tests.trainers.examples import small_trial
from trainers.config import MethodConfig, Recipe, TeacherConfig, TrialConfig
from trainers.data import DATASETS
from trainers.distillers import METHODS
from trainers.recipes import RECIPES


def changed(config: TrialConfig, **fields: Any) -> TrialConfig:
    return TrialConfig.model_validate(config.model_dump() | fields)


OTHERS: dict[str, Any] = {
    "optimizer": "adamw",
    "lr": 0.1,
    "min_lr": 0.01,
    "label_smoothing": 0.1,
    "labelled_fraction": 0.5,
    "warmup_start": 0.5,
    "drop_path": 0.1,
    "layer_decay": 0.75,
    "ema": {"decay": 0.9},
    "randaugment": {},
    "random_erasing": 0.5,
    "mixup": 0.2,
    "cutmix": 1.0,
}
"""Where no rule makes one."""


def another_value(name: str) -> Any:
    """A valid value of a recipe's field that is not its default."""
    if name in OTHERS:
        return OTHERS[name]
    field, default = Recipe.model_fields[name], getattr(Recipe(), name)
    if choices := [choice for choice in typing.get_args(field.annotation) if isinstance(choice, str)]:
        return next(choice for choice in choices if choice != default)
    if isinstance(default, bool):
        return not default
    if isinstance(default, tuple):
        return (*default, 1000)
    return {int: lambda: default + 1, float: lambda: default / 2, type(None): lambda: 3}[type(default)]()


@pytest.mark.parametrize("name", Recipe.model_fields)
def test_every_field_of_the_recipe_is_in_the_key(name: str) -> None:
    config = changed(small_trial(), recipe=Recipe())
    other = changed(config, recipe=Recipe(**{name: another_value(name)}))
    assert other.recipe != config.recipe
    assert other.key != config.key


def test_everything_else_is_in_the_key() -> None:
    config = small_trial("kd", {"alpha": 0.9})
    others = [
        changed(config, seed=1),
        changed(config, model="resnet14"),
        changed(config, method=MethodConfig(name="kd", params={"alpha": 0.8})),
        changed(config, method=MethodConfig(name="dhkd", params={"alpha": 0.9})),
        changed(config, teacher=TeacherConfig(architecture="resnet14", hash="f" * 16)),
        changed(config, teacher=TeacherConfig(architecture="resnet20", hash="0123456789abcdef")),
        changed(config, teacher=None),
        changed(config, dataset={"name": "digits", "options": {"image_size": 9}}),
        changed(config, dataset={"name": "other", "options": {"image_size": 8}}),
        changed(config, dataset={"name": "digits", "options": {"image_size": 8}, "content": "abc"}),
    ]
    assert len({item.key for item in [config, *others]}) == 1 + len(others)


def test_equal_configs_have_one_key_however_they_were_made() -> None:
    config = small_trial("dhkd", {"alpha": 1.0, "head": "linear"})
    by_hand = small_trial("dhkd", {"head": "linear", "alpha": 1.0})
    from_json = TrialConfig.model_validate_json(config.model_dump_json())
    assert config.key == by_hand.key == from_json.key
    assert len(config.key) == 16
    assert from_json == config


def test_configs_are_frozen() -> None:
    config = small_trial()
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 3
    with pytest.raises(ValidationError, match="frozen"):
        config.recipe.lr = 3.0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"learning_rate": 0.1}, "Extra inputs are not permitted"),
        ({"milestones": (180, 150)}, r"rising epochs from 1 on, found \[180, 150\]"),
        ({"milestones": (150, 150)}, "rising epochs"),
        ({"milestones": (0, 5)}, "rising epochs"),
        ({"warmup_epochs": 240}, r"warmup_epochs \(240\) must be fewer than epochs \(240\)"),
        ({"lr": float("nan")}, "finite number"),
        ({"lr": float("inf")}, "finite number"),
        ({"lr": 0}, "greater than 0"),
        ({"epochs": 0}, "greater than or equal to 1"),
        ({"batch_size": 1}, "greater than or equal to 2"),
        ({"momentum": 1.0}, "less than 1"),
        ({"val_fraction": 1.0}, "less than 1"),
        ({"samples_per_class": 0}, "greater than or equal to 1"),
        ({"precision": "fp16"}, "'fp32' or 'bf16'"),
        ({"schedule": "linear"}, "'step', 'cosine' or 'constant'"),
        ({"optimizer": "adam"}, "unknown optimiser 'adam'; did you mean 'adamw'?"),
        ({"optimizer": {"sgd": {"momentum": 0.9}}}, "`momentum` and `nesterov` are fields of the recipe"),
        ({"optimizer": {"adamw": {"betas": [0.9, 1.0]}}}, r"adamw.betas.1: .*less than 1"),
        ({"optimizer": {"adamw": {"beta": 0.9}}}, "adamw.beta: Extra inputs are not permitted"),
        ({"min_lr": 0.06}, r"min_lr \(0.06\) must not be above lr \(0.05\)"),
        ({"warmup_start": 1.5}, "less than or equal to 1"),
        ({"label_smoothing": 1.0}, "less than 1"),
        ({"label_smoothing": 0.1, "label_loss": "bce"}, "a class as there or not, so label_smoothing says nothing"),
        ({"labelled_fraction": 0}, "greater than 0"),
        ({"labelled_fraction": 1.1}, "less than or equal to 1"),
        ({"labelled_fraction": 0.1, "cutmix": 1}, "labelled_fraction 0.1 leaves images without a label"),
        ({"clip_norm": 0}, "greater than 0"),
        ({"ema": {"decay": 1}}, "less than 1"),
        ({"mixup": -1}, "greater than or equal to 0"),
        ({"random_erasing": 2}, "less than or equal to 1"),
        ({"randaugment": {"magnitude": 11}}, "less than or equal to 10"),
        ({"views": "autoaugment", "randaugment": {}}, "two policies for one view"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_impossible_recipes_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Recipe(**fields)


def test_an_optimiser_is_one_however_it_is_written() -> None:
    plain, written, whole = (
        Recipe(optimizer=given)  # type: ignore[arg-type]
        for given in ("adamw", {"adamw": None}, {"adamw": {"betas": [0.9, 0.999], "eps": 1e-8}})
    )
    assert plain == written == whole == Recipe.model_validate_json(plain.model_dump_json(), strict=True)
    assert plain.model_dump(mode="json")["optimizer"] == {"adamw": {"betas": [0.9, 0.999], "eps": 1e-8}}
    assert Recipe(optimizer={"sgd": {}}) == Recipe()  # type: ignore[arg-type]


def test_unknown_parts_of_a_trial_are_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        changed(small_trial(), gpu=1)
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        changed(small_trial(), seed=-1)


def test_the_default_recipe_is_the_field_s() -> None:
    assert RECIPES["cifar"] == Recipe()
    recipe = Recipe()
    assert (recipe.epochs, recipe.batch_size, recipe.lr, recipe.milestones) == (240, 64, 0.05, (150, 180, 210))
    assert (recipe.momentum, recipe.weight_decay, recipe.lr_decay) == (0.9, 5e-4, 0.1)


def test_every_knob_is_explained() -> None:
    models = [Recipe, *(method.Params for method in METHODS.values()), *DATASETS.values()]
    unexplained = [f"{m.__name__}.{name}" for m in models for name, f in m.model_fields.items() if not f.description]
    assert unexplained == []


def test_deit_is_the_paper_s() -> None:
    """arXiv 2012.12877, table 9; the rates before and after the cosine are the release's."""
    deit = RECIPES["deit"]
    assert (deit.epochs, deit.batch_size, deit.lr, deit.weight_decay) == (300, 1024, 0.0005 * 1024 / 512, 0.05)
    assert (deit.schedule, deit.warmup_epochs, deit.min_lr) == ("cosine", 5, 1e-5)
    assert deit.warmup_start == pytest.approx(1e-6 / deit.lr)
    assert deit.optimizer == Recipe(optimizer="adamw").optimizer  # type: ignore[arg-type]
    assert (deit.label_smoothing, deit.drop_path, deit.clip_norm, deit.ema) == (0.1, 0.1, None, None)
    assert (deit.mixup, deit.cutmix, deit.random_erasing) == (0.8, 1.0, 0.25)
    assert deit.randaugment is not None
    assert (deit.randaugment.magnitude, deit.randaugment.std, deit.randaugment.operations) == (9, 0.5, 2)


def test_a3_is_the_paper_s() -> None:
    """arXiv 2110.00476, table 2; the rates before and after the cosine are the release's."""
    a3 = RECIPES["timm-a3"]
    assert (a3.epochs, a3.batch_size, a3.lr, a3.weight_decay) == (100, 2048, 8e-3, 0.02)
    assert (a3.schedule, a3.warmup_epochs, a3.min_lr) == ("cosine", 5, 1e-6)
    assert a3.warmup_start == pytest.approx(1e-4 / a3.lr)
    assert a3.optimizer == Recipe(optimizer="lamb").optimizer  # type: ignore[arg-type]
    assert (a3.label_loss, a3.label_smoothing, a3.drop_path, a3.clip_norm, a3.ema) == ("bce", 0, 0, None, None)
    assert (a3.mixup, a3.cutmix, a3.random_erasing) == (0.1, 1.0, 0)
    assert a3.randaugment is not None
    assert (a3.randaugment.magnitude, a3.randaugment.std, a3.randaugment.operations) == (6, 0.5, 2)


@pytest.mark.parametrize("name", ["deit", "timm-a3"])
def test_recipes_for_large_networks_spare_norms_and_biases(name: str) -> None:
    assert not RECIPES[name].decay_norms_and_biases
