"""The table: rows are methods, columns are pairs, each cell a mean over seeds.

:mod:`sweep.results` reads what came of the sweep, :mod:`sweep.rows` makes rows of it, :mod:`sweep.significance` says
which of them are told apart, and :mod:`sweep.table` and :mod:`sweep.caption` are how it is printed. Nothing that failed
is left out silently: each row counts what is missing and why.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from sweep import caption as words
from sweep import formats, published, table
from sweep.formats import Format
from sweep.ledger import Ledger
from sweep.plan import Plan
from sweep.published import Gap, Reported
from sweep.results import Results, read
from sweep.results import Trial as Trial
from sweep.results import distinct as distinct
from sweep.results import trials as trials
from sweep.rows import Row as Row
from sweep.rows import Shown, baseline, shown_epoch
from sweep.rows import rows as all_rows
from sweep.significance import Overall, judged, overall
from sweep.table import as_rich as as_rich
from sweep.table import grid as grid


@dataclass(frozen=True)
class Leaderboard:
    """The table of one sweep."""

    plan: Plan
    cells: tuple[Row, ...]
    teachers: dict[str, float]
    """Test accuracy in percent by the teacher's name in its pairs."""
    states: dict[str, int]
    """How many trials are in each state."""
    baseline: str | None
    """Label of the row that differences are taken against."""
    published: dict[tuple[str, str, str], Reported] | None = None
    """What is published of each cell, by recipe, label and pair; None where it was not asked for."""

    @cached_property
    def pairs(self) -> list[str]:
        return list(dict.fromkeys(cell.pair for cell in self.cells))

    @cached_property
    def rows(self) -> dict[tuple[str, str], dict[str, Row]]:
        """Cells by (recipe, label), then by pair."""
        table: dict[tuple[str, str], dict[str, Row]] = {}
        for cell in self.cells:
            table.setdefault((cell.recipe, cell.label), {})[cell.pair] = cell
        return table

    @cached_property
    def overall(self) -> dict[tuple[str, str], Overall]:
        """Rows over all pairs, by (recipe, label); of a table of one pair none."""
        return overall(self.cells, self.baseline)

    @property
    def metric(self) -> Shown:
        """Key of the number shown."""
        return shown_epoch(self.plan)

    @property
    def caption(self) -> str:
        """What is shown, what chose it, how it was tested, and what is missing."""
        return words.caption(self)

    @property
    def findings(self) -> list[str]:
        """What each search has found, one line each, and which of it is worth its multiply-accumulates."""
        found = [f"{cell.label}, {cell.pair}: {cell.tuned}" for cell in self.cells if cell.tuned]
        front = self._front()
        if front:
            places = "; ".join(f"{row.label}, {row.pair} ({row.mean:.2f} % at {macs:,} MACs)" for row, macs in front)
            found.append(f"Pareto front over all cells, test accuracy against the student's MACs: {places}")
        return found

    def _front(self) -> list[tuple[Row, int]]:
        """Tuned rows that no other beats in accuracy and in the student's MACs, where searches ask for those."""
        macs = {cell.pair: cell.student_macs for cell in self.plan.cells if cell.student_macs}
        rows = [(row, macs[row.pair]) for row in self.cells if row.tuned and row.mean is not None and row.pair in macs]

        def beaten(row: Row, cost: int) -> bool:
            mean = row.mean or 0.0
            others = [(other.mean or 0.0, its) for other, its in rows]
            return any(m >= mean and c <= cost and (m > mean or c < cost) for m, c in others)

        return sorted((one for one in rows if not beaten(*one)), key=lambda one: one[1])

    # -- published figures ------------------------------------------------------------------------------------------

    def reported(self, row: Row) -> Reported | None:
        """What is published of a row's cell, where that was asked for."""
        return (self.published or {}).get((row.recipe, row.label, row.pair))

    def published_teacher(self, pair: str) -> Reported | None:
        """What is published of a pair's teacher."""
        return published.reported_teacher(self.plan.dataset, pair, self.metric)

    def gap(self, row: Row) -> Gap | None:
        """A row's number against the published one."""
        theirs = self.reported(row)
        return published.gap(row, theirs) if theirs else None

    @cached_property
    def origins(self) -> tuple[str, ...]:
        """Where the published figures come from, in the order of the table; the first that prints each."""
        teachers = [self.published_teacher(pair) for pair in self.pairs] if self.published else []
        some = [*teachers, *(self.reported(row) for row in self.cells)]
        return tuple(dict.fromkeys(theirs.origins[0] for theirs in some if theirs is not None))


