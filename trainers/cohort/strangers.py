"""Which trials can be a cohort."""

from __future__ import annotations

from collections.abc import Sequence

from trainers.config import TrialConfig
from trainers.distillers.registry import has_teacher
from trainers.errors import InputError
from trainers.storage.content import canonical_json

SHARED = ("dataset", "recipe", "seed")
"""What of a trial's config all of a cohort have."""


def refuse_strangers(configs: Sequence[TrialConfig]) -> None:
    """Whether trials can be one cohort.

    Raises:
        InputError: where they share less than they must, where one is there twice, and where they are compiled.
    """
    for part in SHARED:
        if len({_content(config, part) for config in configs}) > 1:
            raise InputError(f"the trials of a cohort have one {part}, and these differ in it")
    if len({config.teacher for config in configs if config.teacher is not None}) > 1:
        raise InputError("the trials of a cohort have one teacher, and these have several")
    if len({config.key for config in configs}) < len(configs):
        raise InputError("a trial is in a cohort once, and two of these are the same")
    if configs[0].recipe.labelled_fraction < 1 and len({has_teacher(config.method) for config in configs}) > 1:
        raise InputError(
            "with a labelled_fraction below 1 methods without a teacher train on the images with a label alone, and the"
            " others on all: no cohort has both"
        )
    if any(config.recipe.compile for config in configs):
        raise InputError("a cohort's students are not compiled: train trials with `compile: true` one by one")


def fellows(config: TrialConfig) -> str | None:
    """What trials that can be a cohort have in common: equal where they can, as far as their teachers are one; None of
    a trial that is in none."""
    if config.recipe.compile:
        return None
    reads_all = config.recipe.labelled_fraction == 1 or has_teacher(config.method)
    return canonical_json([*(config.key_content()[part] for part in SHARED), reads_all])


def _content(config: TrialConfig, part: str) -> str:
    """A part of a trial's key, as text."""
    return canonical_json(config.key_content()[part])
