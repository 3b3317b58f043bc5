"""Fields of a recipe that change nothing are told, and none that changes something."""

from __future__ import annotations

import math
from typing import Any

import pytest

from search_spaces.idle import READERS, idle
from search_spaces.schema import Spec
from tests.support.examples import small_spec
from trainers.config import Recipe
from trainers.loop.schedule import learning_rate

SET: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "milestones": ({"milestones": [1]}, {"schedule": "step"}),
    "lr_decay": ({"lr_decay": 0.5}, {"schedule": "step"}),
    "min_lr": ({"min_lr": 1e-4}, {"schedule": "cosine"}),
    "warmup_start": ({"warmup_start": 0.1, "warmup_epochs": 0}, {"warmup_epochs": 1}),
    "momentum": ({"momentum": 0.8, "optimizer": "adamw"}, {"optimizer": "sgd"}),
    "nesterov": ({"nesterov": True, "optimizer": {"adamw": {"eps": 1e-6}}}, {"optimizer": "sgd"}),
    "decay_norms_and_biases": ({"decay_norms_and_biases": False, "weight_decay": 0}, {"weight_decay": 1e-4}),
    "pad": ({"pad": 2, "views": "none"}, {"views": "weak"}),
    "flip": ({"flip": False, "views": "none"}, {"views": "weak"}),
    "cutout": ({"cutout": 8}, {"views": "autoaugment"}),
    "diagnostics_every": ({"diagnostics_every": 2}, {"diagnostics": True}),
}
"""By field: a recipe in which it is not read, and what makes it read."""
BASE = {"base": "cifar", "schedule": "constant", "epochs": 3, "milestones": [], "batch_size": 32}


def spec(**recipe: Any) -> Spec:
    return small_spec(recipe=BASE | recipe)


def told(**recipe: Any) -> list[str]:
    """The fields that are told."""
    return [sentence.partition(" ")[0] for sentence in idle(spec(**recipe))]


@pytest.mark.parametrize("field", READERS)
def test_a_field_that_nothing_reads_is_told_and_one_that_is_read_is_not(field: str) -> None:
    unread, reading = SET[field]
    assert told(**unread) == [f"recipe.{field}"]
    assert told(**(unread | reading)) == []


def test_nothing_is_said_of_what_the_spec_does_not_set_or_sets_to_what_it_is() -> None:
    assert told() == told(min_lr=0, momentum=0.9, optimizer="adamw") == []
    assert idle(small_spec(recipe={"base": "deit", "schedule": "constant"})) == []  # whose min_lr is the base's


def test_one_point_of_a_grid_that_reads_it_is_enough() -> None:
    assert told(min_lr=1e-4, schedule=["step", "cosine"]) == []
    assert told(min_lr=[0, 1e-4], schedule=["step", "constant"]) == ["recipe.min_lr"]
    assert told(min_lr=1e-4, schedule={"choice": ["step", "cosine"]}) == []


def test_a_search_of_what_nothing_reads_is_told() -> None:
    assert told(lr_decay={"range": [0.1, 0.5]}) == ["recipe.lr_decay"]


def test_teachers_may_read_it() -> None:
    teachers = {"recipe": {"schedule": "cosine"}}
    assert idle(small_spec(recipe=BASE | {"min_lr": 1e-4}, teachers=teachers)) == []


@pytest.mark.parametrize("field", ["milestones", "lr_decay", "min_lr", "warmup_start"])
def test_what_is_told_of_the_schedule_is_so(field: str) -> None:
    """The rates of all steps are those of a recipe without it; where it is read, they are not."""
    unread, reading = SET[field]
    for changes, changed in ((unread, False), (unread | reading, True)):
        given = Recipe.model_validate(BASE_OF_RATES | changes)
        without = given.model_copy(update={field: Recipe.model_fields[field].default})
        rates, others = (
            [learning_rate(one, epoch, step, 4) for epoch in (1, 2, 3) for step in range(4)] for one in (given, without)
        )
        assert (not all(map(math.isclose, rates, others))) == changed


BASE_OF_RATES = {name: value for name, value in BASE.items() if name not in ("base", "milestones")} | {
    "milestones": (2,)
}
