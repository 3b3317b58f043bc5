"""How much a swept number matters: its best value against its worst, told apart as the leaderboard tells rows apart.

The two rows are compared as the leaderboard compares its rows with the highest mean
(:mod:`sweep.results.significance`): by the noise that all rows of the column have in common, and corrected for all of
them. So the table and the page say the same of the same two rows. Over all pairs the rows' mean differences under each
pair stand in place of the seeds, as in the table's mean.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Any

from sweep.plan.labels import SYMBOLS
from sweep.report import style
from sweep.report.history import Configuration, History, is_number, rest
from sweep.report.markup import Markup, element, items, joined, paragraph
from sweep.report.section import Section
from sweep.report.style import Picture, Studio
from sweep.results.noise import Column
from sweep.results.rows import Row
from sweep.results.significance import against, over_pairs
from sweep.results.statistics import FEWEST, shows, spread

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
    rows: tuple[str, ...]
    """The configuration's name at each place."""

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
            values, rows = tuple(config.row.values for config in ordered), tuple(config.name for config in ordered)
            swept.append(Line(parameter, name, pair, places, values, rows))
    return swept


def pooled(swept: Sequence[Line], pairs: int) -> list[Line]:
    """Each line that all pairs have, averaged over them seed by seed."""
    groups: dict[tuple[str, str, tuple[float, ...]], list[Line]] = {}
    for line in swept:
        groups.setdefault((line.parameter, line.name, line.places), []).append(line)
    return [
        Line(parameter, name, POOLED, places, _over_pairs([line.values for line in members]), members[0].rows)
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
    p: float | None
    """That the best value and the worst do not differ, corrected as the leaderboard's; None where there is no test."""

    @property
    def matters(self) -> bool | None:
        """Whether the best and the worst are told apart; None where that is not known."""
        return None if self.p is None else shows(self.p)

    @property
    def text(self) -> str:
        """One sentence."""
        line, symbol = self.line, SYMBOLS.get(self.line.parameter, self.line.parameter)
        best, worst = (line.places[place] for place in ends(line))
        told = (
            f"over {symbol} = {line.places[0]:g} … {line.places[-1]:g} the means span {self.span:.2f} points (best at"
            f" {best:g}, worst at {worst:g})"
        )
        if self.p is None:
            what = "pairs" if line.pair == POOLED else "seeds"
            return (
                f"{told}; nothing tells them apart without {FEWEST} common {what}, whose differences are not all equal."
            )
        return f"{told}; corrected p = {self.p:.2g}: {_WORDS[self.matters is True]}."


_WORDS = {True: "it matters", False: "cannot be told from noise"}


def ends(line: Line) -> tuple[int, int]:
    """The places of the highest and of the lowest mean."""
    means = line.means
    return means.index(max(means)), means.index(min(means))


def verdict(line: Line, column: Column | None = None, names: Sequence[str] = (), base: str | None = None) -> Verdict:
    """Judge a line.

    Args:
        line: a swept number.
        column: of all rows that stand beside the line's; by default of the line's alone.
        names: of these rows.
        base: which of them is the baseline.
    """
    seeds = line.seeds or sorted(set[int]().union(*line.values))
    means = [fmean(values[seed] for seed in seeds if seed in values) for values in line.values]
    best, worst = (line.rows[place] for place in ends(line))
    whole = column or Column(dict(zip(line.rows, line.values, strict=True)))
    ps = against(whole, best, names or line.rows, picked=best != base)
    return Verdict(line, max(means) - min(means), ps.get(worst))


class Judge:
    """Judges the lines of one sweep by the rows that its leaderboard has beside them."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._columns: dict[tuple[str, frozenset[str]], tuple[Column, list[str]]] = {}

    def verdict(self, line: Line) -> Verdict:
        """Of one of :func:`lines` or :func:`pooled`."""
        best, _ = ends(line)
        if line.pair == POOLED:
            column, names = over_pairs(self._whole, line.rows[best]), list(self._whole)
        else:
            column, names = self._column(line)
        return verdict(line, column, names, self._base)

    @cached_property
    def _base(self) -> str | None:
        label = self._history.board.baseline
        return next((config.name for config in self._history.configurations if config.row.label == label), None)

    @cached_property
    def _whole(self) -> dict[str, dict[str, Row]]:
        """By name and pair, the rows with a number under every pair."""
        rows: dict[str, dict[str, Row]] = {}
        for config in self._history.configurations:
            if config.row.values:
                rows.setdefault(config.name, {})[config.pair] = config.row
        return {name: by_pair for name, by_pair in rows.items() if len(by_pair) == len(self._history.pairs)}

    def _column(self, line: Line) -> tuple[Column, list[str]]:
        """All rows of the line's pair and recipes."""
        some = {config.name: config.row for config in self._history.of(line.pair) if config.row.values}
        recipes = frozenset(some[name].recipe for name in line.rows)
        if (line.pair, recipes) not in self._columns:
            values = {name: row.values for name, row in some.items() if row.recipe in recipes}
            self._columns[line.pair, recipes] = Column(values), list(values)
        return self._columns[line.pair, recipes]


# -- the section ------------------------------------------------------------------------------------------------------


def section(history: History, studio: Studio) -> Section | None:
    """Every swept number, pair by pair and over all pairs; `alpha` first."""
    swept = lines(history.configurations)
    swept += pooled(swept, len(history.pairs))
    parameters = sorted({line.parameter for line in swept}, key=lambda name: (name != "alpha", name))
    if not parameters:
        return None
    parts, judge = [paragraph(_EXPLAINED)], Judge(history)
    for parameter in parameters:
        of_it = [line for line in swept if line.parameter == parameter]
        parts.append(_part(history, studio, parameter, of_it, judge))
    return Section("sensitivity", "Sensitivity", joined(parts))


_EXPLAINED = (
    "Points are means over seeds with their standard deviation; dashed bands are the methods without a swept value."
    " Each verdict is that of the leaderboard's test between the line's best value and its worst."
)


def _part(history: History, studio: Studio, parameter: str, swept: list[Line], judge: Judge) -> Markup:
    pairs = list(dict.fromkeys(line.pair for line in swept))
    pictures, verdicts = [], []
    for pair in sorted(pairs, key=lambda name: name != POOLED):
        some = [line for line in swept if line.pair == pair]
        pictures += _pictures(history, studio, pair, some)
        verdicts += [joined([element("b", f"{line.name}, {pair}:"), " ", judge.verdict(line).text]) for line in some]
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
