"""The ways in which a spec's trials cut its data set into training, validation and test images."""

from __future__ import annotations

from typing import Any

from search_spaces.schema import Spec, Variant
from search_spaces.space import corners
from trainers.config import Recipe

CUT_BY = ("val_fraction", "samples_per_class", "test_per_class", "split_seed", "labelled_fraction")
"""Recipe fields that decide which images are in which part, and keep their labels."""


def cuts(spec: Spec) -> list[Recipe]:
    """A recipe for each way in which the spec's trials cut the data set, the outermost values of a search included: a
    cut that those between them make is possible where theirs are."""
    found: dict[tuple[Any, ...], Recipe] = {}
    for point in (Variant(spec.teacher_recipe, {}), *(point for pair in spec.pairs for point in pair.recipes)):
        space = {name: of for name, of in point.space.items() if name in CUT_BY}
        for corner in corners(space) or [{}]:
            recipe = point.value.model_copy(update=corner)
            found.setdefault(tuple(getattr(recipe, name) for name in CUT_BY), recipe)
    return list(found.values())
