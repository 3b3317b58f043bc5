"""Where trials stand in a spec: a recipe and a method of their grids, under a pair."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from search_spaces.fields import shown
from search_spaces.schema import MethodGrid, Pair, Variant, race_seeds
from search_spaces.space import OF_RECIPE, Space, as_searched, corner_count


def searched_places(pair: Pair) -> list[tuple[Variant, Variant]]:
    """The recipes and methods of a pair's searched cells."""
    methods = [variant for grid in pair.methods for variant in grid.variants]
    return [place for place in itertools.product(pair.recipes, methods) if joint_space(*place)]


def joint_space(recipe: Variant, method: Variant) -> Space:
    """The searched fields of a recipe and of a method; the recipe's are called ``recipe.lr`` and so on."""
    return {f"{OF_RECIPE}{key}": of for key, of in recipe.space.items()} | method.space


def why_not_first(point: Mapping[str, Any], spaces: Sequence[Space]) -> str | None:
    """What is wrong with a point that is to be tried first; None where it is one of some of these spaces."""
    try:
        found = [as_searched(space, point) for space in spaces]
    except ValueError as error:
        name = str(error)
        return f"{name} must be one of the values that are searched, found {shown(point[name])}"
    if any(found):
        return None
    fields = (", ".join(name.removeprefix(OF_RECIPE) for name in space) for space in spaces)
    which = "; or ".join(dict.fromkeys(fields))
    return f"must give all fields of a search, which are {which}; found {shown(dict(point))}"


def why_no_race(seeds: Sequence[int], most: int) -> str | None:
    """Why what a search has found cannot race; None where it can. What wins is run with the sweep's seeds but the
    first, which the search has seen, and the race must not have seen them either."""
    own = race_seeds(most)
    if len(seeds) == 1:
        return "needs two seeds or more: the first is the search's, and what has won is run with the others"
    if any(seed in own for seed in seeds):
        return f"has seeds of its own, {own[0]} to {own[-1]}; seeds must be others"
    return None


def configurations_of(recipes: Sequence[Variant], methods: Sequence[MethodGrid]) -> int:
    """How many configurations a pair has that are checked one by one: every recipe with every point of a method, and of
    what is searched there all corners."""
    searched = recipes[0].space if recipes else {}  # all points of a grid search the same
    return len(recipes) * sum(points_of(grid, searched) for grid in methods)


def points_of(grid: MethodGrid, searched: Space | None = None) -> int:
    """The points of a method's grid, each with all corners of what it searches, and of what is `searched` beside it."""
    return len(grid.variants) * corner_count(grid.variants[0].space, searched or {}) if grid.variants else 0
