"""Recipes of a user's own."""

from __future__ import annotations

import sys
from typing import Any

from pydantic import ValidationError

from trainers.config import Recipe
from trainers.own.registration import Origin, register
from trainers.own.signature import reason
from trainers.recipes import RECIPES


def recipe(name: str, base: str = "cifar", **fields: Any) -> Recipe:
    """Register a recipe: ``recipe("mine", base="cifar", epochs=100, lr=0.1)``; a spec says ``recipe: mine``.

    Args:
        name: what specs call it.
        base: the recipe that it starts from.
        fields: those of :class:`~trainers.config.Recipe` in which it differs.

    Raises:
        InputError: for a name that is none or taken, a base that does not exist, and for fields or values that a recipe
            does not have.
    """
    origin = Origin.here(sys._getframe(1))
    if base not in RECIPES:
        raise origin.refuse(RECIPES.unknown(base))
    try:
        made = Recipe.model_validate(RECIPES[base].model_dump() | fields)
    except ValidationError as error:
        raise origin.refuse(f"recipe '{name}': {reason(error)}") from error
    register(RECIPES, name, made, origin)
    return made
