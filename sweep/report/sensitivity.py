"""How much a swept number matters: the means over its values against what seeds alone would do.

Values are compared by Tukey's range test on randomised blocks, a seed being a block (equal seeds share initial weights,
data order and views). With the accuracies x[i, s] of `k` values and `n` common seeds::

    residual[i, s] = x[i, s] - mean(x[i, :]) - mean(x[:, s]) + mean(x)
    noise          = q(0.95; k, (k - 1)(n - 1)) * sqrt(sum(residual²) / ((k - 1)(n - 1)) / n)

`noise` is the span of the k means that chance alone exceeds in one sweep out of twenty, q the quantile of the
studentised range (Tukey 1949; Montgomery, *Design and Analysis of Experiments*, chapter 4;
`scipy.stats.studentized_range`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean
from typing import Any

from sweep.plan.labels import SYMBOLS
from sweep.report import style
from sweep.report.history import Configuration, History, is_number, rest
from sweep.report.markup import Markup, element, items, joined, paragraph
from sweep.report.section import Section
from sweep.report.style import Picture, Studio
from sweep.results.statistics import spread

LEVEL = 0.95
"""Of the test."""
POOLED = "all pairs"
MOST_FIGURES = 10
"""Of one number under one pair; the lines beyond them are judged and not drawn."""


@dataclass(frozen=True)
class Line:
    """Configurations that differ in one number alone, in its rising order."""

    parameter: str
    name: str
    """The method, and what else tells the line from others."""
    pair: str
    places: tuple[float, ...]
    values: tuple[dict[int, float], ...]
    """Accuracy in percent by seed, of each place."""

    @property
    def means(self) -> list[float]:
        """Over the seeds of each place, percent."""
        return [fmean(values.values()) for values in self.values]

    @property
    def spreads(self) -> list[float]:
        """Sample standard deviations of the same; 0 for one seed."""
        return [spread(values.values()) for values in self.values]

    @property
    def seeds(self) -> list[int]:
        """That every place has."""
        return sorted(set.intersection(*(set(values) for values in self.values)))


def lines(configurations: Sequence[Configuration]) -> list[Line]:
    """Every line along which a number was swept; what a search has chosen belongs to none."""
    groups: dict[tuple[str, str, str], list[Configuration]] = {}
    for config in configurations:
        for parameter, value in config.settings.items() if config.row.values and not config.row.tuned else ():
            if is_number(value):
                name = rest(config.row.method, config.settings, parameter)
                groups.setdefault((parameter, config.pair, name), []).append(config)
    swept = []
    for (parameter, pair, name), members in groups.items():
        ordered = sorted(members, key=lambda config: float(config.settings[parameter]))
        places = tuple(float(config.settings[parameter]) for config in ordered)
        if len(set(places)) > 1:
            swept.append(Line(parameter, name, pair, places, tuple(config.row.values for config in ordered)))
    return swept


def pooled(swept: Sequence[Line], pairs: int) -> list[Line]:
    """Each line that all pairs have, averaged over them seed by seed."""
    groups: dict[tuple[str, str, tuple[float, ...]], list[Line]] = {}
    for line in swept:
        groups.setdefault((line.parameter, line.name, line.places), []).append(line)
    return [
        Line(parameter, name, POOLED, places, _over_pairs([line.values for line in members]))
        for (parameter, name, places), members in groups.items()
        if pairs > 1 and len(members) == pairs and set.intersection(*(set(line.seeds) for line in members))
    ]


def _over_pairs(members: Sequence[Sequence[dict[int, float]]]) -> tuple[dict[int, float], ...]:
    """Means over pairs of each place's values, for the seeds that all of them have."""
    seeds = set.intersection(*(set(values) for places in members for values in places))
    return tuple(
        {seed: math.fsum(values[seed] for values in of_pairs) / len(of_pairs) for seed in sorted(seeds)}
        for of_pairs in zip(*members, strict=True)
    )


# -- the verdict ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """What a line comes to."""

    line: Line
    span: float
    """Largest mean less the smallest, in percentage points, over the seeds that all places have."""
    noise: float | None
    """The span that chance explains; None for fewer than two common seeds."""

    @property
    def matters(self) -> bool | None:
        """Whether the means differ by more than chance explains; None where that is not known."""
        return None if self.noise is None else self.span > self.noise

    @property
    def text(self) -> str:
        """One sentence."""
        line, symbol = self.line, SYMBOLS.get(self.line.parameter, self.line.parameter)
        means = line.means
        best, worst = (line.places[means.index(of)] for of in (max(means), min(means)))
        told = (
            f"over {symbol} = {line.places[0]:g} … {line.places[-1]:g} the means span {self.span:.2f} points (best at"
            f" {best:g}, worst at {worst:g})"
        )
        if self.noise is None:
            return f"{told}; without two seeds that every value has, the noise is not known."
        count = len(line.seeds)
        return f"{told}; {count} seeds explain up to {self.noise:.2f}: {_WORDS[self.matters is True]}."


_WORDS = {True: "it matters", False: "cannot be told from noise"}


