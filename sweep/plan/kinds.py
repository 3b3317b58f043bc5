"""What decides how long a trial's epoch takes: trials of one kind take equally long."""

from __future__ import annotations

from typing import Any

from sweep.plan.labels import student_of, teacher_of
from trainers.storage.content import content_key

TIMED_BY = (
    "batch_size",
    "samples_per_class",
    "test_per_class",
    "val_fraction",
    "views",
    "precision",
    "compile",
    "diagnostics",
    "diagnostics_every",
)
"""Recipe fields that decide how long an epoch takes; the others, such as the learning rate, do not."""
TIMED_BY_WHERE_SET = ("ema", "randaugment", "random_erasing", "mixup", "cutmix")
"""The same, of fields that came later and do nothing at their defaults: part of a kind where they are set, so that what
was timed before they came is still known."""


def kind_of(pair: str, config: dict[str, Any]) -> tuple[Any, ...]:
    """What decides the length of a trial's epoch, the method first."""
    taught = student_of(pair) and config["method"]["name"] != "scratch"
    teacher = teacher_of(pair).partition("@")[0] if taught else ""
    recipe = of_recipe(config["recipe"])
    return (config["method"]["name"], teacher, config["model"], config["dataset"]["content"], *recipe)


def of_recipe(recipe: dict[str, Any]) -> list[Any]:
    """What of a recipe, as JSON, decides the length of an epoch."""
    set_too = [name for name in TIMED_BY_WHERE_SET if recipe.get(name)]
    labelled = recipe.get("labelled_fraction", 1)
    if labelled != 1:  # methods without a teacher train on so many images
        set_too.append(f"labelled {labelled}")
    return [*(recipe.get(name) for name in TIMED_BY), *set_too]


def kind_name(pair: str, config: dict[str, Any], on_gpu: bool) -> str:
    """The kind of a trial, as the file of calibrations names it."""
    return content_key(["gpu" if on_gpu else "cpu", *kind_of(pair, config)])
