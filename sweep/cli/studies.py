"""What `sweep studies` prints: every search of a sweep, how far it is, and what it has found."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sweep.layout import SweepPaths
from sweep.plan.labels import label, untuned
from sweep.search.cell_search import CellSearch
from sweep.search.optuna_storage import searches_of
from trainers.errors import InputError


def rows(paths: SweepPaths) -> list[dict[str, Any]]:
    """One row per searched cell: how far it is, and its best configuration.

    Raises:
        InputError: when the sweep searches nothing.
    """
    plan, searches = searches_of(paths)
    if not searches:
        raise InputError(f"sweep '{plan.name}' searches nothing; a range or a choice in its spec would be searched")
    return [_row(search) for search in searches]


def _row(search: CellSearch) -> dict[str, Any]:
    cell, states = search.cell, Counter(asked.state for asked in search.asked)
    best = next(iter(search.chosen()), None)
    return {
        "pair": cell.pair,
        "recipe": cell.recipe,
        "search": untuned(cell.label),
        "tried": f"{len(search.asked) - states['running']}/{cell.budget}",
        **{state: states[state] for state in ("finished", "pruned", "failed", "running")},
        "best": " ".join(f"{value:.6g}" for value in best.values) if best else "",
        "with": label("", best.params).strip() if best else "",
    }
