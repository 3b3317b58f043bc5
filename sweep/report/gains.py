"""What each method gains over the baseline: one table of all pairs, and a map where two weights were swept together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import TYPE_CHECKING, Any

from search_spaces.table import MEAN
from sweep.plan.labels import ARROW, SYMBOLS, label, student_of, teacher_of
from sweep.plan.slots import is_number
from sweep.report import colors, style
from sweep.report.history import Configuration, History
from sweep.report.looks import placed
from sweep.report.markup import Markup, element, joined, paragraph
from sweep.report.section import Section
from sweep.report.style import Picture, Studio
from sweep.results.notes import DIFFERS
from sweep.results.rows import Row
from sweep.results.significance import Overall
from sweep.statistics.paired import shows
from sweep.text import signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

    from sweep.results.board import Leaderboard

SHADES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Percentage points from which on a difference is shaded one step darker."""
MOST_ROWS = 200
"""Of the table: those that gain most."""
GROUND = ("#b35806", "#f1a340", "#fee0b6", "#f7f7f7", "#d1e5f0", "#67a9cf", "#2166ac")
"""Of a map, from loss to gain: ColorBrewer's orange and blue, told apart by colour-blind readers too."""
SQUARE, MARGIN = (0.62, 0.42), (0.7, 0.9)
"""Inches of a map's place, and of what stands around them: width and height."""
WIDEST = 11.5
"""Inches of a map, as wide as the page. One of more values has narrower squares without a number in them, which would
be too small to read: the leaderboard has them."""
MOST_MAPS = 20
"""Of the whole page."""
DARK = 0.5
"""Luminance of a ground that takes light text."""


def section(history: History, studio: Studio) -> Section | None:
    """The table where there is more than one pair, the maps where two numbers of a method make a grid."""
    if not any(row.delta is not None for row in history.board.rows):
        return None
    parts = [_table(history)] if len(history.pairs) > 1 else []
    found = grids(history.configurations)
    if found:
        parts.append(_maps(history, studio, found))
    return Section("gains", f"Gain over {history.board.baseline}", joined(parts)) if parts else None


# -- the table --------------------------------------------------------------------------------------------------------


def shade(points: float) -> str:
    """The class of a difference's ground: ``gain-2``, ``loss-5``; empty of one below the first of :data:`SHADES`."""
    steps = sum(abs(points) >= least for least in SHADES)
    return f"{'gain' if points > 0 else 'loss'}-{steps}" if steps else ""


def foremost(lines: dict[str, dict[str, Row]]) -> list[str]:
    """The names of the rows that stand in the table, in the order of `lines`."""
    known = {name: [row.delta for row in by_pair.values() if row.delta is not None] for name, by_pair in lines.items()}
    told = {name: fmean(deltas) for name, deltas in known.items() if deltas}
    kept = set(sorted(told, key=lambda name: -told[name])[:MOST_ROWS])
    return [name for name in lines if name in kept]


def _lines(history: History) -> dict[str, dict[str, Row]]:
    """Rows by their printed name, then by pair: those that the leaderboard shows, in its order."""
    lines: dict[str, dict[str, Row]] = {}
    printed = history.board.printed
    shown = [config for config in history.configurations if printed.shows(config.row.label)]
    recipes = placed(config.row.recipe for config in shown)
    shown.sort(key=lambda config: (recipes[config.row.recipe], printed.place(config.row.label)))
    for config in shown:
        name = config.name.removesuffix(config.row.label) + printed.name(config.row.label)
        lines.setdefault(name, {})[config.pair] = config.row
    return lines


def _table(history: History) -> Markup:
    lines, board = _lines(history), history.board
    names = foremost(lines)
    heads = [joined(_broken(column)) if column in board.pairs else column for column in board.columns]
    head = element("tr", element("th", "method", scope="col"), *(_number("th", text, scope="col") for text in heads))
    body = []
    for name in names:
        row = next(iter(lines[name].values()))
        told: dict[str, Row | Overall | None] = {**lines[name], MEAN: board.overall.get((row.recipe, row.label))}
        cells = [_cell(board, told.get(column)) for column in board.columns]
        body.append(element("tr", element("th", name, scope="row"), *cells))
    whole = element("table", element("thead", head), element("tbody", *body), class_="gains")
    there = sum(next(iter(by_pair.values())).label != board.baseline for by_pair in lines.values())
    text = _explained(board, len(names), there)
    return joined([paragraph(text), element("div", whole, class_="scroll", tabindex="0")])


def _explained(board: Leaderboard, count: int, there: int) -> str:
    steps = ", ".join(f"{step:g}" for step in SHADES)
    text = (
        f"Mean difference to {board.printed.name(str(board.baseline))} over common seeds, in percentage points, as in"
        f" the leaderboard; {DIFFERS}: shown by its test. Blue is a gain and orange a loss, one step darker from"
        f" {steps} points on."
    )
    more = f" Listed are the {count} rows that gain most, mean over pairs." if count == MOST_ROWS < there else ""
    return text + more


def _broken(pair: str) -> list[str]:
    """A pair in two lines, where room is short."""
    return [teacher_of(pair) + ARROW, element("br"), student_of(pair)]


