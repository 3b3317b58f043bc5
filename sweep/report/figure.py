"""The sweep in one figure, `figure.png`: what the README of a study shows."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.plan.labels import label
from sweep.plan.slots import is_number
from sweep.report import style
from sweep.report.looks import Looks
from sweep.results.board import Leaderboard
from sweep.results.rows import Row
from trainers.storage.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEW = 2
"""Methods that were not swept whose deviations are drawn too; of more their bands would hide everything else."""
PANEL = (5.2, 3.8)
"""Inches of one pair's panel."""
LETTER = 0.08
"""Inches of a letter in the names beside a panel of points."""
DPI = 150
MOST_COLUMNS = 3


def draw(board: Leaderboard, path: Path) -> bool:
    """Write the sweep's figure (see :func:`figure`) as PNG.

    Returns:
        False where there is no result to draw yet; nothing is written then.
    """
    drawn = figure(board)
    if drawn is None:
        return False
    write_atomically(path, as_png(drawn))
    return True


def as_png(drawn: Figure) -> bytes:
    """A figure as a picture file."""
    picture = io.BytesIO()
    with style.drawing():
        drawn.savefig(picture, format="png", dpi=DPI)
    return picture.getvalue()


def figure(board: Leaderboard) -> Figure | None:
    """The sweep in one figure: one panel per pair; None where there is no result to draw yet.

    Where a method was swept over a number (alpha, above all), its mean and standard deviation over seeds stand against
    that number, and methods that were not swept are horizontal lines, one or two of them with their deviation as a
    band. Otherwise each method is one point.
    """
    from matplotlib.figure import Figure

    pairs = [pair for pair in board.pairs if any(row.values for row in board.rows if row.pair == pair)]
    if not pairs:
        return None
    columns = min(len(pairs), MOST_COLUMNS)
    rows = -(-len(pairs) // columns)
    width = PANEL[0] + LETTER * max(_names_beside(board, pair) for pair in pairs)
    looks = Looks(board)
    with style.drawing():
        drawn = Figure(figsize=(width * columns, PANEL[1] * rows), layout="constrained")
        axes = drawn.subplots(rows, columns, squeeze=False).flatten()
        for panel, pair in zip(axes, pairs, strict=False):
            _panel(panel, [row for row in board.rows if row.pair == pair and row.values], looks)
            panel.set_title(pair)
        for panel in axes[len(pairs) :]:
            panel.set_visible(False)
    return drawn


def _names_beside(board: Leaderboard, pair: str) -> int:
    """Letters of the longest name that stands beside a pair's panel; 0 where names stand in a legend."""
    rows = [row for row in board.rows if row.pair == pair]
    return 0 if swept_parameter(rows) else max(len(row.label) for row in rows)


def _panel(axes: Axes, rows: list[Row], looks: Looks) -> None:
    swept = swept_parameter(rows)
    if swept is None:
        _dots(axes, rows, looks)
        return
    lines = _lines(rows, swept)
    bands = [row for row in rows if row.tuned or swept not in row.varied]
    prefix = _prefixes(rows)
    for row in bands:
        name, look = prefix[row.recipe] + row.label, looks.row(row)
        if len(bands) <= FEW:
            style.band(axes, row.mean or 0.0, row.std or 0.0, look.color, name)
        else:
            axes.axhline(row.mean or 0.0, color=look.color, linestyle=look.line, linewidth=1, label=name)
    of_method = [[name for name in lines if lines[name][0].method == points[0].method] for points in lines.values()]
    for (name, points), names in zip(lines.items(), of_method, strict=True):
        look = looks.line(points[0].method, names.index(name), len(names))
        places = [float(row.varied[swept]) for row in points]
        means, spreads = [row.mean or 0.0 for row in points], [row.std or 0.0 for row in points]
        drawn: dict[str, Any] = {"marker": look.marker, "color": look.color, "linestyle": look.line, "capsize": 3}
        axes.errorbar(places, means, yerr=spreads, label=name, zorder=3, **drawn)
    values = {float(row.varied[swept]) for points in lines.values() for row in points}
    style.value_axis(axes, swept, sorted(values))
    axes.set_ylabel("test accuracy, %")
    axes.legend(frameon=False)


def swept_parameter(rows: Iterable[Row]) -> str | None:
    """The hyperparameter to draw against: `alpha` if it was swept, else the first number that was."""
    values: dict[str, list[Any]] = {}
    for row in rows:
        for key, value in row.varied.items() if not row.tuned else ():
            values.setdefault(key, []).append(value)  # a list or a method may be one
    swept = [key for key, tried in values.items() if all(map(is_number, tried)) and len(set(tried)) > 1]
    return "alpha" if "alpha" in swept else next(iter(swept), None)


def _lines(rows: list[Row], swept: str) -> dict[str, list[Row]]:
    """The rows that have `swept`, by everything else in which they differ, each line in rising order."""
    lines: dict[str, list[Row]] = {}
    prefix = _prefixes(rows)
    for row in rows:
        if swept in row.varied and not row.tuned:
            rest = {key: value for key, value in row.varied.items() if key != swept}
            lines.setdefault(prefix[row.recipe] + label(row.method, rest), []).append(row)
    return {name: sorted(points, key=lambda row: row.varied[swept]) for name, points in lines.items()}


def _prefixes(rows: list[Row]) -> dict[str, str]:
    """What stands before the names of a recipe's rows: its own, where the panel has several."""
    recipes = {row.recipe for row in rows}
    return {recipe: f"{recipe} · " if len(recipes) > 1 else "" for recipe in recipes}


def _dots(axes: Axes, rows: list[Row], looks: Looks) -> None:
    places = range(len(rows))
    for place, row in zip(places, rows, strict=True):
        drawn: dict[str, Any] = {"fmt": looks.row(row).marker, "color": looks.row(row).color, "capsize": 3}
        axes.errorbar([row.mean or 0.0], [place], xerr=[row.std or 0.0], **drawn)
    prefix = _prefixes(rows)
    axes.set_yticks(places, [prefix[row.recipe] + row.label for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("test accuracy, %")
    axes.grid(visible=False, axis="y")
