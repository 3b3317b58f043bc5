"""The caption of the table in two sentences: what the numbers are, and what the marks mean.

All else that a careful reader asks – how it was tested, what was selected, what is missing – stands in
:mod:`sweep.results.notes`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from search_spaces.table import MEAN
from sweep.results.notes import DIFFERS, OTHER_RECIPE, TIED, compared, notes, tested, untested
from sweep.statistics.paired import shows

if TYPE_CHECKING:
    from sweep.results.board import Leaderboard


def caption(board: Leaderboard) -> str:
    """Both sentences; one where there are no marks to tell of."""
    return " ".join(part for part in (_numbers(board), _marks(board)) if part)


def below(board: Leaderboard) -> list[str]:
    """What stands under the table, a paragraph each: the caption, what searches have found, and the notes."""
    return [caption(board), *board.findings, *notes(board)]


def _numbers(board: Leaderboard) -> str:
    what = "best epoch on the test set, as the papers report it" if board.metric == "best" else "last epoch"
    parts = [f"Top-1 test accuracy in %, {what}: mean ± standard deviation (number of seeds)"]
    if _has_deltas(board):
        parts.append(f"Δ: mean difference to {board.printed.name(str(board.baseline))} over common seeds")
    if MEAN in board.columns:
        parts.append("mean: over all pairs")
    if board.published:
        parts.append("published: the figure that most sources print, what others print in brackets")
        parts.append("gap: ours less theirs, and in standard deviations of ours (std)")
    return "; ".join(parts) + "."


def _has_deltas(board: Leaderboard) -> bool:
    return board.baseline is not None and board.printed.table.deltas


def _marks(board: Leaderboard) -> str:
    """What the marks that are there mean, or why none is."""
    parts = []
    standings = [row.standing for row in board.rows] + [line.verdict.standing for line in board.overall.values()]
    if "best" in standings:
        several = len({row.recipe for row in board.rows}) > 1
        column = "column (pair and recipe)" if several else "column"
        parts.append(f"Bold: the best of its {column}, every other row of which is shown to be worse")
    if "tied" in standings:
        parts.append(f"{TIED}: the highest mean where it is not alone, and what is not told apart from it")
    if _has_deltas(board) and _starred(board):
        parts.append(f"{DIFFERS}: a Δ that is told apart from 0")
    if compared(board) and not tested(board):
        parts += [reason.removesuffix(".") for reason in untested(board)]
    if any(row.recipe_differs for row in board.rows):
        parts.append(f"{OTHER_RECIPE}: trained by another recipe than its column")
    return "; ".join(parts) + "." if parts else ""


def _starred(board: Leaderboard) -> bool:
    ps = [row.p_delta for row in board.rows] + [line.p_delta for line in board.overall.values()]
    return any(map(shows, ps))
