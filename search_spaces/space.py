"""A search space as plain data: how many points it has, and which they are."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

Space = Mapping[str, Mapping[str, Any]]
"""Searched values by name: ``{"range": [low, high], "log": bool, "step": float | None, "integer": bool}`` or
``{"choice": [...]}``."""


OF_RECIPE = "recipe."
"""Before the name of a searched field of the recipe."""


def count(space: Space) -> int | None:
    """How many points a space has; None for infinitely many."""
    sizes = [size_of(dimension) for dimension in space.values()]
    return None if any(size is None for size in sizes) else math.prod(size for size in sizes if size is not None)


def point(dimension: Mapping[str, Any], unit: float) -> Any:
    """The value of a dimension at `unit` in [0, 1): equal shares of the interval for each of finitely many values."""
    size = size_of(dimension)
    if size is not None and not dimension.get("log"):
        return value_at(dimension, int(unit * size))
    low, high = dimension["range"]
    if dimension.get("integer"):  # logarithmic: each integer gets the interval that rounds to it
        return min(high, max(low, round(math.exp(math.log(low - 0.5) + unit * math.log((high + 0.5) / (low - 0.5))))))
    if dimension.get("log"):
        return _within(dimension, math.exp(math.log(low) + unit * math.log(high / low)))
    return _within(dimension, low + unit * (high - low))


def _within(dimension: Mapping[str, Any], value: float) -> float:
    """The value, or the range's end where rounding has put it beyond."""
    low, high = dimension["range"]
    return float(min(max(value, low), high))


def anywhere(space: Space, draw: random.Random) -> dict[str, Any]:
    """A point that is drawn from the whole space."""
    return {name: point(dimension, draw.random()) for name, dimension in space.items()}


def size_of(dimension: Mapping[str, Any]) -> int | None:
    """How many values a dimension has; None for infinitely many."""
    if "choice" in dimension:
        return len(dimension["choice"])
    low, high = dimension["range"]
    step = dimension.get("step") or (1 if dimension.get("integer") else None)
    return None if step is None else int((high - low) / step + 1e-9) + 1


def value_at(dimension: Mapping[str, Any], place: int) -> Any:
    """The value at a place, counted from 0, of a dimension that has finitely many."""
    if "choice" in dimension:
        return dimension["choice"][place]
    low, step = dimension["range"][0], dimension.get("step") or 1
    value = Decimal(str(low)) + place * Decimal(str(step))  # 0.1 + 2 * 0.1 is 0.3, not a little more
    return int(value) if dimension.get("integer") else float(value)


def all_points(space: Space) -> Iterator[dict[str, Any]]:
    """All points of a space of finitely many, the last name varying fastest."""
    values = [[value_at(dimension, place) for place in range(size_of(dimension) or 0)] for dimension in space.values()]
    for chosen in itertools.product(*values):
        yield dict(zip(space, chosen, strict=True))


def is_ordered(dimension: Mapping[str, Any]) -> bool:
    """Whether a dimension's values are numbers, which lie on a line; a choice of anything else has no order."""
    choice = dimension.get("choice", ())
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in choice)


def within(dimension: Mapping[str, Any], value: Any) -> bool:
    """Whether a dimension has a value."""
    if "choice" in dimension:
        return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in dimension["choice"])
    low, high = dimension["range"]
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        return False
    step = dimension.get("step") or (1 if dimension.get("integer") else None)
    return step is None or math.isclose((value - low) / step, round((value - low) / step), abs_tol=1e-9)


def as_searched(space: Space, point: Mapping[str, Any]) -> dict[str, Any] | None:
    """A person's point, in which the recipe's fields have their own names, as the space names them.

    Returns:
        None where it does not name just the fields of this space.

    Raises:
        ValueError: naming the field whose value the space does not have.
    """
    names = {name.removeprefix(OF_RECIPE): name for name in space}
    if names.keys() != point.keys():
        return None
    for name, value in point.items():
        if not within(space[names[name]], value):
            raise ValueError(name)
    return {full: _as_written(space[full], point[name]) for name, full in names.items()}


def usual_point(space: Space, defaults: Mapping[str, Any]) -> dict[str, Any] | None:
    """The point at which all fields are what they are where they are not searched.

    Args:
        space: what is searched.
        defaults: these values, by the names of the space.

    Returns:
        None where the space has no such point: it lacks one of the values, or a field has none.
    """
    if not all(name in defaults and within(of, defaults[name]) for name, of in space.items()):
        return None
    return {name: _as_written(of, defaults[name]) for name, of in space.items()}


def _as_written(dimension: Mapping[str, Any], value: Any) -> Any:
    """A value of a dimension as a search would write it: 4.0 of a range of fractions, where a person writes 4."""
    if "choice" in dimension:
        return next(one for one in dimension["choice"] if within({"choice": [one]}, value))
    return int(value) if dimension.get("integer") else float(value)


def corners(space: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Points that show whether a space's values go together: for any two fields every choice and both ends of a range,
    the other fields at their first value; then the last value of every field."""
    ends = {name: of.get("choice") or of["range"] for name, of in space.items()}
    first = {name: values[0] for name, values in ends.items()}
    points = [first | {name: value} for name, values in ends.items() for value in values]
    for name, other in itertools.combinations(ends, 2):
        points += [first | {name: a, other: b} for a in ends[name][1:] for b in ends[other][1:]]
    return [*points, {name: values[-1] for name, values in ends.items()}] if ends else []


def corner_count(*spaces: Space) -> int:
    """How many points :func:`corners` has of all these spaces together; 1 of none, for the one point that there is."""
    sizes = [len(of.get("choice") or of["range"]) for space in spaces for of in space.values()]
    others = [size - 1 for size in sizes]
    of_two = (sum(others) ** 2 - sum(other**2 for other in others)) // 2
    return sum(sizes) + of_two + 1 if sizes else 1
