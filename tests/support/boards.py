"""Sweeps with made-up results, for what is tested of the leaderboard."""

from __future__ import annotations

from typing import Any

from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan, Slot
from sweep.results.board import Leaderboard, leaderboard
from sweep.results.caption import caption
from sweep.results.grid import grid
from sweep.results.notes import notes
from sweep.results.rows import Row
from tests.support.examples import begin, record, slot_of, small_spec

Results = dict[tuple[str, int], float]

RESULTS: Results = {
    ("scratch", 0): 80.0,
    ("scratch", 1): 83.0,
    ("kd", 0): 90.0,
    ("kd", 1): 92.0,
    ("dhkd α=0.5", 0): 91.0,
    ("dhkd α=0.5", 1): 94.0,
    ("dhkd α=1", 0): 88.0,
    ("dhkd α=1", 1): 88.5,
}


def tell(ledger: Ledger, plan: Plan, results: Results = RESULTS, teacher: float = 97.25) -> None:
    """Everything finished, after one epoch each, with these accuracies."""
    begin(ledger, plan)
    for slot in plan.teachers:
        record(ledger, plan, slot, [teacher], val_accs=[teacher])
    for slot in plan.students:
        if (slot.label, slot.seed) in results:
            record(ledger, plan, slot, [results[slot.label, slot.seed]], val_accs=[50.0])


def cell(board: Leaderboard, label: str, pair: str = "resnet20→resnet8", recipe: str | None = None) -> Row:
    (found,) = [c for c in board.rows if (c.label, c.pair) == (label, pair) and recipe in (None, c.recipe)]
    return found


def rows(board: Leaderboard) -> dict[str, list[str]]:
    """The printed table by method."""
    columns, lines = grid(board)
    place = columns.index("method")
    return {line[place]: line for line in lines}


def said(board: Leaderboard) -> str:
    """All words under the table: caption and notes."""
    return " ".join([caption(board), *notes(board)])


# -- which number -------------------------------------------------------------------------------------------------


def three_epochs(ledger: Ledger, plan: Plan, paper: bool) -> Row:
    begin(ledger, plan)
    val = None if paper else [10.0, 30.0, 20.0]
    record(ledger, plan, slot_of(plan, "kd"), [95.0, 91.0, 92.0], val_accs=val)
    return cell(leaderboard(ledger), "kd")


# -- significance -------------------------------------------------------------------------------------------------

SEEDS = {"scratch": [80.0, 81.0, 80.3], "kd": [90.0, 90.6, 90.9], "dhkd α=0.5": [93.0, 93.8, 93.7]}
"""dhkd α=0.5 is 3.0, 3.2 and 2.8 points above kd."""
MATCHED = {"dhkd α=1": [93.3, 93.6, 94.0]}
BEHIND = {"dhkd α=1": [91.1, 91.6, 92.3]}


def of_three_seeds(ledger: Ledger, more: dict[str, list[float]], **changes: Any) -> Leaderboard:
    plan = build_plan(small_spec(seeds=3, **changes))
    accuracies = SEEDS | more
    tell(ledger, plan, {(name, seed): value for name, some in accuracies.items() for seed, value in enumerate(some)})
    return leaderboard(ledger)


# -- searches -----------------------------------------------------------------------------------------------------

GDKD = {"gdkd": {"k": {"range": [2, 8]}, "kl": {"choice": ["forward", "both"]}}}
SEARCHED: dict[str, Any] = {
    "methods": ["kd", GDKD],
    "seeds": 3,
    "search": {"trials": 6, "sampler": "grid", "pruner": "none", "first": []},
}
"""The grid tries k = 2, 3 and 4, each with both directions."""


def searched_plan(**changes: Any) -> Plan:
    """A plan whose searches try their points in the grid's order, from its first on."""
    search = {"search": {"first": []} | changes.get("search", SEARCHED["search"])}
    return build_plan(small_spec(**(SEARCHED | changes | search)))


def better_with_k(slot: Slot) -> float:
    """kd 80; gdkd 70 + k, and half a point more with `both`; each seed one more than the one before."""
    more = 10.0 if slot.method == "kd" else slot.varied["k"] + (slot.varied["kl"] == "both") / 2
    return 70.0 + more + slot.seed
