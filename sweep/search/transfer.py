"""``transfer: true``: of the searches that differ in their pair alone the first goes ahead, and the others begin with
its best points.

The others wait until it has come to the end of its budget; its race, and what it confirms, they do not wait for. Where
its teacher fails, or no trial of it finishes, they begin as ever. All that is a function of what the ledger holds: a
search that has begun waits for nothing more, and has noted what it began with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sweep.plan.slots import SearchedCell
from sweep.search.cell_search import CellSearch
from sweep.search.learned import best_points
from trainers.storage.content import canonical_json

SHARED = ("dataset", "method", "recipe")
"""What of their trials' configs such searches have in common."""


class Transfer:
    """Which search waits for which.

    Args:
        searches: all of a plan, in its order, by their cells' ids; those that are given up are taken out of it.
    """

    def __init__(self, searches: Mapping[str, CellSearch]) -> None:
        self._searches = searches
        self._ahead = leaders(search.cell for search in searches.values())

    def waits(self, search: CellSearch) -> bool:
        """Whether a search may not begin yet."""
        ahead = self._ahead_of(search)
        return ahead is not None and not search.asked and not ahead.complete

    def begin(self, search: CellSearch) -> None:
        """Give a search that begins now the best points of the one that went ahead of it."""
        ahead = self._ahead_of(search)
        if ahead is not None and not search.asked:
            search.learned = best_points([ahead], search.cell.space)

    def _ahead_of(self, search: CellSearch) -> CellSearch | None:
        return self._searches.get(self._ahead.get(search.cell.id, ""))


def leaders(cells: Iterable[SearchedCell]) -> dict[str, str]:
    """Of each cell that is to learn from another one that cell's id, by its own."""
    first: dict[str, str] = {}
    ahead: dict[str, str] = {}
    for cell in cells:
        if cell.search.get("transfer"):
            shared = canonical_json([*(cell.config[name] for name in SHARED), cell.space])
            leader = first.setdefault(shared, cell.id)
            ahead |= {cell.id: leader} if leader != cell.id else {}
    return ahead
