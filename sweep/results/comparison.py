"""Is mine better? A row beside others: under each pair and over all pairs what they differ by, and whether it shows.

The test is the leaderboard's (:mod:`sweep.statistics.noise`): the noise is that of all rows of the column, so a
comparison has the uncorrected p-value that the leaderboard's marks are made of. What is corrected for is what is asked:
the rows that are named, under each pair, and once more over the pairs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sweep.results.board import Leaderboard
from sweep.results.power import seeds_needed
from sweep.results.rows import Row
from sweep.results.significance import over_pairs
from sweep.statistics.noise import Column, Contrast, corrected
from sweep.statistics.paired import FEWEST, mean, paired, shows
from sweep.terminal import spelt
from trainers.errors import InputError, unknown_name

OVER_PAIRS = "all pairs"
"""In the place of a pair."""


@dataclass(frozen=True)
class Difference:
    """What two rows differ by under one pair or over all of them, in percentage points."""

    mine: str
    """Label of the row."""
    against: str
    """Label of the row that it is compared with."""
    recipe: str
    pair: str
    seeds: int
    """Common ones, over which all that follows is taken; :data:`OVER_PAIRS`: common pairs."""
    ours: float | None
    """Mean accuracy in percent; None without common seeds."""
    theirs: float | None
    difference: float | None
    """``ours - theirs``."""
    low: float | None
    """The 95 % confidence interval's lower end; None where the seeds are too few, or all differences equal."""
    high: float | None
    p: float | None
    """Of the test that they do not differ; None where there is no interval."""
    p_corrected: float | None
    """For the rows that this one is compared with (Holm)."""
    p_table: float | None
    """As the leaderboard corrects it, for all rows of the column; None where neither of the two is the baseline."""
    more_seeds: int | None
    """Seeds to add for a test to show a difference of this size with a power of 80 %, or to make a test at all; 0 where
    it is shown; None where it cannot be said: over pairs, and beyond a thousand seeds."""
    missing: str
    """Trials of the two rows that gave no number: ``1 diverged (mykd)``."""

    @property
    def verdict(self) -> str:
        """``better``, ``worse``, ``not told apart``, or ``not tested``."""
        if self.p_corrected is None:
            return "not tested"
        if not shows(self.p_corrected):
            return "not told apart"
        return "better" if (self.difference or 0.0) > 0 else "worse"


def compare(board: Leaderboard, mine: str, against: str) -> list[Difference]:
    """The differences of two rows under every pair (and recipe) that has both; see :func:`contrasts`."""
    return [found for found in contrasts(board, mine, [against]) if found.pair != OVER_PAIRS]


def contrasts(board: Leaderboard, mine: str, against: Sequence[str]) -> list[Difference]:
    """A row against each of some others, under every pair (and recipe) that has both, and over all pairs.

    Args:
        board: a sweep's table, or that of several (:func:`sweep.results.together.together`).
        mine: a row's label, such as ``dhkd α=0.5``, its name in print, or a method with one row under each pair.
        against: the same of each row that it is compared with.

    Raises:
        InputError: for a name that has no row, or several under a pair, for a row against itself, and where no pair has
            both.
    """
    ours = _named(board, mine)
    others = {name: _named(board, name) for name in dict.fromkeys(against)}
    for name, theirs in others.items():
        places = ours.keys() & theirs.keys()
        if not places:
            raise InputError(f"'{mine}' and '{name}' stand under no common pair of sweep '{board.plan.name}'")
        if any(ours[place].label == theirs[place].label for place in places):
            raise InputError(f"'{name}' is the row of '{mine}' itself; name another one to compare it with")
    under = [found for place, row in ours.items() for found in _under(board, row, place, others)]
    over = [
        found for recipe in dict.fromkeys(recipe for recipe, _ in ours) for found in _over(board, recipe, ours, others)
    ]
    return [*under, *over]


def in_print(board: Leaderboard, differences: Iterable[Difference]) -> list[Difference]:
    """The same for readers: rows under their names in print, where records have their labels."""
    return [_in_print(board.printed.name, found) for found in differences]


def _in_print(name: Callable[[str], str], found: Difference) -> Difference:
    rows = "|".join(re.escape(label) for label in (found.mine, found.against))
    missing = re.sub(rf"\((?:{rows})\)(?=,|$)", lambda row: f"({name(row[0][1:-1])})", found.missing)
    return replace(found, mine=name(found.mine), against=name(found.against), missing=missing)


def _named(board: Leaderboard, name: str) -> dict[tuple[str, str], Row]:
    """A name's rows by recipe and pair: those of that label, or else printed so, or else of that method; labels also as
    a terminal spells them that has no Greek letters."""
    printed = board.printed.name
    ways: list[Callable[[Row], str]] = [lambda row: row.label, lambda row: printed(row.label), lambda row: row.method]
    ways += [lambda row: spelt(row.label, "ascii"), lambda row: spelt(printed(row.label), "ascii")]
    rows = next((some for way in ways if (some := [row for row in board.rows if way(row) == name])), [])
    if not rows:
        known = [text for row in board.rows for text in (row.label, printed(row.label))]
        raise InputError(unknown_name("row", name, list(dict.fromkeys(known))))
    places: dict[tuple[str, str], Row] = {}
    for row in rows:
        other = places.setdefault((row.recipe, row.pair), row)
        if other is not row:
            labels = ", ".join(f"'{label}'" for label in dict.fromkeys(row.label for row in rows))
            raise InputError(f"'{name}' has several rows under {row.pair}; name one of them: {labels}")
    return places


