"""The table: rows are methods, columns are pairs, each cell a mean over seeds.

:mod:`sweep.results.read` reads what came of the sweep, :mod:`sweep.results.rows` makes rows of it,
:mod:`sweep.results.significance` says which of them are told apart, and :mod:`sweep.results.grid` and
:mod:`sweep.results.caption` are how it is printed. Nothing that failed is left out silently: each row counts what is
missing and why.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property

from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from sweep.results import published
from sweep.results.elsewhere import taken_from
from sweep.results.printed import Printed
from sweep.results.published import Gap, Reported
from sweep.results.read import Results, read
from sweep.results.rows import Row, Shown, baseline, shown_epoch
from sweep.results.rows import rows as all_rows
from sweep.results.significance import Overall, judged, overall


@dataclass(frozen=True)
class Leaderboard:
    """The table of one sweep."""

    plan: Plan
    rows: tuple[Row, ...]
    """Of all pairs, in the plan's order."""
    teachers: dict[str, float]
    """Test accuracy in percent by the teacher's name in its pairs."""
    states: dict[str, int]
    """How many trials are in each state."""
    baseline: str | None
    """Label of the row that differences are taken against."""
    taken: tuple[str, ...] = ()
    """Of each trial that was taken over from another sweep, that sweep's name."""
    samplers: dict[str, int] = field(default_factory=dict)
    """How many configurations of its searches each sampler suggested."""
    published: dict[tuple[str, str, str], Reported] | None = None
    """What is published of each cell, by recipe, label and pair; None where it was not asked for."""

    @cached_property
    def pairs(self) -> list[str]:
        """In the order of the table's columns."""
        return list(dict.fromkeys(row.pair for row in self.rows))

    @cached_property
    def lines(self) -> dict[tuple[str, str], dict[str, Row]]:
        """The printed lines: rows by (recipe, label), then by pair."""
        table: dict[tuple[str, str], dict[str, Row]] = {}
        for row in self.rows:
            table.setdefault((row.recipe, row.label), {})[row.pair] = row
        return table

    @cached_property
    def printed(self) -> Printed:
        """How it is printed."""
        return Printed.of(self.plan.table, {row.label: row.method for row in self.rows})

    @cached_property
    def columns(self) -> list[str]:
        """The pairs that are printed, and ``mean`` where that is, in order."""
        return self.printed.columns(self.pairs, mean=bool(self.overall))

    @cached_property
    def overall(self) -> dict[tuple[str, str], Overall]:
        """Lines over all pairs, by (recipe, label); of a table of one pair none."""
        return overall(self.rows, self.baseline)

    @property
    def metric(self) -> Shown:
        """Key of the number shown."""
        return shown_epoch(self.plan)

    @property
    def findings(self) -> list[str]:
        """What each search has found, one line each, and which of it is worth its multiply-accumulates."""
        name = self.printed.name
        told = [f"{name(row.label)}, {row.pair}: {row.tuned}" for row in self.rows if row.tuned]
        macs: dict[str, float] = {cell.pair: cell.student_macs for cell in self.plan.searched if cell.student_macs}
        taken = {cell.pair: cell.student_latency for cell in self.plan.searched if cell.student_latency}
        for costs, what, unit in ((macs, "MACs", "{:,} MACs"), (taken, "latency", "{:.3g} ms for one image")):
            front = self._front(costs)
            if front:
                places = "; ".join(
                    f"{name(row.label)}, {row.pair} ({row.mean:.2f} % at {unit.format(cost)})" for row, cost in front
                )
                told.append(f"Pareto front over all cells, test accuracy against the student's {what}: {places}")
        return told

    def _front(self, costs: dict[str, float]) -> list[tuple[Row, float]]:
        """Tuned rows that no other beats in accuracy and in what the student costs, by pair, where searches ask for
        that."""
        rows = [(row, costs[row.pair]) for row in self.rows if row.tuned and row.mean is not None and row.pair in costs]

        def beaten(row: Row, cost: float) -> bool:
            mean = row.mean or 0.0
            others = [(other.mean or 0.0, its) for other, its in rows]
            return any(m >= mean and c <= cost and (m > mean or c < cost) for m, c in others)

        return sorted((place for place in rows if not beaten(*place)), key=lambda place: place[1])

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
        some = [*teachers, *(self.reported(row) for row in self.rows)]
        return tuple(dict.fromkeys(theirs.origins[0] for theirs in some if theirs is not None))


def leaderboard(ledger: Ledger) -> Leaderboard:
    """The table as the ledger has it now. Raises InputError when the sweep has no plan yet."""
    return board_of(read(ledger))


def board_of(results: Results) -> Leaderboard:
    """The table of a sweep's results."""
    base = baseline(results.plan)
    rows = all_rows(results, base)
    base = base if any(row.label == base for row in rows) else None
    return Leaderboard(
        results.plan,
        tuple(judged(rows, base)),
        results.teachers,
        results.states,
        base,
        tuple(taken_from(results.trials)),
        dict(sum((Counter(searched.samplers) for searched in results.searches.values()), Counter())),
    )


def with_published(board: Leaderboard) -> Leaderboard:
    """The table with the literature's numbers beside ours."""
    figures = {
        (row.recipe, row.label, row.pair): theirs
        for row in board.rows
        if (theirs := published.reported(row, board.plan.dataset, board.metric)) is not None
    }
    return replace(board, published=figures)