def verdict(line: Line) -> Verdict:
    """Judge a line; see the module's docstring."""
    seeds = line.seeds
    if len(seeds) < 2:
        return Verdict(line, max(line.means) - min(line.means), None)
    table = [[values[seed] for seed in seeds] for values in line.values]
    means = [math.fsum(row) / len(row) for row in table]
    return Verdict(line, max(means) - min(means), _noise(table))


def _noise(table: list[list[float]]) -> float:
    k, n = len(table), len(table[0])
    rows = [math.fsum(row) / n for row in table]
    columns = [math.fsum(column) / k for column in zip(*table, strict=True)]
    mean = math.fsum(rows) / k
    squares = math.fsum(
        (table[i][s] - rows[i] - columns[s] + mean) ** 2 for i, s in itertools.product(range(k), range(n))
    )
    freedom = (k - 1) * (n - 1)
    return _quantile(k, freedom) * math.sqrt(squares / freedom / n)


@lru_cache
def _quantile(k: int, freedom: int) -> float:
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(LEVEL, k, freedom))


# -- the section ------------------------------------------------------------------------------------------------------


def section(history: History, studio: Studio) -> Section | None:
    """Every swept number, pair by pair and over all pairs; `alpha` first."""
    swept = lines(history.configurations)
    swept += pooled(swept, len(history.pairs))
    parameters = sorted({line.parameter for line in swept}, key=lambda name: (name != "alpha", name))
    if not parameters:
        return None
    parts = [paragraph(_EXPLAINED)]
    for parameter in parameters:
        of_it = [line for line in swept if line.parameter == parameter]
        parts.append(_part(history, studio, parameter, of_it))
    return Section("sensitivity", "Sensitivity", joined(parts))


_EXPLAINED = (
    "Points are means over seeds with their standard deviation; dashed bands are the methods without a swept value."
    " Each verdict compares the span of the means with the span that seeds alone would exceed in one sweep of twenty"
    " (Tukey’s range test, seeds as blocks), every line by itself."
)


def _part(history: History, studio: Studio, parameter: str, swept: list[Line]) -> Markup:
    pairs = list(dict.fromkeys(line.pair for line in swept))
    pictures, verdicts = [], []
    for pair in sorted(pairs, key=lambda name: name != POOLED):
        some = [line for line in swept if line.pair == pair]
        pictures += _pictures(history, studio, pair, some)
        verdicts += [joined([element("b", f"{line.name}, {pair}:"), " ", verdict(line).text]) for line in some]
    symbol = SYMBOLS.get(parameter, parameter)
    title = f"{symbol} ({parameter})" if symbol != parameter else parameter
    most = MOST_FIGURES * len(style.SERIES)
    many = any(sum(line.pair == pair for line in swept) > most for pair in pairs)
    remark = [paragraph(f"The first {most} lines of each pair are drawn, all are judged.")] if many else []
    return joined([element("h3", title), *remark, style.gallery(pictures), items(verdicts)])


def _pictures(history: History, studio: Studio, pair: str, swept: list[Line]) -> list[Picture]:
    """A pair's lines, as many to a figure as there are colours; of very many lines the first."""
    most = len(style.SERIES)
    parts = [swept[start : start + most] for start in range(0, len(swept), most)]
    return [_picture(history, studio, pair, part) for part in parts[:MOST_FIGURES]]


def _picture(history: History, studio: Studio, pair: str, swept: list[Line]) -> Picture:
    parameter = swept[0].parameter
    figure, axes = style.new_figure()
    bands = _bands(history, pair, parameter)
    for (name, values), color in zip(bands.items(), itertools.cycle(reversed(style.SERIES)), strict=False):
        style.band(axes, fmean(values.values()), spread(values.values()), color, name)
    for line, color, marker in zip(swept, style.SERIES, style.MARKERS, strict=False):
        looks: dict[str, Any] = {"color": color, "marker": marker, "capsize": 3, "zorder": 3}
        axes.errorbar(line.places, line.means, yerr=line.spreads, label=line.name, **looks)
    style.value_axis(axes, parameter, sorted({place for line in swept for place in line.places}))
    axes.set_ylabel("test accuracy, %" if pair != POOLED else "test accuracy, mean over pairs, %")
    axes.set_title(pair)
    style.legend_below(figure, axes)
    symbol = SYMBOLS.get(parameter, parameter)
    return studio.picture(figure, f"Test accuracy against {symbol}, {pair}", "sensitivity", parameter, pair)


def _bands(history: History, pair: str, parameter: str) -> dict[str, dict[int, float]]:
    """Accuracy by seed of what stands beside the lines: the baseline, methods as they are, and what was tuned."""
    pairs = history.pairs if pair == POOLED else [pair]
    by_name: dict[str, list[dict[int, float]]] = {}
    for config in (config for pair in pairs for config in history.of(pair)):
        alone = config.row.tuned or not config.row.varied or config.row.label == history.board.baseline
        if alone and (config.row.tuned or parameter not in config.settings):
            by_name.setdefault(config.name, []).append(config.row.values)
    whole = {name: rows for name, rows in by_name.items() if len(rows) == len(pairs)}
    averaged = {name: _over_pairs([[values] for values in rows])[0] for name, rows in whole.items()}
    return {name: values for name, values in averaged.items() if values}
