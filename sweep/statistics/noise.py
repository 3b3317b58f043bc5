"""How much of a difference between two rows chance explains: the noise that the rows of a column have in common.

A column is a table of `k` rows (methods) and `n` blocks (seeds, or pairs). Seeds are paired, so a block's own mean is
no noise, and three seeds of eight rows say more of the noise than three differences of two rows do::

    residual[i, s] = x[i, s] - mean(x[i, :]) - mean(x[:, s]) + mean(x)
    common         = sum(residual²) / ((k - 1)(n - 1))                    of (k - 1)(n - 1) degrees of freedom
    own[i]         = variance over s of (x[i, s] - mean of the others' x[·, s]) - common / (k - 1)   of n - 1 degrees

Rows need not be equally noisy. So

1. a row whose spread is beyond the others' by an F test at 1 % (Bonferroni over the rows; the noisiest first, half of
   the rows at most) is set aside: it says nothing of the noise of others;
2. where Bartlett's test at 10 % finds that the rows left are not equally noisy, and in a column of three rows or two,
   no noise is common to them, and two rows are compared by Student's paired t test of these alone;
3. no row is taken for quieter than its own seeds show: `V[i] = max(own[i], common)`, and two rows differ by Welch's
   test, with Satterthwaite's degrees of freedom (Biometrics Bulletin 2, 1946) in which the common part counts once::

       t = (mean(x[i, :]) - mean(x[j, :])) / √((V[i] + V[j]) / n)

4. a p-value is never below that of the paired t test of the two rows alone, uncorrected: no claim is made that their
   own seeds do not bear out.

`benchmarks/told_apart.py` measures how often this is wrong, and what it finds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sweep.statistics.paired import FEWEST, LEVEL, NO_SPREAD, Place, holm

SET_ASIDE = 0.01
"""Level of the F test by which a row is too noisy to say anything of the others' noise."""
UNLIKE = 0.1
"""Level of Bartlett's test by which the rows that are left have no noise in common."""
FEWEST_ROWS = 3
"""Rows that are left in common, at least. A table of no more has no noise in common."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Noise:
    """The noise of `R` tables at once; variances of one number."""

    common: Numbers
    """(R,)"""
    freedom: Numbers
    """(R,), of `common`."""
    own: Numbers
    """(R, k): what the row's own blocks show, n - 1 degrees each."""
    unlike: NDArray[np.bool_]
    """(R,): whether the rows differ too much in it to have one in common."""


def noise(tables: Numbers) -> Noise:
    """The common noise of each table, and each row's own.

    Args:
        tables: (R, k, n), with two rows and two blocks at least.
    """
    blocks = tables.shape[2]
    centred = tables - tables.mean(axis=2, keepdims=True)
    kept = np.ones(tables.shape[:2], bool)
    while True:
        count = kept.sum(axis=1)
        middle = np.einsum("rkn,rk->rn", centred, kept) / count[:, None]
        squares = ((centred - middle[:, None]) ** 2).sum(axis=2)
        found = _too_noisy(squares, kept, blocks)
        if found is None:
            break
        kept &= ~found
    freedom = (count - 1.0) * (blocks - 1)
    common = (squares * kept).sum(axis=1) / freedom
    unlike = _unlike(squares * (count / (count - 1.0))[:, None] / (blocks - 1), kept, blocks - 1)
    others = np.where(kept, count[:, None] - 1.0, count[:, None])  # whose mean a row is set against
    scale = np.where(kept, (1 + 1 / others) ** 2, 1.0)
    own = squares * scale / (blocks - 1) - common[:, None] / others
    return Noise(common, freedom, own, unlike)


def _unlike(own: Numbers, kept: NDArray[np.bool_], freedom: int) -> NDArray[np.bool_]:
    """Bartlett's test (Proceedings of the Royal Society A 160, 1937) that a table's rows are equally noisy, (R,)."""
    from scipy.special import chdtrc

    k = kept.sum(axis=1)
    some = np.maximum(own, NO_SPREAD**2)
    middle = (some * kept).sum(axis=1) / k
    apart = freedom * (k * np.log(middle) - (np.log(some) * kept).sum(axis=1))
    return np.asarray((chdtrc(k - 1.0, apart / (1 + (k + 1) / (3 * k * freedom))) < UNLIKE) & (k > 2))


