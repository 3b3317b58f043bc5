"""What the searches have seen: which hyperparameters mattered, and every trial against each of its values.

Importance is PED-ANOVA's (:mod:`sweep.search.importance`). Slices are drawn here and not by Optuna, whose studies know
choices by their numbers only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sweep.plan.labels import SYMBOLS, shown, untuned
from sweep.report import colors, foretold, style
from sweep.report.history import History
from sweep.report.markup import Markup, element, joined, paragraph
from sweep.report.section import Section
from sweep.report.style import Picture, Studio
from sweep.results.metrics import METRICS
from sweep.search import importance
from sweep.search.cell_search import CellSearch
from sweep.search.importance import importances
from sweep.search.looking_back import in_short, pauses
from sweep.search.suggest import Asked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ENOUGH_FOR_SLICES = 4
MOST_DRAWN = 40
"""Searches with figures; of the others it is told how far they are."""
SLICE = (3.6, 2.7)
"""Inches."""
DOT = 34
"""Square points of a trial's dot."""
PALEST = 0.35
"""Opacity of the first trial."""
BAR, AROUND = 0.34, 0.95
"""Inches of a bar, and of what stands around the bars."""


def section(history: History, studio: Studio) -> Section | None:
    """A part for each searched cell; nothing where nothing was searched."""
    parts = [_part(search, studio, drawn=place < MOST_DRAWN) for place, search in enumerate(history.searches)]
    many = [paragraph(f"The first {MOST_DRAWN} of {len(parts):,} are drawn.")] if len(parts) > MOST_DRAWN else []
    return Section("searches", "Searches", joined([paragraph(_EXPLAINED), *many, *parts])) if parts else None


_EXPLAINED = (
    "Each searched cell has a study of its own. Importance is PED-ANOVA’s: how much a value among the best trials"
    " differs from all that were tried, in shares. It ranks; a search visits good regions more often than others,"
    " so it is no measurement. Ticks at the foot of a slice are trials that were given up early. Where a search looks"
    " ahead, a dashed line is how it expected a trial to go on when it gave it up, and the band is two standard"
    " deviations of that."
)


def _part(search: CellSearch, studio: Studio, *, drawn: bool) -> Markup:
    cell = search.cell
    finished = [asked for asked in search.asked if asked.state == "finished" and asked.values]
    states = ", ".join(f"{_count(search, state)} {word}" for state, word in _STATES.items() if _count(search, state))
    told = [f"{len(search.asked)} of {cell.budget} configurations tried ({states or 'none'}); {cell.search['sampler']}"]
    told += [f"it has paused {in_short(search)}"] if pauses(search) else []
    pictures: list[Picture] = []
    if len(cell.space) > 1 and drawn:
        if shares := importances(search):
            pictures.append(_importance(search, shares, studio))
        elif len(importance.judged(search)) < importance.ENOUGH:
            told.append(f"fewer than {importance.ENOUGH} are known to their end, too few to tell what mattered")
    if len(finished) >= ENOUGH_FOR_SLICES and drawn:
        pictures += [_slice(search, name, studio) for name in cell.space]
    if drawn and (ahead := foretold.picture(search, studio)) is not None:
        pictures.append(ahead)
    head = element("h3", f"{untuned(cell.label)}, {cell.pair}, {cell.recipe}")
    return joined([head, paragraph("; ".join(told) + "."), style.gallery(pictures)])


_STATES = {"finished": "finished", "pruned": "given up", "failed": "failed", "running": "running", "paused": "paused"}


def _count(search: CellSearch, state: str) -> int:
    return sum(asked.state == state for asked in search.asked)


def _importance(search: CellSearch, shares: Mapping[str, float], studio: Studio) -> Picture:
    figure, axes = style.new_figure(SLICE[0], BAR * len(shares) + AROUND)
    names = [symbol(name) for name in shares]
    axes.barh(names, list(shares.values()), color=colors.SERIES[0], height=0.62)
    for place, share in enumerate(shares.values()):
        axes.annotate(f"{share:.2f}", (share, place), (4, 0), textcoords="offset points", va="center")
    axes.invert_yaxis()
    axes.set(xlim=(0, 1.15), xlabel="importance")
    axes.set_xticks([0, 0.5, 1])
    axes.grid(visible=False, axis="y")
    title = f"Importance of what was searched: {search.cell.name}"
    return studio.picture(figure, title, "importance", search.cell.name)


def symbol(name: str) -> str:
    """How a hyperparameter is written: ``α`` for ``alpha``, most by their names."""
    return SYMBOLS.get(name, name)


def _slice(search: CellSearch, name: str, studio: Studio) -> Picture:
    """Finished trials against one searched value, the later the darker; those given up at the foot."""
    from matplotlib.colors import to_rgba

    dimension = search.cell.space[name]
    figure, axes = style.new_figure(*SLICE)
    done = [(number, asked) for number, asked in enumerate(search.asked) if asked.state == "finished" and asked.values]
    places = [place(dimension, asked.params[name]) for _, asked in done]
    values = [asked.values[0] for _, asked in done if asked.values]
    shades = [PALEST + (1 - PALEST) * number / len(search.asked) for number, _ in done]
    axes.scatter(places, values, s=DOT, color=[to_rgba(colors.SERIES[0], shade) for shade in shades], zorder=3)
    _foot(axes, dimension, name, [asked for asked in search.asked if asked.state == "pruned"])
    won = next(iter(search.chosen()), None)
    if won is not None:
        ring: dict[str, Any] = {"s": 3 * DOT, "facecolors": "none", "edgecolors": colors.SERIES[1], "zorder": 4}
        axes.scatter([place(dimension, won.params[name])], [won.values[0]], linewidths=1.8, label="chosen", **ring)
    _slice_axis(axes, dimension)
    axes.set(xlabel=symbol(name), ylabel=METRICS[search.cell.search["metrics"][0]].axis)
    style.legend_below(figure, axes)
    title = f"Search trials by {symbol(name)}: {search.cell.name}"
    return studio.picture(figure, title, "slice", name, search.cell.name)


def place(dimension: Mapping[str, Any], value: Any) -> float:
    """Where a value stands on its axis; choices stand side by side."""
    return float(dimension["choice"].index(value) if "choice" in dimension else value)


def _foot(axes: Axes, dimension: Mapping[str, Any], name: str, pruned: list[Asked]) -> None:
    """A tick for each trial that was given up."""
    ground = axes.get_xaxis_transform()
    places = [place(dimension, asked.params[name]) for asked in pruned]
    if places:
        looks: dict[str, Any] = {"marker": "|", "s": 2 * DOT, "color": colors.SERIES[5], "clip_on": False}
        axes.scatter(places, [0.0] * len(places), label="given up early", transform=ground, **looks)


def _slice_axis(axes: Axes, dimension: Mapping[str, Any]) -> None:
    if "choice" in dimension:
        names = [shown(value) for value in dimension["choice"]]
        axes.set_xticks(range(len(names)), names)
        axes.set_xlim(-0.5, len(names) - 0.5)
    elif dimension.get("log"):
        axes.set_xscale("log")
        style.plain_log_ticks(axes.xaxis)
