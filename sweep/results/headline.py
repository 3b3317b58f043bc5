"""What came out of a sweep, in a sentence: which row leads where, by how much, and how sure that is.

The tests are those of the table's marks (:mod:`sweep.results.significance`), so that sentence and marks say the same. A
row *leads* where a test shows it to be better than the baseline, or than every other row; else it *has the highest
accuracy*, and what it is not told apart from is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sweep.results.answer import corrected_p
from sweep.results.board import Leaderboard
from sweep.results.printed import Printed
from sweep.results.rows import Row, Standing
from sweep.results.significance import columns, common_seeds, highest
from sweep.statistics.paired import FEWEST, mean, paired, shows

UNFINISHED = frozenset(["waiting", "running", "interrupted", "paused", "to try", "searching"])
"""What a row lacks that it may still get."""
MOST_NAMED, MOST_RECIPES = 3, 3
"""Rows that are named as not told apart, and recipes that each have a clause; more are counted."""


def headline(board: Leaderboard) -> str:
    """What came out, in one sentence, as far as the sweep is."""
    rows = [row for row in board.rows if row.values]
    goes_on = any(UNFINISHED & row.missing.keys() for row in board.rows)
    count = f"{board.states.get('finished', 0)} of {'at most ' if board.plan.cells else ''}{board.plan.count} trials"
    if not rows:
        ends = "" if goes_on else _ends(board)
        return f"No student has finished: {ends}." if ends else f"No student has finished yet ({count})."
    told = _of_recipes(board, rows)
    return f"So far ({count}): {told}." if goes_on else f"{told}."


def _ends(board: Leaderboard) -> str:
    """How the students ended; what has finished of such a sweep are teachers and a search's own trials."""
    return ", ".join(f"{count} {state}" for state, count in sorted(board.states.items()) if state != "finished")


# -- what is told -------------------------------------------------------------------------------------------------


def _of_recipes(board: Leaderboard, rows: Sequence[Row]) -> str:
    """Recipes are not compared with each other: a clause for each, or of many, who has how many of them."""
    recipes: dict[str, list[Row]] = {}
    for row in rows:
        recipes.setdefault(row.recipe, []).append(row)
    if len(recipes) == 1:
        return _of_recipe(board, rows)
    if len(recipes) <= MOST_RECIPES:
        return "; ".join(f"{recipe}: {_of_recipe(board, some)}" for recipe, some in recipes.items())
    (label, most), *others = Counter(_leader(board, some) for some in recipes.values()).most_common()
    name = board.printed.name
    more = "".join(f", {name(other)} under {count}" for other, count in others)
    return f"{name(label)} has the highest accuracy under {most} of {len(recipes)} recipes{more}"


def _leader(board: Leaderboard, rows: Sequence[Row]) -> str:
    """The label of a recipe's leader: over all pairs, or under most of them."""
    over = _over_pairs(board, rows)
    return over.top if over else _most(rows)[0]


def _most(rows: Iterable[Row]) -> tuple[str, int]:
    """Who has the highest accuracy under most pairs, and under how many."""
    tops = Counter(top.label for some in columns(rows).values() if (top := highest(some)))
    return tops.most_common(1)[0]


def _of_recipe(board: Leaderboard, rows: Sequence[Row]) -> str:
    pairs = dict.fromkeys(row.pair for row in rows)
    if len(pairs) == 1:
        return _sentence(_under_pair(board, rows))
    over, name = _over_pairs(board, rows), board.printed.name
    if over is not None and (over.others or len({row.label for row in rows}) == 1):
        return f"{_sentence(over)}; {_by_pair(board, rows, over.top, len(pairs))}"
    label, count = _most(rows)
    of = len({row.pair for row in board.rows if row.recipe == rows[0].recipe})
    whole = f"only {name(over.top)} has" if over else "no row has"
    return f"{name(label)} has the highest accuracy under {count} of {of} pairs; {whole} a result under all of them"


def _by_pair(board: Leaderboard, rows: Sequence[Row], label: str, pairs: int) -> str:
    """Under how many pairs a row has the highest accuracy, and under how many it is shown to be better."""
    tops = sum(top.label == label for some in columns(rows).values() if (top := highest(some)))
    told = f"it has the highest accuracy under {tops or 'none'} of {pairs} pairs"
    if board.baseline in (None, label):
        return told
    better = sum(shows(row.p_delta) and (row.delta or 0.0) > 0 for row in rows if row.label == label)
    return f"{told}, and is shown to be better than {board.printed.name(str(board.baseline))} under {better or 'none'}"


# -- a column, or the mean over all -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Line:
    """What a row has under one pair, or over all."""

    mean: float
    standing: Standing
    p_best: float | None
    p_delta: float | None
    delta: float | None


@dataclass(frozen=True)
class _Column:
    """Rows that are compared with each other."""

    where: str
    """``under resnet20→resnet8``."""
    lines: Mapping[str, _Line]
    """By label, the highest first."""
    top: str
    baseline: str | None
    """Where it is one of the lines."""
    difference: Callable[[str, str], float | None]
    """By how many points a row is above another."""
    untested: str
    """Why there is no test, where there is none."""
    printed: Printed

    @property
    def others(self) -> list[str]:
        """All rows but the highest."""
        return [label for label in self.lines if label != self.top]

    @property
    def p(self) -> float | None:
        """Of the highest row against the baseline, as either of the two families of tests has it."""
        both = (self.lines[self.top].p_delta, self.lines[self.baseline].p_best if self.baseline else None)
        return min((p for p in both if p is not None), default=None)


