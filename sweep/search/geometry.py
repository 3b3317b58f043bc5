"""Where the points of a space lie: coordinates in which what is near behaves alike."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_spaces.space import Space, all_points, anywhere, count, is_ordered, point

MOST_LISTED = 512
"""Points of a space of finitely many that are all looked at; of more, a sample is."""
NEIGHBOURS, NEAR = 16, 0.1
"""How many points are drawn around each of the best, and how far away: the standard deviation in unit lengths."""


def coordinates(space: Space, params: Mapping[str, Any]) -> NDArray[np.float64]:
    """Where a point lies: each number in [0, 1], any other choice at a corner of a simplex whose edges are 1 long."""
    return np.concatenate([_of(dimension, params[name]) for name, dimension in space.items()])


def _of(dimension: Mapping[str, Any], value: Any) -> NDArray[np.float64]:
    if "choice" not in dimension:
        return np.array([_unit(dimension, float(value))])
    choice = dimension["choice"]
    if is_ordered(dimension):  # numbers that a person lists are as far apart as she meant them to be
        return np.array([sorted(choice).index(value) / max(len(choice) - 1, 1)])
    corner: NDArray[np.float64] = np.eye(len(choice))[choice.index(value)] / math.sqrt(2)
    return corner


def _unit(dimension: Mapping[str, Any], value: float) -> float:
    low, high = map(float, dimension["range"])
    if dimension.get("log"):
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)


def is_listed(space: Space) -> bool:
    """Whether all points of a space are looked at."""
    size = count(space)
    return size is not None and size <= MOST_LISTED


def candidates(space: Space, around: Sequence[Mapping[str, Any]], seed: int) -> Iterator[dict[str, Any]]:
    """Points to choose from: all of a small space; of others a sample, and neighbours of some.

    Args:
        space: what is searched.
        around: points near which more are looked at.
        seed: of the sample.
    """
    if is_listed(space):
        yield from all_points(space)
        return
    draw = random.Random(seed)
    yield from (anywhere(space, draw) for _ in range(MOST_LISTED))
    for middle in around:
        for _ in range(NEIGHBOURS):
            yield {name: _near(dimension, middle[name], draw) for name, dimension in space.items()}


def _near(dimension: Mapping[str, Any], value: Any, draw: random.Random) -> Any:
    """A value near another; of a choice without order mostly the same."""
    if "choice" in dimension and not is_ordered(dimension):
        return value if draw.random() > NEAR else draw.choice(dimension["choice"])
    place = min(max(float(_of(dimension, value)[0]) + draw.gauss(0, NEAR), 0.0), math.nextafter(1.0, 0.0))
    if "choice" in dimension:
        return sorted(dimension["choice"])[round(place * (len(dimension["choice"]) - 1))]
    return point(dimension, place)
