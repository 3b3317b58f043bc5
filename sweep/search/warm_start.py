"""``warm_start: NAME``: searches begin with the best points that an earlier sweep has found, below the same root.

The points are put into the plan, and noted with it; a search notes them once more when it begins. From then on they are
its own: a run that goes on asks that sweep for nothing that was noted before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from search_spaces.space import OF_RECIPE, Space
from sweep.layout import Root, SweepPaths
from sweep.ledger.others import renew
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan, SearchedCell
from sweep.search.cell_search import CellSearch
from sweep.search.learned import best_points, in_words
from sweep.search.optuna_storage import searches_of
from sweep.search.transfer import leaders
from trainers.errors import BusyError, InputError

MOST_TOLD = 20
"""Searches of which `sweep plan` says with what they begin."""
Points = dict[str, list[dict[str, Any]]]
"""Learned points, by the cell's id."""


def warm_started(plan: Plan, root: Root) -> Plan:
    """A spec's plan, each of its searches with the points of the earlier sweep that it begins with.

    Args:
        plan: as the spec expands.
        root: below which both sweeps lie.

    Raises:
        InputError: where there is no such other sweep, or it has searched nothing that is searched here.
        StorageError: when its ledger cannot be read.
    """
    name = next((cell.search["warm_start"] for cell in plan.cells if "warm_start" in cell.search), None)
    if name is None:
        return plan
    if name == plan.name:
        raise InputError(f"search.warm_start: '{name}' is this sweep itself; name an earlier one")
    points = _noted(root.sweep(plan.name), name)
    new = [cell for cell in plan.cells if cell.id not in points]
    points |= _found(new, root, name) if new else {}
    cells = [replace(cell, search=cell.search | {"learned": points[cell.id]}) for cell in plan.cells]
    return replace(plan, cells=tuple(cells))


def _noted(paths: SweepPaths, name: str) -> Points:
    """What searches have begun with, and what those are to begin with that were planned with this sweep."""
    if not paths.ledger.exists():
        return {}
    with Ledger(paths.ledger) as ledger:
        planned = ledger.latest("plan")
        cells = planned.body.get("cells", ()) if planned else ()
        noted = {cell["id"]: cell["search"] for cell in cells if cell["search"].get("warm_start") == name}
        return {cell: search.get("learned", []) for cell, search in noted.items()} | _begun(ledger)


def _begun(ledger: Ledger) -> Points:
    """What the searches of a ledger have begun with."""
    firsts = (event.body for event in ledger.events("ask") if event.body["number"] == 0)
    return {body["cell"]: body.get("learned", []) for body in firsts}


def _found(cells: Collection[SearchedCell], root: Root, name: str) -> Points:
    """What a sweep has for some cells."""
    searches = _searches(root, name)
    alike = {cell.id: [search for search in searches if _is_alike(search.cell, cell)] for cell in cells}
    if not any(alike.values()):
        raise InputError(
            f"search.warm_start: sweep '{name}' has searched no method over the same fields: there"
            f" {_told(search.cell for search in searches)}, here {_told(cells)}"
        )
    return {cell.id: _of_the_nearest(cell, alike[cell.id], name) for cell in cells}


def _searches(root: Root, name: str) -> list[CellSearch]:
    with suppress(BusyError):  # its ledger lies here, where its driver writes it
        renew(root, name)
    try:
        return searches_of(root.sweep(root.choose(name)))[1]
    except InputError as error:
        raise InputError(f"search.warm_start: {error}") from error


def _is_alike(one: SearchedCell, other: SearchedCell) -> bool:
    return one.method == other.method and one.space.keys() == other.space.keys()


def _of_the_nearest(cell: SearchedCell, alike: Iterable[CellSearch], name: str) -> list[dict[str, Any]]:
    """The best points of a cell's own pair; where it has none in the cell's range, of the other pairs."""
    here = {place.pair for place in cell.places}
    same, others = list[CellSearch](), list[CellSearch]()
    for search in alike:
        (same if here & {place.pair for place in search.cell.places} else others).append(search)
    return best_points(same, cell.space, sweep=name) or best_points(others, cell.space, sweep=name)


def _told(cells: Iterable[SearchedCell]) -> str:
    each = dict.fromkeys(f"{cell.method} ({_fields(cell.space)})" for cell in cells)
    return ", ".join(each) or "nothing is searched"


def _fields(space: Space) -> str:
    return ", ".join(sorted(name.removeprefix(OF_RECIPE) for name in space))


# -- what `sweep plan` says -------------------------------------------------------------------------------------------


def first_points(plan: Plan, ledger: Ledger | None) -> list[str]:
    """With what the searches of a plan begin that learn from others, a line each.

    Args:
        plan: of a spec.
        ledger: the sweep's; None where it has none yet.
    """
    if not any("warm_start" in cell.search or "transfer" in cell.search for cell in plan.cells):
        return []
    lines = list(_lines(plan, _begun(ledger) if ledger else {}))
    more = [f"and {len(lines) - MOST_TOLD} more searches"] if len(lines) > MOST_TOLD else []
    return lines[:MOST_TOLD] + more


def _lines(plan: Plan, begun: Mapping[str, list[dict[str, Any]]]) -> Iterator[str]:
    ahead, names = leaders(plan.cells), {cell.id: cell.name for cell in plan.cells}
    for cell in plan.cells:
        points = begun.get(cell.id, cell.search.get("learned", []))
        if points:
            yield f"{cell.name} begins with {in_words(points)}"
        elif cell.id in begun and (cell.id in ahead or "warm_start" in cell.search):
            yield f"{cell.name} has begun without another search's points"
        elif cell.id in ahead:
            yield f"{cell.name} begins with the best of {names[ahead[cell.id]]}, once that has come to its end"
        elif "warm_start" in cell.search:
            yield f"{cell.name} begins as ever: sweep '{cell.search['warm_start']}' has nothing for it in its range"
