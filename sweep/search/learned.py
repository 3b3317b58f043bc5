"""What a search has found as the first points of another one.

A learned point is ``{"params": …, "pair": …, "value": …}``: its values by the names of the space, the pair that it was
found under, and its first metric there; from another sweep also ``"sweep"``, whose it is. A search notes them with its
first suggestion, and so goes on with these whatever becomes of the other one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby, zip_longest
from typing import Any

from search_spaces.space import Space, usual_point
from sweep.plan.labels import label
from sweep.search.cell_search import CellSearch
from sweep.search.history import Chosen

POINTS = 3
"""That a search begins with: what was best by one seed need not be the best, and successive halving, which keeps one of
three, has them compared with each other alone."""


def best_points(searches: Iterable[CellSearch], space: Space, **origin: str) -> list[dict[str, Any]]:
    """The best of some searches that lie in a space, :data:`POINTS` at most: the best of each in their order, then the
    second of each, and so on, since values under different pairs say nothing of each other.

    Args:
        searches: over the fields of the space.
        space: of the search that begins.
        origin: what is noted of each point besides.
    """
    points: list[dict[str, Any]] = []
    for search, chosen in _in_turn(searches):
        params = usual_point(space, chosen.params)
        if params is not None and params not in [point["params"] for point in points]:
            points.append({"params": params, "pair": search.cell.pair, "value": chosen.values[0]} | origin)
    return points[:POINTS]


def _in_turn(searches: Iterable[CellSearch]) -> Iterable[tuple[CellSearch, Chosen]]:
    ranked = [[(search, chosen) for chosen in search.ranked()] for search in searches]
    return (one for row in zip_longest(*ranked) for one in row if one is not None)


def in_words(points: Iterable[Mapping[str, Any]]) -> str:
    """Learned points, each with what it came to there: ``w2=4 k=5 (71.20), w2=2 k=5 (71.10) under resnet20→resnet8``,
    and of another sweep its name."""
    return "; ".join(f"{', '.join(map(_in_words, some))} {where}" for where, some in groupby(points, _where))


def _in_words(point: Mapping[str, Any]) -> str:
    return f"{label('', point['params']).strip()} ({point['value']:.2f})"


def _where(point: Mapping[str, Any]) -> str:
    return f"under {point['pair']}" + (f" in sweep '{point['sweep']}'" if "sweep" in point else "")