def _under(
    board: Leaderboard, ours: Row, place: tuple[str, str], others: Mapping[str, Mapping[tuple[str, str], Row]]
) -> list[Difference]:
    """Under one pair."""
    theirs = [rows[place] for rows in others.values() if place in rows]
    column = Column({row.label: row.values for row in board.rows if (row.recipe, row.pair) == place and row.values})
    found = [_contrast(column, ours.label, row.label) if ours.values and row.values else None for row in theirs]
    tested = sum(one is not None for one in found)
    return [
        _difference(board, ours, row, one, p, tested)
        for row, one, p in zip(theirs, found, corrected(found), strict=True)
    ]


def _contrast(column: Column, ours: str, theirs: str) -> Contrast | None:
    return column.against(theirs, [ours])[ours]


def _difference(
    board: Leaderboard, ours: Row, theirs: Row, found: Contrast | None, p: float | None, tested: int
) -> Difference:
    common = sorted(ours.values.keys() & theirs.values.keys())
    low, high = found.interval if found else (None, None)
    table = {theirs.label: ours.p_delta, ours.label: theirs.p_delta}
    return Difference(
        mine=ours.label,
        against=theirs.label,
        recipe=ours.recipe,
        pair=ours.pair,
        seeds=len(common),
        ours=mean(ours.values[seed] for seed in common),
        theirs=mean(theirs.values[seed] for seed in common),
        difference=mean(paired(ours.values, theirs.values)),
        low=low,
        high=high,
        p=found.p if found else None,
        p_corrected=p,
        p_table=table.get(board.baseline or ""),
        more_seeds=_more(found, p, len(common), tested),
        missing=_missing([ours, theirs]),
    )


def _more(found: Contrast | None, p: float | None, seeds: int, tested: int) -> int | None:
    if found is None:
        return FEWEST - seeds if seeds < FEWEST else None
    if shows(p):
        return 0
    needed = seeds_needed(found, tested)
    return None if needed is None else max(needed - seeds, 1)


def _missing(rows: Iterable[Row]) -> str:
    return ", ".join(f"{count} {state} ({row.label})" for row in rows for state, count in sorted(row.missing.items()))


# -- over all pairs -----------------------------------------------------------------------------------------------


def _over(
    board: Leaderboard,
    recipe: str,
    mine: Mapping[tuple[str, str], Row],
    others: Mapping[str, Mapping[tuple[str, str], Row]],
) -> list[Difference]:
    """Over the pairs of one recipe, where there are several."""
    lines = _lines(board, recipe)
    ours = {pair: row for (of, pair), row in mine.items() if of == recipe}
    rows = [{pair: row for (of, pair), row in theirs.items() if of == recipe} for theirs in others.values()]
    rows = [theirs for theirs in rows if len(ours.keys() & theirs.keys()) > 1]
    found = [_over_contrast(lines, ours, theirs) for theirs in rows]
    return [
        _mean_difference(board, recipe, ours, theirs, one, p)
        for theirs, one, p in zip(rows, found, corrected(found), strict=True)
    ]


def _lines(board: Leaderboard, recipe: str) -> dict[str, dict[str, Row]]:
    """The table's lines that have a number under every pair, whose noise is that of a row over the pairs."""
    lines = {label: rows for (of, label), rows in board.lines.items() if of == recipe}
    pairs = {pair for rows in lines.values() for pair in rows}
    return {
        label: rows for label, rows in lines.items() if sum(bool(row.values) for row in rows.values()) == len(pairs)
    }


def _over_contrast(
    lines: Mapping[str, Mapping[str, Row]], ours: Mapping[str, Row], theirs: Mapping[str, Row]
) -> Contrast | None:
    names = [next(iter(rows.values())).label for rows in (ours, theirs)]
    column = over_pairs({**lines, names[0]: ours, names[1]: theirs}, names[1])
    return _contrast(column, *names)


def _mean_difference(
    board: Leaderboard,
    recipe: str,
    ours: Mapping[str, Row],
    theirs: Mapping[str, Row],
    found: Contrast | None,
    p: float | None,
) -> Difference:
    mine, other = (next(iter(rows.values())).label for rows in (ours, theirs))
    both = [(ours[pair], theirs[pair]) for pair in ours if pair in theirs]
    seeds = [(row, its, row.values.keys() & its.values.keys()) for row, its in both]
    there = [(row, its, common) for row, its, common in seeds if common]
    low, high = found.interval if found else (None, None)
    overall = {name: line.p_delta for (of, name), line in board.overall.items() if of == recipe}
    return Difference(
        mine=mine,
        against=other,
        recipe=recipe,
        pair=OVER_PAIRS,
        seeds=len(there),
        ours=mean(mean(row.values[seed] for seed in common) or 0.0 for row, _, common in there),
        theirs=mean(mean(its.values[seed] for seed in common) or 0.0 for _, its, common in there),
        difference=mean(mean(paired(row.values, its.values)) or 0.0 for row, its, _ in there),
        low=low,
        high=high,
        p=found.p if found else None,
        p_corrected=p,
        p_table={other: overall.get(mine), mine: overall.get(other)}.get(board.baseline or ""),
        more_seeds=0 if shows(p) else None,
        missing="",
    )


def records(differences: Sequence[Difference]) -> list[dict[str, Any]]:
    """One flat record for each."""
    return [asdict(difference) | {"verdict": difference.verdict} for difference in differences]
