"""No point is tried twice: what is left of a sampler's proposals, or else of the space."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from search_spaces.space import Space, all_points, anywhere, count

DRAWN = 64
"""Points from anywhere that are looked at where a sampler proposes only what was tried."""


def untried(points: Iterable[dict[str, Any]], tried: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Those of some points that were not tried."""
    return (point for point in points if point not in tried)


def left(space: Space, tried: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """All points of a space that were not tried; none of one that has infinitely many."""
    return untried(all_points(space), tried) if count(space) is not None else iter(())


def first_untried(
    proposals: Iterable[dict[str, Any]], space: Space, tried: Sequence[Mapping[str, Any]], seed: int
) -> dict[str, Any] | None:
    """The first proposal that was not tried; without one a point from anywhere, and where nearly all were tried, the
    first that is left. None where none is.

    Args:
        proposals: a sampler's, finitely many.
        space: what is searched.
        tried: all earlier suggestions.
        seed: of the points from anywhere.
    """
    draw = random.Random(seed)
    elsewhere = (anywhere(space, draw) for _ in range(DRAWN))
    return next(chain(untried(chain(proposals, elsewhere), tried), left(space, tried)), None)
