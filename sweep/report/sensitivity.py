"""How much a swept number matters: its best value against its worst, told apart as the leaderboard tells rows apart.

The two rows are compared as the leaderboard compares its rows with the highest mean
(:mod:`sweep.results.significance`): by the noise that all rows of the column have in common, and corrected for all of
them. So the table and the page say the same of the same two rows. Over all pairs the rows' mean differences under each
pair stand in place of the seeds, as in the table's mean.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Any

from sweep.plan.labels import SYMBOLS
from sweep.plan.slots import is_number
from sweep.report import style
from sweep.report.framing import Frame, alike, beside, frame, mean_over
from sweep.report.history import Configuration, History, rest
from sweep.report.looks import Look
from sweep.report.markup import Markup, element, folded, items, joined, paragraph
from sweep.report.section import Section
from sweep.report.style import Picture, Studio
from sweep.results.rows import Row
from sweep.results.significance import over_pairs
from sweep.statistics.noise import Column, against
from sweep.statistics.paired import FEWEST, shows, spread

POOLED = "all pairs"
MOST_FIGURES = 10
"""Of one number under one pair; the lines beyond them are judged and not drawn."""
FIGURES, FEWEST_FIGURES = 20, 2
"""Of one number under all pairs together; of each pair so many at least."""
TOGETHER = 7
"""Lines of one figure."""
MOST_OPEN = 8
"""Verdicts that are not folded."""


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
    def method(self) -> str:
        """Whose number was swept."""
        return self.name.partition(" ")[0]

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
        Line(parameter, name, POOLED, places, _over_pairs(members), members[0].rows)
        for (parameter, name, places), members in groups.items()
        if pairs > 1 and len(members) == pairs and set.intersection(*(set(line.seeds) for line in members))
    ]


def _over_pairs(members: Sequence[Line]) -> tuple[dict[int, float], ...]:
    """Means over pairs of each place's values, for the seeds that all places of all pairs have."""
    seeds = set.intersection(*(set(line.seeds) for line in members))
    return tuple(
        mean_over([{seed: values[seed] for seed in seeds} for values in of_pairs])
        for of_pairs in zip(*(line.values for line in members), strict=True)
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


_WORDS: dict[bool | None, str] = {True: "it matters", False: "cannot be told from noise"}


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
        self._rows: dict[str, dict[str, Row]] = {}
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
        some = self._of(line.pair)
        recipes = frozenset(some[name].recipe for name in line.rows)
        if (line.pair, recipes) not in self._columns:
            values = {name: row.values for name, row in some.items() if row.recipe in recipes}
            self._columns[line.pair, recipes] = Column(values), list(values)
        return self._columns[line.pair, recipes]

    def _of(self, pair: str) -> dict[str, Row]:
        """All rows of a pair, by name."""
        if pair not in self._rows:
            self._rows[pair] = {config.name: config.row for config in self._history.of(pair)}
        return self._rows[pair]


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
    "Points are means over seeds with their standard deviation; thin lines are the means of the baseline, of training"
    " from scratch and of the teacher, where they lie near. Panels share their axis where none would be squeezed by it."
    " Each verdict is that of the leaderboard's test between the line's best value and its worst."
)


def _part(history: History, studio: Studio, parameter: str, swept: list[Line], judge: Judge) -> Markup:
    by_pair: dict[str, list[Line]] = {}
    for line in sorted(swept, key=lambda line: line.pair != POOLED):
        by_pair.setdefault(line.pair, []).append(line)
    frames = {pair: _frame(history, pair, some) for pair, some in by_pair.items()}
    shared = {pair: one for pair, one in frames.items() if pair != POOLED}  # a mean over pairs has its own noise
    frames |= alike(shared)
    looks, pictures = _looks(history, swept), []
    figures = min(MOST_FIGURES, max(FEWEST_FIGURES, FIGURES // len(by_pair)))
    for pair, some in by_pair.items():
        pictures += [_picture(studio, part, looks, frames[pair]) for part in _parts(some)[:figures]]
    verdicts = [judge.verdict(line) for some in by_pair.values() for line in some]
    symbol = SYMBOLS.get(parameter, parameter)
    title = f"{symbol} ({parameter})" if symbol != parameter else parameter
    most = figures * TOGETHER
    many = any(len(some) > most for some in by_pair.values())
    remark = [paragraph(f"The first {most} lines of each pair are drawn, all are judged.")] if many else []
    return joined([element("h3", title), *remark, style.gallery(pictures), _told(verdicts)])


def _told(verdicts: list[Verdict]) -> Markup:
    """All verdicts; many are folded behind how they came out."""
    told = items(joined([element("b", f"{one.line.name}, {one.line.pair}:"), " ", one.text]) for one in verdicts)
    if len(verdicts) <= MOST_OPEN:
        return told
    counts = Counter(_WORDS.get(one.matters, "without a verdict") for one in verdicts)
    summary = ", ".join(f"{count} of {len(verdicts)} lines: {words}" for words, count in counts.most_common())
    return folded(summary, told)


def _parts(some: list[Line]) -> list[list[Line]]:
    """A pair's lines, as many to a figure as can be told apart."""
    return [some[start : start + TOGETHER] for start in range(0, len(some), TOGETHER)]


def _looks(history: History, swept: list[Line]) -> dict[str, Look]:
    """By a line's name, the same under every pair."""
    by_method: dict[str, list[str]] = {}
    for name, method in {line.name: line.method for line in swept}.items():
        by_method.setdefault(method, []).append(name)
    return {
        name: history.looks.line(method, place, len(names))
        for method, names in by_method.items()
        for place, name in enumerate(names)
    }


def _frame(history: History, pair: str, swept: list[Line]) -> Frame:
    numbers = [
        mean + sign * spread
        for line in swept
        for mean, spread in zip(line.means, line.spreads, strict=True)
        for sign in (-1, 1)
    ]
    return frame(numbers, *beside(history, history.pairs if pair == POOLED else [pair], swept[0].parameter))


def _picture(studio: Studio, swept: list[Line], looks: dict[str, Look], shown: Frame) -> Picture:
    parameter, pair = swept[0].parameter, swept[0].pair
    figure, axes = style.new_figure()
    axes.set_ylim(shown.low, shown.high)
    style.references(axes, shown.drawn)
    for line in swept:
        look = looks[line.name]
        drawn: dict[str, Any] = {"color": look.color, "marker": look.marker, "linestyle": look.line, "capsize": 3}
        axes.errorbar(line.places, line.means, yerr=line.spreads, label=line.name, elinewidth=1, zorder=3, **drawn)
    style.value_axis(axes, parameter, sorted({place for line in swept for place in line.places}))
    axes.set_ylabel("test accuracy, %" if pair != POOLED else "test accuracy, mean, %")
    axes.set_title(pair)
    style.legend_below(figure, axes)
    symbol = SYMBOLS.get(parameter, parameter)
    title = f"Test accuracy against {symbol}, {pair}"
    return studio.picture(figure, title, "sensitivity", parameter, pair, remark=shown.remark)
