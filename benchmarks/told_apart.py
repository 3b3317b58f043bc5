"""How often the leaderboard's marks are wrong, and what they find: simulated tables, by the code that makes the marks.

    uv run python -m benchmarks.told_apart
    uv run python -m benchmarks.told_apart --tables 500 --rows 9

Each table is one column: rows (the first is the baseline) by seeds, normal noise of standard deviation 1 beside what is
said. Under the null no row differs from another, and a family is wrong where it has any mark: a star against the
baseline, or a row shown to be worse than the highest mean. Power is how often the second row, better by `EFFECT`, has
its star. Beside it what was here before: paired t tests of two rows alone, with Holm's correction. Seven pairs: the row
over the pairs' mean differences, a pair in the place of a seed.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable

import numpy as np

from sweep import formats
from sweep.statistics.noise import Numbers, Tests, tests
from sweep.statistics.paired import LEVEL

SEEDS, ROWS, PAIRS = (3, 5, 10), (5, 9, 12), 7
EFFECT = 2.5
"""Standard deviations by which the better row is better."""
STEP = 1.0
"""Of accuracies that come in steps: as on 360 test images where a deviation is 0.28 points."""
Make = Callable[[np.random.Generator, tuple[int, int, int]], Numbers]


def normal(draw: np.random.Generator, shape: tuple[int, int, int]) -> Numbers:
    """All rows equally noisy."""
    return draw.standard_normal(shape)


def scaled(scale: Callable[[int], list[float]]) -> Make:
    """Rows of these standard deviations."""
    return lambda draw, shape: normal(draw, shape) * np.array(scale(shape[1]))[:, None]


def spread_out(draw: np.random.Generator, shape: tuple[int, int, int]) -> Numbers:
    """Standard deviations from a half to two, in any order."""
    scale: Numbers = draw.permuted(np.tile(np.geomspace(0.5, 2, shape[1]), (shape[0], 1)), axis=1)
    return normal(draw, shape) * scale[:, :, None]


def of_seeds(draw: np.random.Generator, shape: tuple[int, int, int]) -> Numbers:
    """Rows that follow their seeds: what all rows of a seed share is three times their own."""
    return normal(draw, shape) + 3 * draw.standard_normal((shape[0], 1, shape[2]))


def heavy(draw: np.random.Generator, shape: tuple[int, int, int]) -> Numbers:
    """Student's t of 3 degrees, of deviation 1."""
    return np.asarray(draw.standard_t(3, shape) / 3**0.5, np.float64)


def in_steps(draw: np.random.Generator, shape: tuple[int, int, int]) -> Numbers:
    """Rounded to whole deviations."""
    return np.round((normal(draw, shape) + draw.standard_normal((shape[0], 1, shape[2]))) / STEP) * STEP