def leaderboard(ledger: Ledger) -> Leaderboard:
    """The table as the ledger has it now. Raises InputError when the sweep has no plan yet."""
    return board_of(read(ledger))


def board_of(results: Results) -> Leaderboard:
    """The table of a sweep's results."""
    base = baseline(results.plan)
    rows = all_rows(results, base)
    base = base if any(row.label == base for row in rows) else None
    return Leaderboard(results.plan, tuple(judged(rows, base)), results.teachers, results.states, base)


def with_published(board: Leaderboard) -> Leaderboard:
    """The table with the literature's numbers beside ours."""
    found = {
        (row.recipe, row.label, row.pair): theirs
        for row in board.cells
        if (theirs := published.reported(row, board.plan.dataset, board.metric)) is not None
    }
    return replace(board, published=found)


# -- formats ------------------------------------------------------------------------------------------------------


def records(board: Leaderboard) -> list[dict[str, Any]]:
    """One flat record per cell, for JSON, CSV, Parquet and MLflow's table; docs/leaderboard.md has the columns."""
    params = list(dict.fromkeys(key for row in board.cells for key in row.params))
    return [
        {
            "pair": row.pair,
            "label": row.label,
            "n": len(row.values),
            "mean": _rounded(row.mean),
            "std": _rounded(row.std),
            "delta": _rounded(row.delta),
            "p_delta": _rounded(row.p_delta),
            "standing": row.standing,
            "p_best": _rounded(row.p_best),
            "mean_best": _rounded(statistics.fmean(row.best.values()) if row.best else None),
            "mean_last": _rounded(statistics.fmean(row.last.values()) if row.last else None),
            "missing": sum(row.missing.values()),
            "tuned": row.tuned,
            "budget": row.budget,
            "recipe_differs": " ".join(f"{name}={value}" for name, (value, _) in row.recipe_differs.items()),
            **_published_record(board, row),
            "method": row.method,
            **{f"param.{key}": row.params.get(key) for key in params},
            "recipe": row.recipe,
            "dataset": board.plan.dataset,
            "sweep": board.plan.name,
        }
        for row in board.cells
    ]


def _published_record(board: Leaderboard, row: Row) -> dict[str, Any]:
    if board.published is None:
        return {}
    theirs, gap = board.reported(row), board.gap(row)
    return {
        "published": theirs.mean if theirs else None,
        "published_others": " ".join(f"{value:g}" for value in theirs.others) if theirs else "",
        "published_by": "; ".join(theirs.origins) if theirs else "",
        "gap": _rounded(gap.points if gap else None),
        "gap_stds": _rounded(gap.stds if gap else None),
        "reproduced": gap.reproduced if gap and gap.stds is not None else None,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def render(board: Leaderboard, how: Format) -> str:
    """The leaderboard as text (for a terminal, see :func:`as_rich`)."""
    if how in (Format.JSON, Format.CSV):
        return formats.listing(records(board), how)
    draw = {Format.MARKDOWN: table.to_markdown, Format.LATEX: table.to_latex}.get(how, table.to_text)
    return draw(board)


def to_parquet(board: Leaderboard) -> bytes:
    """The records as a Parquet file."""
    return formats.to_parquet(records(board))
