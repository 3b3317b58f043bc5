"""How a search was begun: one of an earlier release goes on as that release would have gone on.

The first suggestion of a search notes the rules by which it was made (:data:`sweep.plan.slots.RULES`); those of before
there were any note none. What is not begun yet takes today's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sweep.ledger.store import Ledger
from sweep.plan.slots import PAUSING, RULES, Plan, SearchedCell
from sweep.search.cell_search import CellSearch
from trainers.errors import InputError

LATER = ("rules", "begins")
"""What a cell's `search` holds that the first rules know nothing of."""
KNOWN = (1, RULES, PAUSING)
"""The rules by which this release can go on."""


def as_begun(plan: Plan, ledger: Ledger | None) -> Plan:
    """A spec's plan, each of its searches by the rules by which it was begun.

    Args:
        plan: as the spec expands.
        ledger: the sweep's; None where it has none yet.

    Raises:
        InputError: where a later release has begun one, by rules that are not known here.
    """
    if ledger is None or not plan.cells:
        return plan
    begun = {
        event.body["cell"]: event.body.get("rules", 1) for event in ledger.events("ask") if event.body["number"] == 0
    }
    return replace(plan, cells=tuple(_by(begun[cell.id], cell) if cell.id in begun else cell for cell in plan.cells))


def _by(rules: int, cell: SearchedCell) -> SearchedCell:
    if rules not in KNOWN:
        raise InputError(
            f"the search {cell.name} was begun by a later release of sweep, by rules that this one does not know; go on"
            " with that release"
        )
    left_out = {"pauses"} | (set(LATER) if rules == 1 else set())
    search = {name: value for name, value in cell.search.items() if name not in left_out}
    search |= {"rules": rules} if rules > 1 else {}
    return replace(cell, search=search | ({"pauses": True} if rules == PAUSING else {}))


def begun_by(search: CellSearch) -> dict[str, Any]:
    """What the first suggestion of a search notes: its rules, and what it begins with that another has found."""
    rules = {"rules": search.cell.rules} if search.cell.rules > 1 else {}
    return rules | ({"learned": search.learned} if search.learned else {})