def _too_noisy(squares: Numbers, kept: NDArray[np.bool_], blocks: int) -> NDArray[np.bool_] | None:
    """Of each table the noisiest row, (R, k), where it is too noisy to stay; None where no table has one."""
    from scipy.special import fdtrc

    k, count = kept.shape[1], kept.sum(axis=1, keepdims=True)
    may = count[:, 0] > max(FEWEST_ROWS, (k + 1) // 2)
    if not may.any():
        return None
    its = np.where(kept, squares * count / (count - 1.0), 0.0)
    rest = (squares * kept).sum(axis=1, keepdims=True) - its
    freedom = np.maximum(count - 2.0, 1.0) * (blocks - 1)
    ratio = (its / (blocks - 1)) / np.maximum(rest / freedom, NO_SPREAD**2)
    p = np.where(kept, fdtrc(blocks - 1.0, freedom, ratio), 1.0) * count
    places = np.arange(len(p))
    worst = p.argmin(axis=1)
    found = np.zeros_like(kept)
    found[places, worst] = may & (p[places, worst] < SET_ASIDE)
    return found if found.any() else None


@dataclass(frozen=True)
class Tests:
    """Every row of `R` tables against one of them: arrays of (R, k), or of the row that was picked."""

    difference: Numbers
    error: Numbers
    """Standard error of the difference by the noise in common."""
    freedom: Numbers
    p: Numbers
    own_error: Numbers
    """Standard error by the two rows' differences alone, n - 1 degrees."""
    own_p: Numbers
    """1 where these differences are all equal, which say nothing of their spread."""


def tests(tables: Numbers, reference: int, found: Noise | None = None) -> Tests:
    """Every row against that one (which against itself has p = 1).

    Args:
        tables: (R, k, n), with two rows and two blocks at least.
        reference: the row.
        found: the tables' noise, where it is known already.
    """
    from scipy.special import stdtr

    n = tables.shape[2]
    found = found or noise(tables)
    common = found.common[:, None]
    above = found.own > common * (1 + NO_SPREAD)  # of two rows both are the common noise, but for rounding
    own, shared = np.where(above, found.own, 0.0), np.where(above, 0.0, common)
    its = slice(reference, reference + 1)
    together, apart = shared + shared[:, its], own**2 + own[:, its] ** 2
    variance = together + own + own[:, its]
    below = together**2 / found.freedom[:, None] + apart / (n - 1)
    freedom = np.maximum(np.divide(variance**2, below, out=np.full_like(variance, n - 1.0), where=below > 0), 1.0)
    differences = tables - tables[:, its]
    mean, own_error = differences.mean(axis=2), differences.std(axis=2, ddof=1) / math.sqrt(n)
    error = np.sqrt(variance / n)
    untested = own_error * math.sqrt(n) < NO_SPREAD
    p = np.where(untested, 1.0, 2 * stdtr(freedom, -_ratio(np.abs(mean), error)))
    own_p = np.where(untested, 1.0, 2 * stdtr(n - 1.0, -_ratio(np.abs(mean), own_error)))
    alone = found.unlike[:, None] | (tables.shape[1] <= FEWEST_ROWS)
    error, freedom = np.where(alone, own_error, error), np.where(alone, n - 1.0, freedom)
    return Tests(mean, error, freedom, np.where(alone, own_p, p), own_error, own_p)


def _ratio(mean: Numbers, error: Numbers) -> Numbers:
    return np.divide(mean, error, out=np.zeros_like(mean), where=error > 0)


# -- two rows of a column ---------------------------------------------------------------------------------------------


class Contrast(NamedTuple):
    """What two rows of a column differ by, and how sure that is."""

    places: int
    """Common seeds (or pairs)."""
    difference: float
    error: float
    freedom: float
    p_common: float
    own_error: float
    p_own: float

    @property
    def p(self) -> float:
        """That they do not differ, uncorrected."""
        return max(self.p_common, self.p_own)

    @property
    def interval(self) -> tuple[float, float]:
        """Where the true difference lies with 95 % confidence: the values that :attr:`p` does not reject."""
        from scipy.special import stdtrit

        halves = [
            float(stdtrit(freedom, 1 - LEVEL / 2)) * error
            for error, freedom in ((self.error, self.freedom), (self.own_error, self.places - 1))
        ]
        half = max(halves)
        return self.difference - half, self.difference + half


def corrected(contrasts: Sequence[Contrast | None], choice: float = 1.0) -> list[float | None]:
    """Their p-values, corrected as one family (Holm); None where there is no test.

    Args:
        contrasts: of one column; None where no test can be made.
        choice: by what else to multiply: what it costs that the same numbers have picked the row.
    """
    adjusted = holm([None if one is None else one.p_common for one in contrasts])
    return [
        None if one is None or p is None else max(min(1.0, p * choice), one.p_own)
        for one, p in zip(contrasts, adjusted, strict=True)
    ]


class Column:
    """Rows that are compared with each other, and the noise that they have in common."""

    def __init__(self, values: Mapping[str, Mapping[Place, float]]) -> None:
        """`values`: numbers by row, then by place (seed or pair)."""
        self._values: dict[str, dict[Any, float]] = {name: dict(some) for name, some in values.items()}
        self._tables: dict[frozenset[Any], _Table] = {}

    def against(self, reference: str, names: Iterable[str]) -> dict[str, Contrast | None]:
        """Rows against one of them, over the places that both have; None of too few, and of differences all equal.

        The noise is that of all rows that have these places.
        """
        theirs = self._values[reference].keys()
        groups: dict[frozenset[Any], list[str]] = {}
        contrasts: dict[str, Contrast | None] = {}
        for name in names:
            contrasts[name] = None
            groups.setdefault(frozenset(self._values[name].keys() & theirs), []).append(name)
        for places, some in groups.items():
            if len(places) >= FEWEST:
                contrasts |= self._tested(reference, some, places)
        return contrasts

    def _tested(self, reference: str, names: list[str], places: frozenset[Any]) -> dict[str, Contrast | None]:
        table = self._tables.get(places) or self._tables.setdefault(places, self._table(places))
        found = tests(table.numbers, table.rows[reference], table.noise)
        values = (found.difference, found.error, found.freedom, found.p, found.own_error, found.own_p)
        by_row = np.stack([some[0] for some in values], axis=1).tolist()
        return {name: _contrast(by_row[table.rows[name]], len(places)) for name in names}

    def _table(self, places: frozenset[Any]) -> _Table:
        """The rows that have some places, which any of them may be compared with."""
        rows = [name for name, some in self._values.items() if some.keys() >= places]
        ordered = sorted(places)
        numbers = np.array([[[self._values[name][place] for place in ordered] for name in rows]])
        return _Table({name: row for row, name in enumerate(rows)}, numbers, noise(numbers))


class _Table(NamedTuple):
    """Rows that have some places in common."""

    rows: dict[str, int]
    """Where each stands, by its name."""
    numbers: Numbers
    """(1, k, n)."""
    noise: Noise


def _contrast(values: Sequence[float], places: int) -> Contrast | None:
    """Of a row's difference, error, freedom, p, own error and own p."""
    difference, error, freedom, p, own_error, own_p = values
    if own_error * math.sqrt(places) < NO_SPREAD:
        return None
    return Contrast(places, difference, error, freedom, p, own_error, own_p)


def against(
    column: Column, reference: str | None, names: Iterable[str], *, picked: bool = False
) -> dict[str, float | None]:
    """Corrected p-values of every other row's difference to one row.

    Args:
        column: of all rows.
        reference: the row that the others are compared with.
        names: all rows of the column.
        picked: whether the same numbers have picked the reference. Then the family is all pairs of the rows that can
            be compared with it: of `k`, k(k - 1) / 2, which is k / 2 times as many as have it.
    """
    found = column.against(str(reference), [name for name in names if name != reference])
    contrasts: list[Contrast | None] = list(found.values())
    choice = (1 + sum(one is not None for one in contrasts)) / 2 if picked else 1.0
    return dict(zip(found, corrected(contrasts, choice), strict=True))
