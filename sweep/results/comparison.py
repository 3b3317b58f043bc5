"""Two methods beside each other: under each pair what they differ by over their common seeds, and whether that shows.

The test and its correction are the leaderboard's (:mod:`sweep.results.statistics`), here over the pairs compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sweep.formats import Format, listing
from sweep.results.board import Leaderboard
from sweep.results.rows import Row
from sweep.results.statistics import holm, interval, mean, paired, paired_t
from sweep.text import signed
from trainers.errors import InputError, unknown_name


@dataclass(frozen=True)
class Difference:
    """What two rows differ by under one pair, in percentage points."""

    recipe: str
    pair: str
    seeds: int
    """Common ones, over which all that follows is taken."""
    ours: float | None
    """Mean accuracy in percent; None without common seeds."""
    theirs: float | None
    difference: float | None
    """``ours - theirs``."""
    low: float | None
    """The 95 % confidence interval's lower end; None where the seeds are too few, or all differences equal."""
    high: float | None
    p: float | None
    """Of the paired t test that they do not differ; None where there is no interval."""
    p_corrected: float | None
    """For the number of pairs compared (Holm)."""


def compare(board: Leaderboard, ours: str, theirs: str) -> list[Difference]:
    """The differences of two methods under every pair (and recipe) that has both.

    Args:
        board: a sweep's table.
        ours: a row's label, such as ``dhkd α=0.5``, or a method with one row under each pair.
        theirs: the same of what it is compared with.

    Raises:
        InputError: for a name that has no row, or several under a pair, and where no pair has both.
    """
    first, second = _named(board, ours), _named(board, theirs)
    places = [place for place in first if place in second]
    if not places:
        raise InputError(f"'{ours}' and '{theirs}' stand under no common pair of sweep '{board.plan.name}'")
    ps = [paired_t(paired(first[place].values, second[place].values)) for place in places]
    corrected = holm(ps)
    return [
        _difference(first[place], second[place], p, adjusted)
        for place, p, adjusted in zip(places, ps, corrected, strict=True)
    ]


def text(ours: str, theirs: str, differences: Sequence[Difference]) -> str:
    """A line a pair: ``+0.57 [−0.31, +1.45] over 3 seeds, p = 0.11``."""
    several = len({difference.recipe for difference in differences}) > 1
    rows = [
        {
            **({"recipe": difference.recipe} if several else {}),
            "pair": difference.pair,
            f"{ours} − {theirs}": "" if difference.difference is None else signed(difference.difference),
            "95 %": _between(difference),
            "p": "" if difference.p is None else f"{difference.p:.3g}",
            "p corrected": "" if difference.p_corrected is None else f"{difference.p_corrected:.3g}",
            "seeds": difference.seeds,
        }
        for difference in differences
    ]
    return listing(rows, Format.TABLE)


def _between(difference: Difference) -> str:
    if difference.low is None or difference.high is None:
        return ""
    return f"[{signed(difference.low)}, {signed(difference.high)}]"


def records(differences: Sequence[Difference]) -> list[dict[str, Any]]:
    """One flat record a pair."""
    return [asdict(difference) for difference in differences]


def _named(board: Leaderboard, name: str) -> dict[tuple[str, str], Row]:
    """A name's rows by recipe and pair: those of that label, or else of that method."""
    rows = [row for row in board.rows if row.label == name] or [row for row in board.rows if row.method == name]
    if not rows:
        known = list(dict.fromkeys(row.label for row in board.rows))
        raise InputError(unknown_name("row", name, known))
    places: dict[tuple[str, str], Row] = {}
    for row in rows:
        other = places.setdefault((row.recipe, row.pair), row)
        if other is not row:
            labels = ", ".join(f"'{label}'" for label in dict.fromkeys(row.label for row in rows))
            raise InputError(f"'{name}' has several rows under {row.pair}; name one of them: {labels}")
    return places


def _difference(ours: Row, theirs: Row, p: float | None, corrected: float | None) -> Difference:
    differences = paired(ours.values, theirs.values)
    common = ours.values.keys() & theirs.values.keys()
    low, high = interval(differences) or (None, None)
    return Difference(
        recipe=ours.recipe,
        pair=ours.pair,
        seeds=len(common),
        ours=mean(ours.values[seed] for seed in common),
        theirs=mean(theirs.values[seed] for seed in common),
        difference=mean(differences),
        low=low,
        high=high,
        p=p,
        p_corrected=corrected,
    )
