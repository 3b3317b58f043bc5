"""The sweep in one figure, `figure.png`: what the README of a study shows."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.report import style
from sweep.report.history import is_number
from sweep.results.board import Leaderboard
from sweep.results.rows import Row
from trainers.storage.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = style.SERIES[:4]
"""Of swept methods."""
BAND_COLORS = (*reversed(style.SERIES[4:]), style.INK)
"""Of the methods that were not swept."""
PANEL = (5.2, 3.8)
"""Inches of one pair's panel."""
LETTER = 0.08
"""Inches of a letter in the names beside a panel of points."""
DPI = 150
MOST_COLUMNS = 3


def draw(board: Leaderboard, path: Path) -> bool:
    """Write the sweep's figure as PNG: one panel per pair.

    Where a method was swept over a number (alpha, above all), its mean and standard deviation over seeds stand against
    that number, and methods that were not swept are horizontal bands. Otherwise each method is one point.

    Returns:
        False where there is no result to draw yet; nothing is written then.
    """
    from matplotlib.figure import Figure

    pairs = [pair for pair in board.pairs if any(cell.values for cell in board.cells if cell.pair == pair)]
    if not pairs:
        return False
    columns = min(len(pairs), MOST_COLUMNS)
    rows = -(-len(pairs) // columns)
    width = PANEL[0] + LETTER * max(_names_beside(board, pair) for pair in pairs)
    picture = io.BytesIO()
    with style.drawing():
        figure = Figure(figsize=(width * columns, PANEL[1] * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).flatten()
        for panel, pair in zip(axes, pairs, strict=False):
            _panel(panel, [cell for cell in board.cells if cell.pair == pair and cell.values])
            panel.set_title(pair)
        for panel in axes[len(pairs) :]:
            panel.set_visible(False)
        figure.savefig(picture, format="png", dpi=DPI)
    write_atomically(path, picture.getvalue())
    return True


def _names_beside(board: Leaderboard, pair: str) -> int:
    """Letters of the longest name that stands beside a pair's panel; 0 where names stand in a legend."""
    rows = [row for row in board.cells if row.pair == pair]
    return 0 if swept_parameter(rows) else max(len(row.label) for row in rows)


def _panel(axes: Axes, cells: list[Row]) -> None:
    swept = swept_parameter(cells)
    if swept is None:
        _dots(axes, cells)
        return
    lines = _lines(cells, swept)
    bands = [cell for cell in cells if cell.tuned or swept not in cell.params]
    for color, cell in zip(itertools.cycle(BAND_COLORS), bands, strict=False):
        style.band(axes, cell.mean or 0.0, cell.std or 0.0, color, _prefix(cell, cells) + cell.label)
    for color, (name, points) in zip(itertools.cycle(COLORS), lines.items(), strict=False):
        places = [float(cell.params[swept]) for cell in points]
        means, spreads = [cell.mean or 0.0 for cell in points], [cell.std or 0.0 for cell in points]
        axes.errorbar(places, means, yerr=spreads, marker="o", capsize=3, color=color, label=name, zorder=3)
    values = {float(cell.params[swept]) for points in lines.values() for cell in points}
    style.value_axis(axes, swept, sorted(values))
    axes.set_ylabel("test accuracy, %")
    axes.legend(frameon=False)


def swept_parameter(cells: Iterable[Row]) -> str | None:
    """The hyperparameter to draw against: `alpha` if it was swept, else the first number that was."""
    values: dict[str, set[Any]] = {}
    for cell in cells:
        for key, value in cell.params.items() if not cell.tuned else ():
            values.setdefault(key, set()).add(value)
    swept = [key for key, found in values.items() if len(found) > 1 and all(map(is_number, found))]
    return "alpha" if "alpha" in swept else next(iter(swept), None)


def _lines(cells: list[Row], swept: str) -> dict[str, list[Row]]:
    """The cells that have `swept`, by everything else in which they differ, each line in rising order."""
    lines: dict[str, list[Row]] = {}
    for cell in cells:
        if swept in cell.params and not cell.tuned:
            rest = " ".join(f"{key}={value}" for key, value in cell.params.items() if key != swept)
            lines.setdefault(f"{_prefix(cell, cells)}{cell.method} {rest}".strip(), []).append(cell)
    return {name: sorted(points, key=lambda cell: cell.params[swept]) for name, points in lines.items()}


def _prefix(cell: Row, cells: list[Row]) -> str:
    """The recipe's name, where the panel has several."""
    return f"{cell.recipe} · " if len({other.recipe for other in cells}) > 1 else ""


def _dots(axes: Axes, cells: list[Row]) -> None:
    places = range(len(cells))
    means, spreads = [cell.mean or 0.0 for cell in cells], [cell.std or 0.0 for cell in cells]
    axes.errorbar(means, places, xerr=spreads, fmt="o", capsize=3, color=COLORS[0])
    axes.set_yticks(places, [_prefix(cell, cells) + cell.label for cell in cells])
    axes.invert_yaxis()
    axes.set_xlabel("test accuracy, %")
    axes.grid(visible=False, axis="y")