NOISE: dict[str, Make] = {
    "equal": normal,
    "seeds correlated": of_seeds,
    "heavy tails": heavy,
    "in steps": in_steps,
    "0.5 … 2, any order": spread_out,
    "half the rows 3": scaled(lambda k: [1.0] * (k - k // 2) + [3.0] * (k // 2)),
    "baseline 3": scaled(lambda k: [3.0] + [1.0] * (k - 1)),
    "baseline ⅓": scaled(lambda k: [1 / 3] + [1.0] * (k - 1)),
    "one row 3": scaled(lambda k: [1.0] * (k - 1) + [3.0]),
    "one row 10": scaled(lambda k: [1.0] * (k - 1) + [10.0]),
    "one row 50": scaled(lambda k: [1.0] * (k - 1) + [50.0]),
}


# -- the marks ----------------------------------------------------------------------------------------------------


def holm(p: Numbers) -> Numbers:
    """Holm's correction along each line, as :func:`sweep.statistics.paired.holm` makes it."""
    order = p.argsort(axis=1)
    steps = np.take_along_axis(p, order, 1) * (p.shape[1] - np.arange(p.shape[1]))
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.minimum(1, np.maximum.accumulate(steps, axis=1)), 1)
    return adjusted


def now(found: Tests, choice: float = 1.0) -> Numbers:
    """As :func:`sweep.statistics.noise.corrected`: p-values (R, k - 1) against the first row."""
    return np.maximum(np.minimum(1, holm(found.p[:, 1:]) * choice), found.own_p[:, 1:])


def before(found: Tests, choice: float = 1.0) -> Numbers:
    """Paired t tests of two rows alone; it had no factor for the choice of the highest mean."""
    return holm(found.own_p[:, 1:])


def highest_first(tables: Numbers) -> Numbers:
    """The same tables, the row of the highest mean in the first place."""
    top, places, swapped = tables.mean(axis=2).argmax(axis=1), np.arange(len(tables)), tables.copy()
    swapped[places, 0], swapped[places, top] = tables[places, top], tables[places, 0]
    return swapped


def any_star(tables: Numbers) -> tuple[float, float]:
    """Share of the tables with a star, in percent: before, and now."""
    found = tests(tables, 0)
    return _any(before(found)), _any(now(found))


def any_worse(tables: Numbers) -> tuple[float, float]:
    """Share of the tables with a row that is shown to be worse than the highest mean; the first row is the baseline,
    whose comparison with the highest mean is planned as well."""
    found, planned = tests(highest_first(tables), 0), now(tests(tables, 0))
    top, places = tables.mean(axis=2).argmax(axis=1), np.arange(len(tables))
    base_worse = planned[places, np.maximum(top, 1) - 1]
    chosen = np.minimum(now(found, tables.shape[1] / 2).min(axis=1), base_worse)
    least = np.where(top == 0, planned.min(axis=1), chosen)
    return _any(before(found)), 100 * float((least < LEVEL).mean())


def star(tables: Numbers) -> tuple[float, float]:
    """Share of the tables whose second row has its star where it is better by :data:`EFFECT`."""
    better = tables.copy()
    better[:, 1] += EFFECT
    found = tests(better, 0)
    return 100 * float((before(found)[:, 0] < LEVEL).mean()), 100 * float((now(found)[:, 0] < LEVEL).mean())


def _any(p: Numbers) -> float:
    return 100 * float((p < LEVEL).any(axis=1).mean())


# -- the tables ---------------------------------------------------------------------------------------------------


def measured(
    draw: np.random.Generator, count: int, rows: tuple[int, ...], what: Callable[[Numbers], tuple[float, float]]
) -> list[list[str]]:
    """A line for each kind of noise: by seeds ``before → now``, the worst over the numbers of rows; then by pairs."""
    lines = []
    for name, make in NOISE.items():
        cells = []
        for blocks in (*SEEDS, PAIRS):
            pick = min if what is star else max
            found = [what(make(draw, (count, k, blocks))) for k in rows]
            cells.append(" → ".join(f"{pick(some):.1f}" for some in zip(*found, strict=True)))
        lines.append([name, *cells])
    return lines


def main() -> None:
    """Print the three tables."""
    options = ArgumentParser(description=str(__doc__).splitlines()[0])
    options.add_argument("--tables", type=int, default=10_000, help="simulated, of each kind")
    options.add_argument("--rows", type=int, nargs="+", default=ROWS, help="of a table")
    given = options.parse_args()
    draw = np.random.default_rng(0)
    heads = ["noise", *(f"{n} seeds" for n in SEEDS), f"{PAIRS} pairs"]
    titles = {
        any_star: "any false star, % of tables (before → now; most over the numbers of rows)",
        any_worse: "any row falsely shown to be worse than the highest mean, %",
        star: f"power: a row better by {EFFECT:g} deviations has its star, % (least over the numbers of rows)",
    }
    for what, title in titles.items():
        print(f"\n{title}\n")
        lines = measured(draw, given.tables, tuple(given.rows), what)
        print(formats.to_markdown(heads, lines, right=range(1, len(heads))), flush=True)


if __name__ == "__main__":
    main()
