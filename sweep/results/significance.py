"""Which rows of the table are told apart: each column's best, its ties, and what differs from the baseline.

A column is one pair (and one recipe). Two rows are compared by the noise that the rows of the column have in common
(:mod:`sweep.statistics.noise`), in two families. **Against the baseline**: every other row, planned comparisons,
corrected by Holm. **Against the highest mean**: every other row, corrected by Holm over all pairs of rows, since the
same seeds have picked it; where one of the two is the baseline, the planned comparison of the two counts, so that no
row has its star beside a baseline that it is "not told apart" from. A row is the **best** only where every other row
is shown to be worse; otherwise the highest mean and the rows that it is not told apart from are **tied**. A row of too
few seeds is tied, however high its mean: one lucky seed neither wins nor keeps the others from being compared. Over all
cells of a row the same is done with the rows' mean differences under each pair in place of the seeds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from sweep.results.rows import Row, Standing
from sweep.statistics.noise import Column, against
from sweep.statistics.paired import FEWEST, mean, paired, shows


@dataclass(frozen=True)
class Verdict:
    """How a row stands beside the highest mean among those that it is compared with."""

    standing: Standing
    p: float | None = None
    """Of the comparison with the highest mean, corrected; None for that row itself, and where no test was made."""


@dataclass(frozen=True)
class Overall:
    """A row over all pairs."""

    mean: float
    """Of the row's means under each pair."""
    delta: float | None
    """Mean difference to the baseline's row, over the pairs; None for the baseline and where there is none."""
    verdict: Verdict
    p_delta: float | None = None
    """Of the test against the baseline, corrected."""


def columns(rows: Iterable[Row]) -> dict[tuple[str, str], list[Row]]:
    """Rows by recipe and pair: those that are compared with each other."""
    places: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        places.setdefault((row.recipe, row.pair), []).append(row)
    return places


def judged(rows: list[Row], base: str | None) -> list[Row]:
    """The rows with their standing and p-values.

    Args:
        rows: of all columns.
        base: label of the baseline, which the differences Δ are tested against.
    """
    verdicts: dict[tuple[str, str, str], Verdict] = {}
    deltas: dict[tuple[str, str, str], float | None] = {}
    for (recipe, pair), some in columns(rows).items():
        values = {row.label: row.values for row in some if row.values}
        column = Column(values)
        planned = against(column, base, values) if base in values else {}
        found = standings(values, base, column, planned)
        verdicts |= {(recipe, pair, name): verdict for name, verdict in found.items()}
        deltas |= {(recipe, pair, name): p for name, p in planned.items()}
    return [_with(row, verdicts, deltas) for row in rows]


def _with(
    row: Row,
    verdicts: Mapping[tuple[str, str, str], Verdict],
    deltas: Mapping[tuple[str, str, str], float | None],
) -> Row:
    place = (row.recipe, row.pair, row.label)
    verdict = verdicts.get(place, Verdict(""))
    return replace(row, standing=verdict.standing, p_best=verdict.p, p_delta=deltas.get(place))


def standings(
    values: Mapping[str, Mapping[int, float]],
    base: str | None = None,
    column: Column | None = None,
    planned: Mapping[str, float | None] | None = None,
) -> dict[str, Verdict]:
    """Each row's standing in its column, from its accuracies by seed. Where no test can be made, nobody stands out.

    Args:
        values: accuracies by row and seed.
        base: the baseline's row, if there is one.
        column: of these values, where it is there already.
        planned: p-values of the rows' differences to the baseline's, by row, of :func:`against`.
    """
    means = {name: mean(some.values()) or 0.0 for name, some in values.items()}
    whole = column or Column(values)
    own = planned or {}
    return _standings(means, values, base, lambda top: whole, lambda name, top: paired(values[name], values[top]), own)


def _standings(
    means: Mapping[str, float],
    places: Mapping[str, Collection[int | str]],
    base: str | None,
    column: Callable[[str], Column],
    differences: Callable[[str, str], list[float]],
    planned: Mapping[str, float | None],
) -> dict[str, Verdict]:
    if not means:
        return {}
    top = top_of(means, places)
    ps = against(column(top), top, means, picked=top != base)
    if base in ps:  # a star beside the highest mean says already that the baseline is worse
        ps[str(base)] = min((p for p in (ps[str(base)], planned.get(top)) if p is not None), default=None)
    if all(p is None for p in ps.values()):
        return {name: Verdict("") for name in means}
    below = {name for name in ps if (mean(differences(name, top)) or 0.0) < 0}  # over common places
    verdicts = {name: Verdict("worse" if shows(p) and name in below else "tied", p) for name, p in ps.items()}
    alone = all(verdict.standing == "worse" for verdict in verdicts.values())
    return {name: verdicts.get(name, Verdict("best" if alone else "tied")) for name in means}