def _under_pair(board: Leaderboard, rows: Sequence[Row]) -> _Column:
    found = {row.label: row for row in sorted(rows, key=lambda row: -(row.mean or 0.0))}
    top = highest(rows)
    return _Column(
        where=f"under {rows[0].pair}",
        lines={
            label: _Line(row.mean or 0.0, row.standing, row.p_best, row.p_delta, row.delta)
            for label, row in found.items()
        },
        top=top.label if top else rows[0].label,
        baseline=board.baseline if board.baseline in found else None,
        difference=lambda one, other: mean(paired(found[one].values, found[other].values)),
        untested=_why_untested(rows),
        printed=board.printed,
    )


def _why_untested(rows: Sequence[Row]) -> str:
    there = common_seeds(rows)
    if all(len(row.values) == 1 for row in rows):
        return "with one seed nothing is tested"
    if there < FEWEST:
        return f"nothing is tested: a test needs {FEWEST} common seeds, there {'is' if there == 1 else 'are'} {there}"
    return "nothing is tested: the differences are the same in every seed"


def _over_pairs(board: Leaderboard, rows: Sequence[Row]) -> _Column | None:
    """The mean over all pairs of a recipe; None where no row has one."""
    found = {label: line for (recipe, label), line in board.overall.items() if recipe == rows[0].recipe}
    if not found:
        return None
    ordered = sorted(found, key=lambda label: -found[label].mean)
    pairs = len(dict.fromkeys(row.pair for row in rows))
    few = f"the mean is not tested: a test needs {FEWEST} pairs"

    def difference(one: str, other: str) -> float:
        exact = found[one].delta if other == board.baseline else None
        return found[one].mean - found[other].mean if exact is None else exact

    return _Column(
        where=f"over {pairs} pairs",
        lines={
            label: _Line(
                found[label].mean,
                found[label].verdict.standing,
                found[label].verdict.p,
                found[label].p_delta,
                found[label].delta,
            )
            for label in ordered
        },
        top=ordered[0],
        baseline=board.baseline if board.baseline in found else None,
        difference=difference,
        untested=few if pairs < FEWEST else "the mean is not tested: the differences are the same under every pair",
        printed=board.printed,
    )


# -- in words -----------------------------------------------------------------------------------------------------


def _sentence(column: _Column) -> str:
    top = column.lines[column.top]
    if not column.others:
        return f"{_top(column)} reaches {_reached(column)} {column.where}, and has nothing beside it"
    highest_ = f"{_top(column)} has the highest accuracy {column.where}, {_reached(column)}"
    if not any(line.standing for line in column.lines.values()):
        return f"{highest_}, {_ahead(column)}; {column.untested}"
    leads = f"{_top(column)} leads {column.where} with {_reached(column)}, {_ahead(column)}"
    if top.standing == "best":
        most = max(column.lines[label].p_best or 0.0 for label in column.others)
        return f"{leads}; every other row is shown to be worse ({corrected_p(most, 'at most')})"
    ties = [label for label in column.others if column.lines[label].standing == "tied" and label != column.baseline]
    if column.baseline in (None, column.top):
        return f"{highest_}, but is not told apart from {_named(column, ties)}"
    if shows(column.p) and (top.delta or 0.0) > 0:
        apart = f", but is not told apart from {_named(column, ties)}" if ties else ""
        return f"{leads} ({corrected_p(column.p)}){apart}"
    return f"{highest_}, {_beside_the_baseline(column, ties)}"


def _beside_the_baseline(column: _Column, ties: Sequence[str]) -> str:
    """What is said of a highest row that is not told apart from it, and which other row is shown to be better."""
    delta = column.lines[column.top].delta or 0.0
    by = f"{'−' if delta < 0 else '+'}{column.printed.size(delta)}"
    how = f"{by} points, {corrected_p(column.p)}" if column.p is not None else "no test of the two"
    nor = f", nor from {_named(column, ties)}" if ties else ""
    text = f"but is not told apart from {column.printed.name(str(column.baseline))}, the baseline ({how}){nor}"
    for label in column.others:
        line = column.lines[label]
        if shows(line.p_delta) and line.delta is not None and line.delta > 0:
            better = f"{column.printed.name(label)} is shown to be better by {column.printed.size(line.delta)} points"
            return f"{text}; {better} ({corrected_p(line.p_delta)})"
    return text


def _top(column: _Column) -> str:
    """The highest row, at the head of a sentence."""
    apposition = [
        *(["the baseline"] if column.top == column.baseline else []),
        *([] if column.printed.shows(column.top) else ["which the table does not show"]),
    ]
    return ", ".join([column.printed.name(column.top), *apposition]) + ("," if apposition else "")


def _reached(column: _Column) -> str:
    return f"{column.printed.number(column.lines[column.top].mean)} %"


def _ahead(column: _Column) -> str:
    """By how much the highest row is above the baseline, or above the next."""
    other = column.others[0] if column.baseline in (None, column.top) else str(column.baseline)
    who = f"{column.printed.name(other)}, {'the baseline' if other == column.baseline else 'the next'}"
    difference = column.difference(column.top, other)
    if difference is None:
        return f"with no seed in common with {who}"
    size = column.printed.size(difference)
    if float(size) == 0:
        return f"level with {who}"
    return f"{size} points {'below' if difference < 0 else 'above'} {who}"


def _named(column: _Column, ties: Sequence[str]) -> str:
    """Rows that the highest is not told apart from, as they follow a negation: ``a, b or c``."""
    more = len(ties) - MOST_NAMED
    if more > 1:
        return f"{column.printed.named(ties[:MOST_NAMED])} or {more} others"
    *most, last = map(column.printed.name, ties)
    return f"{', '.join(most)} or {last}" if most else last
