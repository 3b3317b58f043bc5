"""Recipe fields that change nothing, since another field leaves them out: told, for a spec that sets one expects
something of it. They are not refused: a recipe that is taken over from elsewhere may hold them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from search_spaces.schema import Spec, Variant
from search_spaces.space import corners
from trainers.config import Recipe


class Reader(NamedTuple):
    """What reads a field."""

    reads: Callable[[Recipe], bool]
    """Whether it is read under a recipe."""
    told: str
    """Where it is."""


_STEPS = Reader(lambda recipe: recipe.schedule == "step", "under `schedule: step`")
_SGD = Reader(lambda recipe: recipe.optimizer == "sgd", "by `optimizer: sgd`")
_FRAMED = Reader(lambda recipe: recipe.views != "none", "under views other than `none`")
READERS = {
    "milestones": _STEPS,
    "lr_decay": _STEPS,
    "min_lr": Reader(lambda recipe: recipe.schedule == "cosine", "under `schedule: cosine`"),
    "warmup_start": Reader(lambda recipe: recipe.warmup_epochs > 0, "with `warmup_epochs` above 0"),
    "momentum": _SGD,
    "nesterov": _SGD,
    "decay_norms_and_biases": Reader(lambda recipe: recipe.weight_decay > 0, "with a `weight_decay` above 0"),
    "pad": _FRAMED,
    "flip": _FRAMED,
    "cutout": Reader(lambda recipe: recipe.views == "autoaugment", "under `views: autoaugment`"),
    "diagnostics_every": Reader(lambda recipe: recipe.diagnostics, "with `diagnostics: true`"),
}
"""By the field that is not read everywhere."""


def idle(spec: Spec) -> list[str]:
    """A sentence for each field that the spec sets, or searches, and no trial of it reads."""
    points = [point for pair in spec.pairs for point in pair.recipes]
    return [
        f"recipe.{name} changes nothing here: it is read {reader.told} alone"
        for name, reader in READERS.items()
        if any(_sets(point, name) for point in points)
        and not reader.reads(spec.teacher_recipe)
        and not any(reader.reads(recipe) for point in points if _sets(point, name) for recipe in _recipes(point))
    ]


def _sets(point: Variant, name: str) -> bool:
    """Whether the spec says something of a field that is not what stands there anyway, nor that there is none."""
    default = Recipe.model_fields[name].get_default(call_default_factory=True)
    return name in point.space or (name in point.chosen and getattr(point.value, name) not in (default, ()))


def _recipes(point: Variant) -> list[Recipe]:
    """The recipes of a point's search, the outermost."""
    return [point.value.model_copy(update=corner) for corner in corners(point.space) or [{}]]
