"""`--smoke`: any spec, shrunk until it takes about a minute on a CPU, on the same path through the code.

What shrinks: one pair, the first configuration of each method (two where it is searched), one seed, two epochs, a few
hundred images, small pictures where the source lets one choose. What does not: the methods, the models of that pair,
the recipe's other fields, the engine. The sweep gets a name of its own, so that its numbers stand beside no real ones.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from search_spaces.schema import Budget, Compute, MethodGrid, Pair, Spec, Variant
from search_spaces.table import PLAIN
from trainers.config import Recipe
from trainers.data import DATASETS, ImageData

EPOCHS = 2
IMAGES = 200
"""Training images, over all classes; at least one of each."""
TEST_IMAGES = 100
"""Test images, over all classes; at least one of each."""
TRIALS = 2
"""Of each search."""
LARGEST_IMAGE = 64
"""Pixels of a picture's side, where the source lets one choose."""


def shrunk(spec: Spec) -> Spec:
    """`spec` as `--smoke` runs it. Loads the data set, whose classes decide how many images of each are taken.

    Raises:
        InputError: when the data set cannot be read.
    """
    options = _small_pictures(spec.dataset_options)
    data = DATASETS[spec.dataset].model_validate(options).load()
    pair = spec.pairs[0]
    return replace(
        spec,
        name=smoke_name(spec.name),
        description=f"smoke run of {spec.name}: its numbers mean nothing",
        dataset_options=options,
        recipes=_first_shrunk(spec.recipes, data),
        teacher_recipe=_short(spec.teacher_recipe, data),
        pairs=(replace(pair, recipes=_first_shrunk(pair.recipes, data), methods=_first_of_each(pair)),),
        methods=_first_of_each(pair),
        seeds=spec.seeds[:1],
        search=spec.search.model_copy(update={"trials": TRIALS, "grace": 1, "race": None}),
        budget=Budget(),
        compute=Compute(retries=0),
        table=PLAIN,  # it may name rows that are not run here
    )


def smoke_name(name: str) -> str:
    """What a sweep's smoke run is called."""
    return f"{name[:58]}-smoke"


def _first_of_each(pair: Pair) -> tuple[MethodGrid, ...]:
    """Each method once, with the first point of its first entry; once more where another entry is searched."""
    first: dict[tuple[str, bool], MethodGrid] = {}
    for grid in pair.methods:
        searched = any(variant.space for variant in grid.variants)
        first.setdefault((grid.name, searched), replace(grid, variants=grid.variants[:1]))
    return tuple(first.values())


def _first_shrunk(recipes: tuple[Variant, ...], data: ImageData) -> tuple[Variant, ...]:
    """The first point of the recipe's grid, shrunk."""
    return tuple(replace(variant, value=_short(variant.value, data)) for variant in recipes[:1])


def _short(recipe: Recipe, data: ImageData) -> Recipe:
    """Two epochs of a few images, with one drop of the learning rate between them where there were any."""
    smallest = int(torch.bincount(data.train.labels, minlength=data.num_classes).min())
    there = smallest - round(recipe.val_fraction * smallest)
    kept = max(1, min(recipe.samples_per_class or there, there, IMAGES // data.num_classes))
    changes: dict[str, Any] = {
        "epochs": EPOCHS,
        "milestones": recipe.milestones and (1,),
        "warmup_epochs": min(recipe.warmup_epochs, 1),
        "samples_per_class": kept,
        "labelled_fraction": max(recipe.labelled_fraction, 1 / kept),  # one of each class, where there are so few
        "test_per_class": max(1, TEST_IMAGES // data.num_classes),
        "compile": recipe.compile is True,  # where it is `auto`, nothing so short is compiled
    }
    return Recipe.model_validate(recipe.model_dump() | changes)


def _small_pictures(options: dict[str, Any]) -> dict[str, Any]:
    """The source's options, with small pictures where `image_size` (and `resize`, before the crop) may be chosen."""
    size, resize = options.get("image_size"), options.get("resize")
    if not isinstance(size, int) or size <= LARGEST_IMAGE:
        return options
    scaled = {"resize": round(resize * LARGEST_IMAGE / size)} if isinstance(resize, int) else {}
    return options | {"image_size": LARGEST_IMAGE} | scaled
