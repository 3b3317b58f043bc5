"""What a plan says of a spec beside its trials: what costs more than one may think, and what changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from search_spaces.schema import Spec, Variant
from sweep.plan.labels import label
from sweep.plan.slots import SearchedCell, Slot
from trainers.config import Recipe

OF_LABELS = ("label_smoothing", "label_loss", "mixup", "cutmix", "labelled_fraction")
"""Recipe fields that say how labels are read."""


def mixing(students: Iterable[Slot], cells: dict[str, SearchedCell]) -> list[str]:
    """What it costs that students with a teacher see mixed images."""
    from trainers.distillers.registry import METHODS

    def taught(config: dict[str, Any]) -> bool:
        return METHODS[config["method"]["name"]].teacher_needs != "nothing"

    recipes = [slot.config["recipe"] for slot in students if taught(slot.config)]
    searched = [cell.config["recipe"] | _of_recipe(cell.space) for cell in cells.values() if taught(cell.config)]
    if not any(recipe["mixup"] or recipe["cutmix"] for recipe in [*recipes, *searched]):
        return []
    return [
        "images are mixed (recipe.mixup, recipe.cutmix): teachers are run on every mixture, in every epoch, and the"
        " logit bank keeps nothing of them"
    ]


def unlabelled(parts: Iterable[dict[str, Any]]) -> list[str]:
    """How many images keep their labels, where not all do."""
    some = {(part["labelled"], part["train"]): None for part in parts if part["labelled"] < part["train"]}
    return [
        f"recipe.labelled_fraction: {labelled:,} of {train:,} training images keep their label; the loss with the"
        " labels counts these alone, and methods without a teacher, as teachers are trained, train on these alone"
        for labelled, train in some
    ]


def own_labels(spec: Spec) -> list[str]:
    """That a class of the user's computes its cross-entropy by itself, where a recipe does not take labels as they are.
    The function of a user's has no cross-entropy of its own."""
    from trainers.distillers.registry import METHODS
    from trainers.own.methods import own_losses

    points = [point for pair in spec.pairs for point in pair.recipes]
    if not any(map(_reads_labels, points)):
        return []
    names = dict.fromkeys(grid.name for pair in spec.pairs for grid in pair.methods)
    return [
        f"method '{name}' computes a cross-entropy of its own beside batch.ce, which reads labels as the recipe says"
        f" ({', '.join(OF_LABELS)}); `sweep check` of its file says whether its `ce` does"
        for name in names
        if own_losses(METHODS[name])
    ]


def _reads_labels(point: Variant) -> bool:
    """Whether labels are not taken as they are, in some trial of a point of the recipe's grid."""
    plain, given = Recipe(), point.value
    return any(getattr(given, name) != getattr(plain, name) or name in point.space for name in OF_LABELS)


def _of_recipe(space: dict[str, Any]) -> dict[str, Any]:
    """What of a space is searched of the recipe, by field."""
    return {path.removeprefix("recipe."): of for path, of in space.items() if path.startswith("recipe.")}


def teachers_take(spec: Spec) -> list[str]:
    """What the teachers' recipe makes of fields that are swept over for students."""
    recipes = [variant.value.model_dump() for variant in spec.recipes]
    swept = [name for name, value in recipes[0].items() if any(recipe[name] != value for recipe in recipes)]
    taken = {name: value for name, value in spec.teacher_recipe.model_dump().items() if name in swept}
    if not taken:
        return []
    return [
        f"teachers are trained with {label('', taken).strip()}: the first of the values that their students take, or"
        " what the spec has under teachers: recipe"
    ]