def top_of(means: Mapping[str, float], places: Mapping[str, Collection[int | str]]) -> str:
    """The row that others are tested against: the first with the highest mean among those that can be tested.

    Args:
        means: by row; at least one.
        places: the seeds (or pairs) that each row has a number of. A row can be tested where it shares as many as a
            test needs with some other; where none can, all count.
    """
    known = {name: frozenset(places[name]) for name in means}
    times = Counter(known.values())
    testable = {
        own for own in times if any(len(own & other) >= FEWEST for other, n in times.items() if other != own or n > 1)
    }
    return max((name for name in means if not testable or known[name] in testable), key=lambda name: means[name])


def overall(rows: Iterable[Row], base: str | None) -> dict[tuple[str, str], Overall]:
    """Rows over all pairs, by recipe and label: those that have a number under each of at least two pairs."""
    lines: dict[tuple[str, str], Overall] = {}
    for recipe, some in _by_recipe(rows).items():
        pairs = {pair for by_pair in some.values() for pair in by_pair}
        whole = {name: by_pair for name, by_pair in some.items() if by_pair.keys() == pairs and len(pairs) > 1}
        whole = {name: by_pair for name, by_pair in whole.items() if all(row.values for row in by_pair.values())}
        lines |= {(recipe, name): line for name, line in _overall(whole, base).items()}
    return lines


def _by_recipe(rows: Iterable[Row]) -> dict[str, dict[str, dict[str, Row]]]:
    """Rows by recipe, label and pair."""
    recipes: dict[str, dict[str, dict[str, Row]]] = {}
    for row in rows:
        recipes.setdefault(row.recipe, {}).setdefault(row.label, {})[row.pair] = row
    return recipes


def _overall(whole: Mapping[str, Mapping[str, Row]], base: str | None) -> dict[str, Overall]:
    means = {name: mean(row.mean or 0.0 for row in by_pair.values()) or 0.0 for name, by_pair in whole.items()}

    def column(reference: str) -> Column:
        return over_pairs(whole, reference)

    def differences(name: str, other: str) -> list[float]:
        return list(_by_pair(whole[name], whole[other]).values())

    planned = against(column(str(base)), base, whole) if base in whole else {}
    verdicts = _standings(means, whole, base, column, differences, planned)
    return {
        name: Overall(
            mean=means[name],
            delta=mean(differences(name, str(base))) if name in planned else None,
            verdict=verdict,
            p_delta=planned.get(name),
        )
        for name, verdict in verdicts.items()
    }


def over_pairs(whole: Mapping[str, Mapping[str, Row]], reference: str) -> Column:
    """The rows over all pairs: of each its mean difference to the reference's row under each pair.

    Args:
        whole: rows by label and pair.
        reference: the label of the row that others are compared with.
    """
    return Column({name: _by_pair(by_pair, whole[reference]) for name, by_pair in whole.items()})


def _by_pair(ours: Mapping[str, Row], theirs: Mapping[str, Row]) -> dict[str, float]:
    """Mean difference over common seeds, under each pair that has any."""
    found = {pair: mean(paired(ours[pair].values, theirs[pair].values)) for pair in ours if pair in theirs}
    return {pair: difference for pair, difference in found.items() if difference is not None}


def highest(rows: Iterable[Row]) -> Row | None:
    """The row of a column that others are tested against (see :func:`top_of`); None where none has a number."""
    some = {row.label: row for row in rows if row.values}
    if not some:
        return None
    return some[top_of({name: row.mean or 0.0 for name, row in some.items()}, {n: r.values for n, r in some.items()})]


def untested_ties(rows: Iterable[Row]) -> list[Row]:
    """Of a judged column, the rows that are tied with its highest mean for want of a test against it."""
    some = list(rows)
    top = highest(some)
    return [row for row in some if row.standing == "tied" and row.p_best is None and row is not top]


def common_seeds(rows: Iterable[Row]) -> int:
    """Seeds that a column's highest mean shares with some other row, at most; FEWEST of them make a test."""
    some = list(rows)
    top = highest(some)
    seeds = top.values.keys() if top else set[int]()
    return max((len(row.values.keys() & seeds) for row in some if row is not top), default=0)


def testable(rows: Iterable[Row]) -> bool:
    """Whether a column has enough common seeds for a test."""
    return common_seeds(rows) >= FEWEST