def _cell(board: Leaderboard, told: Row | Overall | None) -> Markup:
    if told is None:
        return _number("td", "")
    return _number("td", starred(board, told.delta, told.p_delta), shade(told.delta or 0.0))


def starred(board: Leaderboard, delta: float | None, p: float | None) -> str:
    """A difference as the leaderboard prints it: ``+0.50*``; empty where there is none."""
    return "" if delta is None else board.printed.signed(delta) + (DIFFERS if shows(p) else "")


def _number(tag: str, text: str, ground: str = "", **attributes: str) -> Markup:
    return element(tag, text, class_=f"number {ground}".strip(), **attributes)


# -- maps of two swept weights ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Weights:
    """Rows of one method under one pair that differ in two numbers alone, of which every combination is there."""

    name: str
    """The method, and what else tells the grid from others."""
    pair: str
    parameters: tuple[str, str]
    """Along the map, and down it."""
    deltas: dict[tuple[float, float], float | None]
    """Difference to the baseline at each place."""

    @property
    def axes(self) -> tuple[list[float], list[float]]:
        """The values of both numbers, rising."""
        across, down = ({place[side] for place in self.deltas} for side in (0, 1))
        return sorted(across), sorted(down)


def grids(configurations: Sequence[Configuration]) -> list[Weights]:
    """Every whole grid of two swept numbers; what a search has chosen belongs to none."""
    groups: dict[tuple[str, str, tuple[str, str]], list[Configuration]] = {}
    for config in configurations:
        if not config.row.values or config.row.tuned:
            continue
        swept = [name for name, value in config.settings.items() if is_number(value)]
        for pair in combinations(swept, 2):
            groups.setdefault((_without(config, pair), config.pair, pair), []).append(config)
    found = [_weights(name, pair, parameters, members) for (name, pair, parameters), members in groups.items()]
    return [grid for grid in found if grid is not None]


def _without(config: Configuration, parameters: Sequence[str]) -> str:
    return label(config.row.method, {name: value for name, value in config.settings.items() if name not in parameters})


def _weights(name: str, pair: str, parameters: tuple[str, str], members: list[Configuration]) -> Weights | None:
    first, second = parameters
    deltas = {(float(c.settings[first]), float(c.settings[second])): c.row.delta for c in members}
    grid = Weights(name, pair, parameters, deltas)
    across, down = grid.axes
    whole = len(across) > 1 and len(down) > 1 and len(deltas) == len(across) * len(down)
    return grid if whole else None


def _maps(history: History, studio: Studio, found: list[Weights]) -> Markup:
    drawn = found[:MOST_MAPS]
    widest = max((abs(delta) for grid in drawn for delta in grid.deltas.values() if delta is not None), default=0.0)
    pictures = [_map(history, studio, grid, widest or 1.0) for grid in drawn]
    text = "Two numbers that were swept together: the difference to the baseline at each of their places, on one scale."
    if len(drawn) < len(found):
        text += f" The first {len(drawn)} of {len(found)} grids are drawn."
    return joined([element("h3", "Swept together"), paragraph(text), style.gallery(pictures)])


def _map(history: History, studio: Studio, grid: Weights, widest: float) -> Picture:
    across, down = grid.axes
    width, height = SQUARE[0] * len(across) + MARGIN[0], SQUARE[1] * len(down) + MARGIN[1]
    figure, axes = style.new_figure(min(max(width, style.SIZE[0]), WIDEST), height)
    _squares(axes, grid, widest, numbered=width <= WIDEST)
    title = f"{grid.name}, {grid.pair}"
    axes.set(xlim=(-0.5, len(across) - 0.5), ylim=(-0.5, len(down) - 0.5), title=title)
    style.named_places(axes, across, figure.get_figwidth())
    axes.set_yticks(range(len(down)), [f"{value:g}" for value in down])
    first, second = (SYMBOLS.get(name, name) for name in grid.parameters)
    axes.set(xlabel=first, ylabel=second)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    words = f"Gain over {history.board.baseline} by {first} and {second}: {title}"
    return studio.picture(figure, words, "gain", *grid.parameters, grid.name, grid.pair)


def _ground() -> Colormap:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("gain", GROUND)


def _squares(axes: Axes, grid: Weights, widest: float, *, numbered: bool) -> None:
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    columns, rows = ({value: place for place, value in enumerate(values)} for values in grid.axes)
    told = {(columns[x], rows[y]): delta for (x, y), delta in grid.deltas.items() if delta is not None}
    shades = _ground()([(delta / widest + 1) / 2 for delta in told.values()])
    squares = [Rectangle((column - 0.48, row - 0.48), 0.96, 0.96) for column, row in told]
    axes.add_collection(PatchCollection(squares, facecolors=shades, linewidths=0))
    for (place, delta), shade in zip(told.items(), shades, strict=True) if numbered else ():
        looks: dict[str, Any] = {"ha": "center", "va": "center", "color": _ink(shade)}
        axes.text(*place, signed(delta), **looks)


def _ink(shade: Sequence[float]) -> str:
    """The colour of text on a ground."""
    luminance = 0.2126 * shade[0] + 0.7152 * shade[1] + 0.0722 * shade[2]
    return colors.PAPER if luminance < DARK else colors.COAL
